//! `belljar doctor`.

use std::process::ExitCode;

use crate::args::DoctorArgs;
use crate::errors::{Class, CommandError};

/// Not there yet, and says so.
pub fn run(_args: &DoctorArgs) -> Result<ExitCode, CommandError> {
    Err(CommandError::new(
        Class::Setup,
        "this build of belljar has no `doctor` yet",
    ))
}
