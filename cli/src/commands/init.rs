//! `belljar init`.

use std::process::ExitCode;

use crate::args::InitArgs;
use crate::errors::{Class, CommandError};

/// Not there yet, and says so.
pub fn run(_args: &InitArgs) -> Result<ExitCode, CommandError> {
    Err(CommandError::new(
        Class::Setup,
        "this build of belljar has no `init` yet",
    ))
}
