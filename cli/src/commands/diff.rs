//! `belljar diff`.

use std::process::ExitCode;

use crate::args::DiffArgs;
use crate::errors::{Class, CommandError};

/// Not there yet, and says so.
pub fn run(_args: &DiffArgs) -> Result<ExitCode, CommandError> {
    Err(CommandError::new(
        Class::Setup,
        "this build of belljar has no `diff` yet",
    ))
}
