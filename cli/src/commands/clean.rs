//! `belljar clean`: removes the scratch folders and cgroup leaves of dead runs.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use belljar_model::{CleanDoc, DoctorFailure, Leftover, LeftoverKind, exit};
use belljar_sandbox::launch::id::RunId;
use belljar_sandbox::launch::sweep::Swept;
use belljar_sandbox::launch::{cgroup, scratch};
use belljar_sandbox::plan::{Caller, Real, SCRATCH, places};

use super::work::say;
use crate::args::CleanArgs;
use crate::config;
use crate::errors::{CommandError, answer};

/// Sweeps, and says what is gone.
pub fn run(args: &CleanArgs) -> Result<ExitCode, CommandError> {
    let parents = parents(args.scratch.as_deref())?;
    let doc = sweep(&parents);
    let code = if doc.failures.is_empty() {
        exit::OK
    } else {
        exit::SETUP
    };
    if args.json {
        super::print(&crate::evidence::json(&doc))?;
    } else {
        say(&render(&doc));
    }
    Ok(ExitCode::from(code))
}

fn sweep(parents: &[PathBuf]) -> CleanDoc {
    let mut doc = CleanDoc {
        schema: CleanDoc::SCHEMA.into(),
        removed: Vec::new(),
        alive: Vec::new(),
        failures: Vec::new(),
    };
    let mut note = |swept: Swept, kind, name: &dyn Fn(String) -> String| {
        let gone = swept.removed.into_iter().map(|id| Leftover {
            kind,
            name: name(id.name()),
        });
        doc.removed.extend(gone);
        doc.alive.extend(swept.alive.into_iter().map(RunId::name));
        let failed = swept.failed.into_iter().map(|e| DoctorFailure {
            what: e.to_string(),
            fix: e.hint,
        });
        doc.failures.extend(failed);
    };
    // The leaves first: what still runs in one may write to its scratch folder.
    note(cgroup::sweep(), LeftoverKind::Cgroup, &|name| name);
    for parent in parents {
        let path = |name: String| parent.join(name).to_string_lossy().into_owned();
        note(scratch::sweep(parent), LeftoverKind::Folder, &path);
    }
    doc.alive.sort_unstable();
    doc.alive.dedup();
    doc
}

fn render(doc: &CleanDoc) -> String {
    let mut text = String::new();
    for gone in &doc.removed {
        let kind = match gone.kind {
            LeftoverKind::Cgroup => "cgroup",
            LeftoverKind::Folder => "folder",
        };
        let _ = writeln!(text, "belljar: removed the {kind} {}", gone.name);
    }
    if doc.removed.is_empty() && doc.failures.is_empty() {
        text.push_str("belljar: no dead run has left anything\n");
    }
    match doc.alive.len() {
        0 => {}
        1 => text.push_str("belljar: 1 run is still going on\n"),
        n => {
            let _ = writeln!(text, "belljar: {n} runs are still going on");
        }
    }
    for failure in &doc.failures {
        let _ = writeln!(text, "belljar: {}", failure.what);
        if let Some(fix) = &failure.fix {
            let _ = writeln!(text, "  hint: {fix}");
        }
    }
    text
}

/// Every folder that scratch folders may be in.
fn parents(named: Option<&Path>) -> Result<Vec<PathBuf>, CommandError> {
    let mut parents: Vec<PathBuf> = SCRATCH.iter().map(PathBuf::from).collect();
    // One that is not there, or not any more, holds nothing.
    parents.extend(configured()?);
    let mut parents: Vec<_> = parents
        .iter()
        .filter_map(|p| std::fs::canonicalize(p).ok())
        .collect();
    if let Some(named) = named {
        let unusable = |e: std::io::Error| {
            CommandError::usage(format!(
                "the scratch folder {} can't be used: {}",
                named.display(),
                answer(&e)
            ))
            .hint("name the folder that the run was given with `--scratch`")
        };
        let path = std::fs::canonicalize(named).map_err(unusable)?;
        std::fs::read_dir(&path).map_err(unusable)?;
        parents.push(path);
    }
    let mut seen = std::collections::BTreeSet::new();
    parents.retain(|p| seen.insert(p.clone()));
    Ok(parents)
}

/// What the `belljar.toml` says that a run here would read; a folder in which none can be made
/// has none.
fn configured() -> Result<Option<PathBuf>, CommandError> {
    let here = Path::new(".");
    let found = Caller::read().ok().and_then(|caller| {
        let found = places(here, None, &caller, &Real).ok()?;
        Some((found.workdir, found.root))
    });
    match found {
        Some((workdir, root)) => Ok(config::find(None, &workdir, &root)?.scratch),
        None => Ok(None),
    }
}
