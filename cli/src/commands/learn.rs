//! `belljar egress learn`: one run with the network open, and the rules that it would have needed.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

use belljar_model::{Fetch, OnDeny};

use super::plan;
use super::run::once;
use super::work::say;
use crate::args::LearnArgs;
use crate::config::Typed;
use crate::errors::{CommandError, answer};
use crate::evidence::network::learn::{Learned, learn};

/// Runs the command and writes the rules.
pub fn run(args: &LearnArgs) -> Result<ExitCode, CommandError> {
    let to_file = args.output.as_os_str() != "-";
    if to_file && args.output.symlink_metadata().is_ok() {
        return Err(taken(&args.output));
    }
    let typed = args.run();
    let (mut prepared, ahead) = plan::prepare(Typed::Run(&typed))?;
    prepared.plan.egress.fetch = Fetch::Learn;
    prepared.plan.egress.learn_inside = args.inspect;
    super::door::set_variables(&mut prepared.plan);
    // What is denied here is told beside the rules.
    prepared.plan.on_deny = OnDeny::Record;
    // stdout belongs to the rules.
    prepared.voice.json = false;
    let mut learned = None;
    let code = once(&prepared, ahead, &mut |told| {
        learned = Some(learn(told.egress, told.report, args.inspect));
    })?;
    match learned {
        // The command did not run, which has been said.
        None => return Ok(code),
        Some(None) => {
            return Err(CommandError::incomplete(
                "no rules are written: egress records were lost, and the rules could lack something",
            )
            .hint("run it again; a smaller build, or one with fewer processes, asks for less at one time"));
        }
        Some(Some(learned)) if to_file => {
            write(&args.output, &learned)?;
            if !prepared.voice.quiet {
                say(&format!("belljar: {}\n", written(&args.output, &learned)));
            }
        }
        Some(Some(learned)) => {
            super::print(learned.toml.as_bytes())?;
        }
    }
    Ok(code)
}

fn write(path: &Path, learned: &Learned) -> Result<(), CommandError> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(learned.toml.as_bytes()));
    made.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => taken(path),
        _ => CommandError::incomplete(format!(
            "could not write {}: {}",
            path.display(),
            answer(&e)
        ))
        .hint("without `--output` the rules go to stdout"),
    })
}

fn taken(path: &Path) -> CommandError {
    CommandError::usage(format!("{} is there already", path.display())).hint(
        "name a new file, or let the shell append: `belljar egress learn -- CMD >> belljar.toml`",
    )
}

fn written(path: &Path, learned: &Learned) -> String {
    use crate::evidence::report::words::count;
    let rules = count(learned.rules as u64, "rule");
    let denied = match learned.denied {
        0 => String::new(),
        n => format!(
            "; {} stay denied and are listed there",
            count(n as u64, "destination")
        ),
    };
    format!("{rules} written into {}{denied}", path.display())
}
