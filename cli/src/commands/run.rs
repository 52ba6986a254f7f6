//! `belljar run`.

use std::io::Write as _;
use std::process::ExitCode;

use belljar_model::{EndedBy, Label, RunReport, exit};
use belljar_sandbox::launch::{Session, Sink, Stop, Stream};

use crate::args::RunArgs;
use crate::commands::plan;
use crate::config::Typed;
use crate::errors::CommandError;

/// Hands the build's streams on as they come.
struct Through;

impl Sink for Through {
    fn output(&mut self, _run: Label, stream: Stream, bytes: &[u8]) {
        // A reader that is gone is the caller's choice; the build goes on.
        let _ = match stream {
            Stream::Err => std::io::stderr().write_all(bytes),
            Stream::Out | Stream::Terminal => {
                let mut out = std::io::stdout();
                out.write_all(bytes).and_then(|()| out.flush())
            }
        };
    }
}

/// One run; exits as the command does.
pub fn run(args: &RunArgs) -> Result<ExitCode, CommandError> {
    let prepared = plan::prepare(Typed::Run(args))?;
    for notice in &prepared.notices {
        let _ = writeln!(anstream::stderr(), "belljar: {notice}");
    }
    let stop = Stop::install()?;
    let mut session = Session::prepare(&prepared.plan, &prepared.host)?;
    let outcome = session.run(Label::A, 0, &mut Through, &stop)?;
    Ok(ExitCode::from(code(&outcome.report)))
}

/// The exit code that stands for how a single run ended.
fn code(report: &RunReport) -> u8 {
    match report.ended_by {
        EndedBy::Timeout => exit::TIMEOUT,
        EndedBy::Interrupt => exit::INTERRUPTED,
        EndedBy::Setup => exit::SETUP,
        EndedBy::Incomplete => exit::INCOMPLETE,
        _ => report
            .status
            .or(report.signal.map(|s| s + i32::from(exit::SIGNAL_BASE)))
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(exit::INCOMPLETE),
    }
}
