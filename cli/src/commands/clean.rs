//! `belljar clean`.

use std::process::ExitCode;

use crate::args::CleanArgs;
use crate::errors::{Class, CommandError};

/// Not there yet, and says so.
pub fn run(_args: &CleanArgs) -> Result<ExitCode, CommandError> {
    Err(CommandError::new(
        Class::Setup,
        "this build of belljar has no `clean` yet",
    ))
}
