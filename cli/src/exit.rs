//! From what happened to the number that the process ends with. The numbers themselves are in
//! [`belljar_model::exit`].

use std::process::ExitCode;

use crate::errors::CommandError;

/// Ends the program: says what went wrong, if anything did, and gives the code.
pub fn code(outcome: Result<ExitCode, CommandError>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(e) => {
            e.print();
            ExitCode::from(e.class.exit_code())
        }
    }
}
