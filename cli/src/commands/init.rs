//! `belljar init`: looks at a project and writes a small `belljar.toml` for it.
//!
//! What it writes works as it stands: a key is there only if it says something, and what may be
//! wanted later stands in it as a comment.

mod project;

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

use belljar_sandbox::plan::{Caller, Real, lacks_cache};

use crate::args::InitArgs;
use crate::config::NAME;
use crate::errors::{CommandError, answer};
use project::Project;

/// Writes the file, or prints it.
pub fn run(args: &InitArgs) -> Result<ExitCode, CommandError> {
    if !args.workdir.is_dir() {
        return Err(
            CommandError::usage(format!("{} is no folder", args.workdir.display()))
                .hint("name the folder of the project: --workdir DIR"),
        );
    }
    let project = Project::look(&args.workdir);
    let text = text(&project);
    if args.print {
        return super::print(text.as_bytes());
    }
    let path = match args.workdir.to_str() {
        Some(".") => NAME.into(),
        _ => args.workdir.join(NAME),
    };
    write(&path, &text)?;
    let lacks = project.cache.and_then(|kind| {
        let caller = Caller::read().ok()?;
        lacks_cache(kind, &caller, &Real)
    });
    let next = if project.command.is_empty() {
        "name the command in it, then: belljar verify"
    } else {
        "next: belljar verify"
    };
    let _ = writeln!(
        anstream::stderr(),
        "belljar: wrote {} for {}; {next}",
        path.display(),
        project.kind
    );
    if let Some(e) = lacks {
        let _ = write!(anstream::stderr(), "belljar: {e}\n  hint: {}\n", e.hint());
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    made.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => {
            CommandError::usage(format!("{} is there already", path.display()))
                .hint("edit it, or take it away first; `belljar init --print` shows a new one")
        }
        _ => CommandError::usage(format!(
            "could not write {}: {}",
            path.display(),
            answer(&e)
        ))
        .hint("`belljar init --print` shows the file"),
    })
}

fn text(project: &Project) -> String {
    let mut out = String::from(
        "# What `belljar run` and `belljar verify` are not told on the command line. Each key is an\n\
         # option of the same name (`belljar verify --help`), and the option wins.\n\n",
    );
    let mut line = |why: &str, line: &str| {
        // Writing to a string can't fail.
        let _ = writeln!(out, "# {why}\n{line}\n");
    };
    if project.command.is_empty() {
        line(
            "The build: a list of words.",
            "# command = [\"./build.sh\", \"all\"]",
        );
    } else {
        line(
            "The build.",
            &format!("command = {}", list(&project.command)),
        );
    }
    if project.git {
        line(
            "Hide what git ignores, so that a build starts as from a clean checkout.",
            "source = \"git\"",
        );
    }
    if let Some(cache) = project.cache {
        line(
            "There is no network in the build: the host's download cache serves it.",
            &format!("cache = {}", list(&[cache.name()])),
        );
    }
    let globs = project.output.unwrap_or("dist/**");
    let default = "What is compared; by default all that the build creates or changes.";
    let key = format!("output = {}", list(&[globs]));
    match project.output {
        Some(_) => line(default, &key),
        None => line(default, &format!("# {key}")),
    }
    line(
        "Limits; there are none by default.",
        "# timeout = \"30m\"\n# memory = \"4G\"",
    );
    line(
        "What it may fetch; `belljar egress learn -- CMD` writes such rules. Tables stand last.",
        "# [[egress.allow]]\n# host = \"files.example\"",
    );
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn list(words: &[&str]) -> String {
    let quoted: Vec<_> = words
        .iter()
        .map(|w| toml::Value::from(*w).to_string())
        .collect();
    format!("[{}]", quoted.join(", "))
}

#[cfg(test)]
mod tests;
