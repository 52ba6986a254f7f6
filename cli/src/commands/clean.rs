//! `belljar clean`: removes the scratch folders and cgroup leaves of dead runs.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use belljar_sandbox::launch::sweep::Swept;
use belljar_sandbox::launch::{cgroup, scratch};
use belljar_sandbox::plan::SCRATCH;

use super::work::say;
use crate::args::CleanArgs;
use crate::errors::CommandError;

/// Sweeps, and says what is gone.
pub fn run(args: &CleanArgs) -> Result<ExitCode, CommandError> {
    let mut text = String::new();
    let mut alive = Vec::new();
    let mut failed = Vec::new();
    let mut tell = |swept: Swept, what: &dyn Fn(&str) -> String| {
        for id in &swept.removed {
            let _ = writeln!(text, "belljar: removed {}", what(&id.name()));
        }
        alive.extend(swept.alive);
        failed.extend(swept.failed);
    };
    // The leaves first: what still runs in one may write to its scratch folder.
    tell(cgroup::sweep(), &|name| format!("the cgroup {name}"));
    for parent in parents(args.scratch.as_deref())? {
        let folder = |name: &str| format!("the folder {}", parent.join(name).display());
        tell(scratch::sweep(&parent), &folder);
    }
    alive.sort_unstable();
    alive.dedup();
    if text.is_empty() && failed.is_empty() {
        text.push_str("belljar: no dead run has left anything\n");
    }
    if !alive.is_empty() {
        let runs = if alive.len() == 1 {
            "1 run is"
        } else {
            &format!("{} runs are", alive.len())
        };
        let _ = writeln!(text, "belljar: {runs} still going on");
    }
    say(&text);
    let mut failed = failed.into_iter().map(CommandError::from);
    let Some(first) = failed.next() else {
        return Ok(ExitCode::SUCCESS);
    };
    failed.for_each(|e| e.print());
    Err(first)
}

/// Every folder that scratch folders may be in.
fn parents(named: Option<&Path>) -> Result<Vec<PathBuf>, CommandError> {
    let usual = SCRATCH.iter().filter_map(|p| std::fs::canonicalize(p).ok());
    let mut parents: Vec<PathBuf> = usual.collect();
    if let Some(named) = named {
        let path = std::fs::canonicalize(named).map_err(|e| {
            CommandError::usage(format!(
                "can't use the scratch folder {}: {e}",
                named.display()
            ))
            .hint("name the folder that the run was given with `--scratch`")
        })?;
        if !parents.contains(&path) {
            parents.push(path);
        }
    }
    Ok(parents)
}
