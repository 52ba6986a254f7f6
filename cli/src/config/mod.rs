//! What was typed and what `belljar.toml` says, as one value: a flag wins over the file, the file
//! over the default.
//!
//! Of an option that can be given several times, the flags stand in place of the file's list;
//! variables are merged by name. Paths in the file are relative to the folder it stands in, paths
//! on the command line to the current one.

mod egress;
mod file;
mod keys;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use belljar_model::{Budgets, OnDeny, OsText, Outputs, Skew, Source, WorkspaceWish};
use belljar_sandbox::plan::{self, Command, Request};

#[cfg(test)]
pub use file::read;
pub use file::{File, NAME, find};

use crate::args::values::{CacheName, DateEpoch, EnvName, Requirement};
use crate::args::{OnDenyArg, RunArgs, SharedArgs, SourceArg, VerifyArgs, WorkspaceArg};

/// Everything that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What is to be planned.
    pub request: Request,
    /// Where outputs go after a pass.
    pub export: Export,
    /// How belljar speaks.
    pub voice: Voice,
}

/// Where outputs go after a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Export {
    /// Nowhere.
    None,
    /// Into the workdir.
    Workdir,
    /// Into this folder.
    Into(PathBuf),
}

/// How belljar speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Voice {
    /// `result.json` on stdout.
    pub json: bool,
    /// Only what went wrong.
    pub quiet: bool,
    /// More than usual.
    pub verbose: bool,
}

/// What was typed for `run` or `verify`.
#[derive(Debug, Clone, Copy)]
pub enum Typed<'a> {
    /// `belljar run`.
    Run(&'a RunArgs),
    /// `belljar verify`.
    Verify(&'a VerifyArgs),
}

impl<'a> Typed<'a> {
    /// What both have.
    pub fn shared(self) -> &'a SharedArgs {
        match self {
            Self::Run(args) => &args.shared,
            Self::Verify(args) => &args.shared,
        }
    }

    fn command(self, file: &File) -> Command {
        match self {
            Self::Run(args) if args.shell => Command::Shell,
            _ if self.shared().command.is_empty() => Command::Words(words(&file.command)),
            _ => Command::Words(words(&self.shared().command)),
        }
    }

    fn skew(self, file: &File) -> Option<Skew> {
        match self {
            Self::Run(_) => None,
            Self::Verify(args) => {
                let skew = args.skew.as_ref().or(file.skew.as_ref());
                Some(skew.map_or(Skew::Auto, |s| s.0.clone()))
            }
        }
    }

    fn far(self, file: &File) -> bool {
        match self {
            Self::Run(_) => false,
            Self::Verify(args) => args.far || file.far,
        }
    }

    /// A folder named on the command line stands in place of the file's, and so does
    /// `--no-export`.
    fn export(self, file: &File) -> Export {
        let otherwise = match self {
            Self::Run(args) if args.no_export => return Export::None,
            Self::Run(_) if file.no_export => Export::None,
            Self::Run(_) => Export::Workdir,
            Self::Verify(_) => Export::None,
        };
        let named = self.shared().export.as_ref().or(file.export.as_ref());
        named.map_or(otherwise, |dir| Export::Into(dir.clone()))
    }
}

/// Puts the two together.
pub fn merge(typed: Typed<'_>, file: &File) -> Config {
    let args = typed.shared();
    let default = Request::new(Vec::new());
    let request = Request {
        command: typed.command(file),
        skew: typed.skew(file),
        far: typed.far(file),
        workdir: first([&args.workdir, &file.workdir]).unwrap_or(default.workdir),
        root: first([&args.root, &file.root]),
        source: match args.source.or(file.source) {
            Some(SourceArg::Git) => Source::Git,
            Some(SourceArg::Tree) | None => Source::Tree,
        },
        workspace: match args.workspace.or(file.workspace) {
            Some(WorkspaceArg::Overlay) => WorkspaceWish::Overlay,
            Some(WorkspaceArg::Copy) => WorkspaceWish::Copy,
            Some(WorkspaceArg::Auto) | None => WorkspaceWish::Auto,
        },
        scratch: first([&args.scratch, &file.scratch]),
        ro: list(&args.ro, &file.ro),
        caches: list(&args.cache, &file.cache)
            .into_iter()
            .map(|CacheName(kind)| kind)
            .collect(),
        // The file goes with the source to machines that have other caches.
        caches_may_lack: args.cache.is_empty(),
        env: env(args, file),
        pass_env: list(&args.pass_env, &file.pass_env)
            .into_iter()
            .map(|EnvName(name)| name.into())
            .collect(),
        outputs: Outputs {
            globs: list(&args.output, &file.output),
            strict: args.strict_outputs || file.strict_outputs,
            allow_empty: args.allow_empty || file.allow_empty,
            strict_mtime: args.strict_mtime || file.strict_mtime,
        },
        evidence: first([&args.evidence, &file.evidence]).unwrap_or(default.evidence),
        egress: default.egress,
        on_deny: match args.on_deny.or(file.on_deny) {
            Some(OnDenyArg::Fail) => OnDeny::Fail,
            Some(OnDenyArg::Record) | None => OnDeny::Record,
        },
        require: list(&args.require, &file.require)
            .into_iter()
            .map(|Requirement { layer, level }| (layer, level))
            .collect(),
        budgets: budgets(args, file),
        source_date_epoch: file.source_date_epoch.map(|at| match at {
            DateEpoch::Auto => plan::DateEpoch::Auto,
            DateEpoch::At(seconds) => plan::DateEpoch::At(seconds),
        }),
    };
    Config {
        request,
        export: typed.export(file),
        voice: Voice {
            json: args.json || file.json,
            quiet: args.quiet || (file.quiet && !args.verbose),
            verbose: args.verbose || (file.verbose && !args.quiet),
        },
    }
}

fn words(words: &[OsString]) -> Vec<OsText> {
    words.iter().map(|w| w.as_os_str().into()).collect()
}

fn first<T: Clone>(answers: [&Option<T>; 2]) -> Option<T> {
    answers.into_iter().flatten().next().cloned()
}

fn list<T: Clone>(typed: &[T], file: &[T]) -> Vec<T> {
    if typed.is_empty() { file } else { typed }.to_vec()
}

fn env(args: &SharedArgs, file: &File) -> BTreeMap<OsText, OsText> {
    let from_file = file
        .env
        .iter()
        .map(|(k, v)| (k.as_str().into(), v.as_str().into()));
    let typed = args
        .env
        .iter()
        .map(|e| (e.name.as_str().into(), e.value.as_str().into()));
    from_file.chain(typed).collect()
}

fn budgets(args: &SharedArgs, file: &File) -> Budgets {
    let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    Budgets {
        memory_bytes: args.memory.or(file.memory).map(|s| s.0),
        cpu_milli: args.cpus.or(file.cpus).map(|c| c.0),
        pids: args.pids.or(file.pids).map(|c| c.0),
        disk_bytes: args.disk.or(file.disk).map(|s| s.0),
        wall_ms: args.timeout.or(file.timeout).map(|t| ms(t.0)),
    }
}

/// Paths of the file as the folder it stands in sees them.
fn below(dir: &Path, path: PathBuf) -> PathBuf {
    dir.join(path)
}

#[cfg(test)]
mod tests;
