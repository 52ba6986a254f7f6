//! `belljar verify`.

use std::process::ExitCode;

use crate::args::VerifyArgs;
use crate::errors::{Class, CommandError};

/// Not there yet, and says so.
pub fn run(_args: &VerifyArgs) -> Result<ExitCode, CommandError> {
    Err(CommandError::new(
        Class::Setup,
        "this build of belljar has no `verify` yet",
    ))
}
