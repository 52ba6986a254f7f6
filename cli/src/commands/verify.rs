//! `belljar verify`: a pair, the comparison, the verdict.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use belljar_compare::{Clock, Options, Side, Tree, compare};
use belljar_model::{
    Differences, EndedBy, Label, OsText, Plan, RunReport, SkewError, Verdict, exit,
};
use belljar_sandbox::SetupError;
use belljar_sandbox::launch::Session;

use super::far::Far;
use super::plan;
use super::work::{Moved, Ran, Work, facts};
use crate::args::VerifyArgs;
use crate::config::Typed;
use crate::errors::CommandError;
use crate::evidence::far;
use crate::evidence::kept::keep;
use crate::evidence::report::escape::line;
use crate::evidence::story::no_facts;
use crate::evidence::verdict::{self, Judgement, NoRun};

/// What became of the runs.
struct Pair {
    a: Result<Ran, NoRun>,
    /// Absent where A left nothing to compare with.
    b: Option<Result<Ran, NoRun>>,
    offset_s: Option<i64>,
}

/// Runs the command twice and compares.
pub fn run(args: &VerifyArgs) -> Result<ExitCode, CommandError> {
    let (prepared, ahead) = plan::prepare(Typed::Verify(args))?;
    let plan = &prepared.plan;
    let mut work = Work::begin(&prepared, true)?;
    let mut session = work.session(ahead);
    let pair = match &mut session {
        Ok(session) => runs(&mut work, session, plan)?,
        Err(no_run) => Pair::only(Err(no_run.clone())),
    };
    let differences = pair.differences(plan);
    if let Some(differences) = &differences {
        pair.keep(differences, &mut work);
    }
    let mut judgement = judge(&mut work, plan, &pair, differences.as_ref());
    let far = plan.clock.as_ref().is_some_and(|c| c.far).then(|| {
        let compared = differences.is_some();
        match (
            far::skipped(judgement.verdict, compared),
            &pair.a,
            &mut session,
            &differences,
        ) {
            (None, Ok(a), Ok(session), Some(found)) => Far::run(&mut work, session, plan, a, found),
            (skipped, ..) => Far::skipped(skipped.unwrap_or_else(far::nothing)),
        }
    });
    if far.as_ref().is_some_and(|far| far.interrupted) {
        // The verdict stands, and whoever asked for an end is told that there was one.
        (judgement.ended_by, judgement.exit_code) = (EndedBy::Interrupt, exit::INTERRUPTED);
    }
    let told = [Some(&pair.a), pair.b.as_ref()].into_iter().flatten();
    let told = told.filter_map(|run| run.as_ref().ok());
    let told = told.chain(far.as_ref().and_then(|far| far.ran.as_ref()));
    let told = told.map(Ran::told).collect();
    let moved = Moved {
        offset_s: pair.offset_s,
        far_offset_s: far.as_ref().and_then(|far| far.offset_s),
        far: far.as_ref().map(|far| far.report.clone()),
    };
    Ok(work.end("verify", told, differences.as_ref(), judgement, moved))
}

/// The verdict on the pair; a reproducible one exports A's outputs.
fn judge(
    work: &mut Work<'_>,
    plan: &Plan,
    pair: &Pair,
    differences: Option<&Differences>,
) -> Judgement {
    let interrupted = work.interrupted();
    let b = match &interrupted {
        Some(no_run) => Some(no_facts(no_run)),
        None => pair.b.as_ref().map(|b| facts(b, plan)),
    };
    let a = facts(&pair.a, plan);
    let mut judgement = verdict::pair(plan, a, b, differences, work.troubles());
    if judgement.verdict == Some(Verdict::Reproducible)
        && let Ok(a) = &pair.a
        && let Err((why, hint)) = work.export(a)
    {
        // The verdict stands: it is about the outputs, not about where they went.
        CommandError::incomplete(why).hint(hint).print();
        judgement.exit_code = exit::INCOMPLETE;
    }
    judgement
}

impl Pair {
    /// Run A, and no run B.
    fn only(a: Result<Ran, NoRun>) -> Self {
        Self {
            a,
            b: None,
            offset_s: None,
        }
    }

