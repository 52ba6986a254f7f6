//! `belljar run`: one run; its outputs go into the workdir.

use std::process::ExitCode;

use belljar_model::Label;

use super::plan;
use super::work::{Ran, Work, facts};
use crate::args::RunArgs;
use crate::config::Typed;
use crate::errors::CommandError;
use crate::evidence::verdict;

/// Runs the command once.
pub fn run(args: &RunArgs) -> Result<ExitCode, CommandError> {
    let prepared = plan::prepare(Typed::Run(args))?;
    let plan = &prepared.plan;
    let mut work = Work::begin(&prepared, false)?;
    let ran = work
        .session()
        .and_then(|mut session| work.run(&mut session, Label::A, 0, prepared.export.is_some()));
    if let Ok(ran) = &ran
        && let Err((why, hint)) = work.export(ran)
    {
        work.trouble(why, Some(hint));
    }
    let judgement = verdict::single(plan, facts(&ran, plan), work.troubles());
    let runs = ran.iter().map(Ran::told).collect();
    Ok(work.end("run", runs, None, judgement, None))
}
