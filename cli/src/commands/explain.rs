//! `belljar explain`.

use std::process::ExitCode;

use crate::args::ExplainArgs;
use crate::errors::{Class, CommandError};

/// Not there yet, and says so.
pub fn run(_args: &ExplainArgs) -> Result<ExitCode, CommandError> {
    Err(CommandError::new(
        Class::Setup,
        "this build of belljar has no `explain` yet",
    ))
}
