//! `belljar completions`: a script for a shell, generated from the one description of the command
//! line.

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::args::{Cli, CompletionsArgs};
use crate::errors::CommandError;

/// Prints the script.
pub fn run(args: &CompletionsArgs) -> Result<ExitCode, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "belljar", &mut script);
    super::print(&script)
}
