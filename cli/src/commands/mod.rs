//! One module for each command.

mod check;
mod clean;
mod completions;
mod diff;
mod doctor;
mod door;
mod explain;
mod export;
mod far;
mod gather;
mod init;
mod learn;
mod man;
mod plan;
mod run;
mod verify;
mod work;

use std::io::Write as _;
use std::process::ExitCode;

use crate::args::{Command, EgressArgs, EgressCommand};
use crate::errors::{CommandError, on_stdout};

/// Does what was asked. Nothing to do is fine: help has been printed.
pub fn dispatch(command: Option<Command>) -> Result<ExitCode, CommandError> {
    match command {
        None => Ok(ExitCode::SUCCESS),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Verify(args)) => verify::run(&args),
        Some(Command::Egress(EgressArgs { command })) => match command {
            EgressCommand::Check(args) => check::run(&args),
            EgressCommand::Learn(args) => learn::run(&args),
        },
        Some(Command::Diff(args)) => diff::run(&args),
        Some(Command::Explain(args)) => explain::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Init(args)) => init::run(&args),
        Some(Command::Clean(args)) => clean::run(&args),
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Man(args)) => man::run(&args),
    }
}

/// Writes a text with colours to stdout, without them where they don't belong.
fn print_styled(text: &str) -> Result<ExitCode, CommandError> {
    match anstream::AutoStream::choice(&std::io::stdout()) {
        anstream::ColorChoice::Never => {
            print(anstream::adapter::strip_str(text).to_string().as_bytes())
        }
        _ => print(text.as_bytes()),
    }
}

/// Writes a generated text to stdout.
fn print(text: &[u8]) -> Result<ExitCode, CommandError> {
    let mut out = std::io::stdout().lock();
    on_stdout(out.write_all(text).and_then(|()| out.flush()))?;
    Ok(ExitCode::SUCCESS)
}