    /// What differs, where both runs left outputs to compare.
    fn differences(&self, plan: &Plan) -> Option<Differences> {
        let (a, b) = (self.a.as_ref().ok()?, self.b.as_ref()?.as_ref().ok()?);
        let open_a = |path: &OsText| a.workspace().open(path);
        let open_b = |path: &OsText| b.workspace().open(path);
        Some(compare(side(a, &open_a)?, side(b, &open_b)?, options(plan)))
    }

    /// Keeps the files that differ, as far as they are small.
    fn keep(&self, differences: &Differences, work: &mut Work<'_>) {
        for ran in [Some(&self.a), self.b.as_ref()]
            .into_iter()
            .flatten()
            .flatten()
        {
            let open = |path: &OsText| ran.workspace().open(path);
            if let Some(manifest) = ran.told().manifest {
                work.staged(|staging| keep(differences, manifest, &open, staging));
            }
        }
    }
}

/// What counts as a difference.
pub fn options(plan: &Plan) -> Options {
    Options {
        strict: plan.outputs.strict,
        strict_mtime: plan.outputs.strict_mtime,
    }
}

/// A run's outputs, if they were read.
pub fn side<'a>(ran: &'a Ran, tree: &'a dyn Tree) -> Option<Side<'a>> {
    let told = ran.told();
    let clock = Clock {
        window: told.report.when.window,
        offset_s: ran.workspace().offset_s,
    };
    Some(Side {
        manifest: told.manifest?,
        tree,
        clock: Some(clock),
    })
}

/// Both runs, as far as they come. A skew that can't be had is found before anything is built.
fn runs(work: &mut Work<'_>, session: &mut Session<'_>, plan: &Plan) -> Result<Pair, CommandError> {
    offset(plan, session, now_s()).map_err(|e| refused(&e, session))?;
    let a = work.run(session, Label::A, 0, true);
    let Ok(ran) = &a else {
        return Ok(Pair::only(a));
    };
    // Without A's outputs there is nothing to hold B's against.
    if !ran.passed() || !work.troubles().is_empty() {
        return Ok(Pair::only(a));
    }
    if let Some(no_run) = work.interrupted() {
        return Ok(Pair {
            b: Some(Err(no_run)),
            ..Pair::only(a)
        });
    }
    let offset = offset(plan, session, start_s(ran.told().report));
    let b = match &offset {
        Ok(offset_s) => work.run(session, Label::B, *offset_s, true),
        // It could be had when A began: a date that has passed since.
        Err(e) => Err(work.failed(unmoved(e))),
    };
    Ok(Pair {
        a,
        b: Some(b),
        offset_s: offset.ok(),
    })
}

/// That the clock can't be moved by this rule any more.
pub fn unmoved(e: &SkewError) -> SetupError {
    SetupError::refused("move the clock of run B", e.to_string())
}

/// By how much run B's clock is moved, if it starts now.
pub fn offset(plan: &Plan, session: &Session<'_>, a_start: i64) -> Result<i64, SkewError> {
    let newest_s = session.survey().newest_s;
    plan.clock.as_ref().map_or(Ok(0), |clock| {
        clock.skew.resolve(a_start, now_s(), newest_s)
    })
}

/// What was asked of the clock can't be had with these inputs, or at this time.
fn refused(e: &SkewError, session: &Session<'_>) -> CommandError {
    let made = CommandError::usage(format!("`--skew` can't be used: {e}"));
    let newest = session.survey().newest.to_string_lossy();
    match e {
        SkewError::BeforeInputs { newest: at, .. } => made
            .hint(format!(
                "the newest input is `{}`, of {at}; a program would see it come from the future",
                line(&newest)
            ))
            .hint("`touch` it to an earlier time, move the clock less far back, or leave `--skew` out"),
        _ => made,
    }
}

/// When a run started, in whole seconds.
pub fn start_s(report: &RunReport) -> i64 {
    report.when.window.start_ns.div_euclid(1_000_000_000)
}

/// The real clock, in whole seconds.
pub fn now_s() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
