//! A request and a look at the host make a plan: the frozen description that has a digest, and
//! the host's side of it, which no document holds.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use belljar_model::{Clock, EnvValue, FileRule, OsText, Plan, Source, Streams};
use globset::GlobBuilder;

use super::error::shown;
use super::{
    Caller, Command, DateEpoch, Host, HostEntry, HostEntryKind, Kind, Places, PlanError, Request,
    View, caches, env, files, identity, places, toolchains,
};

/// Folders inside that are belljar's own, where nothing of the host can be shown.
const OURS: [&str; 7] = [
    "/build",
    "/dev",
    "/gitdir",
    "/home/builder",
    "/proc",
    "/sys",
    "/toolchains",
];

/// A request that was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What is to be run under which walls.
    pub plan: Plan,
    /// The host's side.
    pub host: Host,
    /// Where the build starts, on the host.
    pub workdir: PathBuf,
    /// What the caller should be told, a line each.
    pub notices: Vec<String>,
}

/// Makes the plan.
pub fn resolve(request: &Request, caller: &Caller, view: &dyn View) -> Result<Resolved, PlanError> {
    let command = command(request, caller, view)?;
    check_globs(&request.outputs.globs)?;
    let places = places::places(&request.workdir, request.root.as_deref(), caller, view)?;
    let evidence = places::evidence(&request.evidence, &places, caller, view)?;
    let scratch = places::scratch(request.scratch.as_deref(), &places.root, caller, view)?;

    let system = files::entries(view);
    let tools = toolchains::find(caller, &places.workdir, &system, view);
    let mut notices: Vec<_> = places.notice.iter().cloned().collect();
    let (cached, served_by) = caches::find(request, caller, view, &mut notices)?;
    let date_epoch = date_epoch(request.source_date_epoch, &places, view)?;
    let of_tools = tools.vars.iter().map(|(name, value)| {
        let value = value.clone();
        (
            *name,
            EnvValue {
                value,
                public: true,
            },
        )
    });
    let vars = of_tools.chain(cached.vars);
    let environment = env::make(request, caller, tools.path(), vars, date_epoch)?;

    notices.extend(environment.notices);
    notices.extend(not_shown(&tools.left_out));

    let mut entries = merge([system, identity::entries(), tools.entries, cached.entries]);
    for path in &request.ro {
        let entry = shown_inside(path, caller, view)?;
        entries.insert(entry.target.clone(), entry);
    }
    let entries: Vec<_> = entries.into_values().collect();
    let hidden = hidden(request, &places, &evidence, view)?;
    let cwd = places
        .workdir
        .strip_prefix(&places.root)
        .unwrap_or(Path::new(""));
    let plan = Plan {
        schema: Plan::SCHEMA.into(),
        command,
        cwd: cwd.into(),
        source: request.source,
        workspace: request.workspace,
        env: environment.vars,
        files: rules(&entries, caller.home().as_deref()),
        caches: served_by,
        outputs: request.outputs.clone(),
        egress: request.egress.clone(),
        on_deny: request.on_deny,
        require: request.require.clone(),
        budgets: request.budgets,
        clock: request.skew.clone().map(|skew| Clock {
            skew,
            far: request.far,
        }),
        streams: streams(request, caller),
        source_date_epoch: date_epoch,
    };
    let owner = view
        .owner(&places.root)
        .map_err(|errno| PlanError::Unusable {
            what: "root",
            path: shown(&places.root),
            errno,
        })?;
    let host = Host {
        root: places.root,
        owner,
        caller: caller.ids,
        evidence,
        scratch,
        entries,
        hidden,
        gitdir: places.gitdir,
        home: caller.home(),
    };
    Ok(Resolved {
        plan,
        host,
        workdir: places.workdir,
        notices,
    })
}

fn command(request: &Request, caller: &Caller, view: &dyn View) -> Result<Vec<OsText>, PlanError> {
    match &request.command {
        Command::Words(words) => match words.first() {
            Some(program) if !program.as_bytes().is_empty() => Ok(words.clone()),
            _ => Err(PlanError::NoCommand),
        },
        Command::Shell => {
            let bash = view.kind(Path::new("/usr/bin/bash")).is_some();
            let shell = if bash { "/usr/bin/bash" } else { "/bin/sh" };
            // Without a terminal there is nobody to prompt.
            let interactive = caller.terminal.then(|| "-i".into());
            Ok([shell.into()].into_iter().chain(interactive).collect())
        }
    }
}

fn streams(request: &Request, caller: &Caller) -> Streams {
    if request.skew.is_some() {
        Streams::Pipes
    } else if caller.terminal {
        Streams::Terminal
    } else {
        Streams::PipesWithStdin
    }
}

/// Patterns are relative to the workdir and stay below it.
fn check_globs(globs: &[String]) -> Result<(), PlanError> {
    for glob in globs {
        let refused = |why: &str| PlanError::Glob {
            glob: glob.clone(),
            why: why.to_owned(),
        };
        if glob.is_empty() {
            return Err(refused("it is empty"));
        }
        if glob.starts_with('/') {
            return Err(refused("it is absolute"));
        }
        if glob.split('/').any(|part| part == "..") {
            return Err(refused("it leads out of the workdir"));
        }
        GlobBuilder::new(glob)
            .literal_separator(true)
            .build()
            .map_err(|e| refused(&e.kind().to_string()))?;
    }
    Ok(())
}

