//! `belljar man`: manual pages, generated from the one description of the command line. They bear
//! no date: the same version gives the same bytes.

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::args::{Cli, ManArgs};
use crate::errors::{CommandError, answer};

/// Prints the page of belljar itself, or writes all pages into a folder.
pub fn run(args: &ManArgs) -> Result<ExitCode, CommandError> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .map_err(|e| CommandError::incomplete(format!("could not make the page: {e}")))?;
        return super::print(&page);
    };
    clap_mangen::generate_to(Cli::command(), dir)
        .map(|()| ExitCode::SUCCESS)
        .map_err(|e| {
            let why = answer(&e);
            CommandError::usage(format!("could not write into {}: {why}", dir.display()))
                .hint("name a folder that exists and may be written")
        })
}
