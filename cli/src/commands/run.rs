//! `belljar run`: one run; its outputs go into the workdir.

use std::process::ExitCode;
use std::thread::Builder;

use belljar_model::{Label, exit};
use belljar_sandbox::launch::Ahead;

use super::plan::{self, Prepared};
use super::work::{Moved, Ran, Work, facts};
use crate::args::RunArgs;
use crate::config::Typed;
use crate::errors::CommandError;
use crate::evidence::story::{Told, no_facts};
use crate::evidence::verdict;

/// Runs the command once.
pub fn run(args: &RunArgs) -> Result<ExitCode, CommandError> {
    let (prepared, ahead) = plan::prepare(Typed::Run(args))?;
    once(&prepared, ahead, &mut |_| {})
}

/// One run of what was prepared; `told` hears of it, if it was made.
pub fn once(
    prepared: &Prepared,
    ahead: Option<Ahead>,
    told: &mut dyn FnMut(&Told<'_>),
) -> Result<ExitCode, CommandError> {
    let plan = &prepared.plan;
    let mut work = Work::begin(prepared, false)?;
    let mut ran = work
        .session(ahead)
        .and_then(|mut session| work.run(&mut session, Label::A, 0, prepared.export.is_some()));
    let interrupted = work.interrupted();
    let facts = match &interrupted {
        Some(no_run) => no_facts(no_run),
        None => facts(&ran, plan),
    };
    let mut judgement = verdict::single(plan, facts, work.troubles());
    if judgement.exit_code == exit::OK
        && let Ok(ran) = &ran
        && let Err((why, hint)) = work.export(ran)
    {
        work.trouble(why, Some(hint));
        judgement = verdict::single(plan, facts, work.troubles());
    }
    // The outputs are where they belong: the scratch folder goes while evidence is written.
    let scratch = ran.as_mut().ok().and_then(Ran::take_scratch);
    let runs: Vec<_> = ran.iter().map(Ran::told).collect();
    runs.iter().for_each(told);
    Ok(std::thread::scope(|scope| {
        // Where no thread can be had, the closure is dropped, and the folder with it.
        let _ = Builder::new().spawn_scoped(scope, move || drop(scratch));
        work.end("run", runs, None, judgement, Moved::default())
    }))
}
