//! `belljar run`.

use std::process::ExitCode;

use crate::args::RunArgs;
use crate::errors::{Class, CommandError};

/// Not there yet, and says so.
pub fn run(_args: &RunArgs) -> Result<ExitCode, CommandError> {
    Err(CommandError::new(
        Class::Setup,
        "this build of belljar has no `run` yet",
    ))
}