fn date_epoch(
    asked: Option<DateEpoch>,
    places: &Places,
    view: &dyn View,
) -> Result<Option<i64>, PlanError> {
    match asked {
        None => Ok(None),
        Some(DateEpoch::At(seconds)) => Ok(Some(seconds)),
        Some(DateEpoch::Auto) if !places.git => Err(PlanError::NoRepository {
            what: "source_date_epoch = \"auto\"",
            root: shown(&places.root),
        }),
        Some(DateEpoch::Auto) => {
            let what = "read the time of the last commit";
            let failed = |why: String| PlanError::Git { what, why };
            // A plumbing command: no configuration makes it start anything.
            let args = [
                "rev-list",
                "--max-count=1",
                "--no-commit-header",
                "--format=%ct",
                "HEAD",
            ];
            let said = view
                .git(&places.root, &args)
                .map_err(|e| failed(e.to_string()))?;
            let text = String::from_utf8_lossy(&said);
            match text.trim().parse() {
                Ok(seconds) => Ok(Some(seconds)),
                Err(_) => Err(failed(format!("`{}` is no time", text.trim()))),
            }
        }
    }
}

/// One entry for each target, what comes later in place of what came earlier, parents first.
fn merge(parts: [Vec<HostEntry>; 4]) -> BTreeMap<OsText, HostEntry> {
    parts
        .into_iter()
        .flatten()
        .map(|e| (e.target.clone(), e))
        .collect()
}

/// A path that was asked for with `--ro`, at the same place inside.
fn shown_inside(path: &Path, caller: &Caller, view: &dyn View) -> Result<HostEntry, PlanError> {
    let refused = |why| PlanError::Ro {
        path: shown(path),
        why,
    };
    let target = caller.cwd.join(path);
    if target.components().any(|c| c == Component::ParentDir) {
        return Err(refused("its place inside is not clear with `..` in it"));
    }
    // Only the text's own `.` and double slashes go: a link keeps its place.
    let target: PathBuf = target.components().collect();
    let source = view
        .canonical(&target)
        .map_err(|errno| PlanError::Unusable {
            what: "path of --ro",
            path: shown(path),
            errno,
        })?;
    if !matches!(view.kind(&source), Some(Kind::Folder | Kind::File)) {
        return Err(refused("it is neither a folder nor a file"));
    }
    let forbidden = |p: &Path| {
        p.parent().is_none()
            || ["/proc", "/sys", "/dev", "/run"]
                .iter()
                .any(|s| p.starts_with(s))
    };
    if forbidden(&source) || forbidden(&target) {
        return Err(refused("it belongs to the running system"));
    }
    if OURS
        .iter()
        .any(|o| target.starts_with(o) || Path::new(o).starts_with(&target))
    {
        return Err(refused("belljar's own folders stand there"));
    }
    if ["/etc", "/var", "/home", "/root", "/tmp"]
        .iter()
        .any(|s| source == Path::new(s))
    {
        return Err(refused(
            "it holds far more than one build needs; name what is needed of it",
        ));
    }
    if let Some(socket) = view.socket_below(&source) {
        return Err(PlanError::Ro {
            path: shown(socket),
            why: "it is a socket, whose other end would be outside; name what is needed beside it",
        });
    }
    Ok(HostEntry {
        target: target.as_path().into(),
        kind: HostEntryKind::Bind { source },
        reason: "asked for with --ro",
    })
}

/// What of the root the build does not see.
fn hidden(
    request: &Request,
    places: &Places,
    evidence: &Path,
    view: &dyn View,
) -> Result<Vec<PathBuf>, PlanError> {
    let mut hidden: Vec<PathBuf> = Vec::new();
    if let Ok(below) = evidence.strip_prefix(&places.root) {
        hidden.push(below.to_owned());
    }
    if request.source == Source::Git {
        hidden.extend(ignored(places, view)?);
    }
    hidden.sort();
    // What lies in a hidden folder needs no line of its own.
    hidden.dedup_by(|later, earlier| later.starts_with(earlier));
    Ok(hidden)
}

/// The files that git ignores, folders as one.
fn ignored(places: &Places, view: &dyn View) -> Result<Vec<PathBuf>, PlanError> {
    if !places.git {
        return Err(PlanError::NoRepository {
            what: "--source git",
            root: shown(&places.root),
        });
    }
    let args = [
        "ls-files",
        "--others",
        "--ignored",
        "--exclude-standard",
        "--directory",
        "-z",
    ];
    let said = view.git(&places.root, &args).map_err(|e| PlanError::Git {
        what: "list ignored files",
        why: e.to_string(),
    })?;
    Ok(said
        .split(|b| *b == 0)
        .map(|path| path.strip_suffix(b"/").unwrap_or(path))
        .filter(|path| !path.is_empty())
        .map(|path| PathBuf::from(OsStr::from_bytes(path)))
        .collect())
}

/// What documents say of the entries that come from the host.
fn rules(entries: &[HostEntry], home: Option<&Path>) -> Vec<FileRule> {
    let mut rules: Vec<_> = entries
        .iter()
        .filter(|e| !matches!(e.kind, HostEntryKind::Cache { .. }))
        .map(|e| FileRule {
            target: files::documented(&e.target, home),
            reason: e.reason.to_owned(),
        })
        .collect();
    rules.sort();
    rules
}

fn not_shown(left_out: &[PathBuf]) -> Option<String> {
    let names: Vec<_> = left_out
        .iter()
        .map(|p| OsText::from(p.as_path()).to_string())
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} of your PATH {} no toolchain that belljar knows and can't be seen by the build (--ro shows a path)",
            names.join(", "),
            if names.len() == 1 { "is" } else { "are" }
        )
    })
}

#[cfg(test)]
mod tests;
