//! `belljar verify`: a pair, the comparison, the verdict.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use belljar_compare::{Clock, Options, Side, Tree, compare};
use belljar_model::{Differences, Label, OsText, Plan, RunReport, Verdict, exit};
use belljar_sandbox::SetupError;
use belljar_sandbox::launch::Session;

use super::plan;
use super::work::{Ran, Work, facts};
use crate::args::VerifyArgs;
use crate::config::Typed;
use crate::errors::CommandError;
use crate::evidence::kept::keep;
use crate::evidence::story::no_facts;
use crate::evidence::verdict::{self, NoRun};

/// What became of the runs.
struct Pair {
    a: Result<Ran, NoRun>,
    /// Absent where A left nothing to compare with.
    b: Option<Result<Ran, NoRun>>,
    offset_s: Option<i64>,
}

/// Runs the command twice and compares.
pub fn run(args: &VerifyArgs) -> Result<ExitCode, CommandError> {
    let prepared = plan::prepare(Typed::Verify(args))?;
    let plan = &prepared.plan;
    let mut work = Work::begin(&prepared, true)?;
    let pair = runs(&mut work, plan);
    let told = [Some(&pair.a), pair.b.as_ref()];
    let told = told
        .into_iter()
        .flatten()
        .filter_map(|run| run.as_ref().ok())
        .map(Ran::told);
    let differences = pair.differences(plan);
    if let Some(differences) = &differences {
        pair.keep(differences, &mut work);
    }
    let interrupted = work.interrupted();
    let b = match &interrupted {
        Some(no_run) => Some(no_facts(no_run)),
        None => pair.b.as_ref().map(|b| facts(b, plan)),
    };
    let a = facts(&pair.a, plan);
    let mut judgement = verdict::pair(plan, a, b, differences.as_ref(), work.troubles());
    if judgement.verdict == Some(Verdict::Reproducible)
        && let Ok(a) = &pair.a
        && let Err((why, hint)) = work.export(a)
    {
        // The verdict stands: it is about the outputs, not about where they went.
        CommandError::incomplete(why).hint(hint).print();
        judgement.exit_code = exit::INCOMPLETE;
    }
    let (told, offset_s) = (told.collect(), pair.offset_s);
    Ok(work.end("verify", told, differences.as_ref(), judgement, offset_s))
}

impl Pair {
    /// What differs, where both runs left outputs to compare.
    fn differences(&self, plan: &Plan) -> Option<Differences> {
        let (a, b) = (self.a.as_ref().ok()?, self.b.as_ref()?.as_ref().ok()?);
        let open_a = |path: &OsText| a.workspace().open(path);
        let open_b = |path: &OsText| b.workspace().open(path);
        let options = Options {
            strict: plan.outputs.strict,
            strict_mtime: plan.outputs.strict_mtime,
        };
        Some(compare(side(a, &open_a)?, side(b, &open_b)?, options))
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

fn side<'a>(ran: &'a Ran, tree: &'a dyn Tree) -> Option<Side<'a>> {
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

fn runs(work: &mut Work<'_>, plan: &Plan) -> Pair {
    let only_a = |a| Pair {
        a,
        b: None,
        offset_s: None,
    };
    let mut session = match work.session() {
        Ok(session) => session,
        Err(no_run) => return only_a(Err(no_run)),
    };
    // A skew that can't be had is no reason to build for an hour first.
    if let Err(e) = offset(plan, &session, now_s()) {
        return only_a(Err(work.failed(e)));
    }
    let a = work.run(&mut session, Label::A, 0, true);
    let Ok(ran) = &a else { return only_a(a) };
    // Without A's outputs there is nothing to hold B's against.
    if !ran.passed() || !work.troubles().is_empty() {
        return only_a(a);
    }
    if let Some(no_run) = work.interrupted() {
        return Pair {
            b: Some(Err(no_run)),
            ..only_a(a)
        };
    }
    match offset(plan, &session, start_s(ran.told().report)) {
        Ok(offset_s) => {
            let b = work.run(&mut session, Label::B, offset_s, true);
            Pair {
                a,
                b: Some(b),
                offset_s: Some(offset_s),
            }
        }
        Err(e) => Pair {
            b: Some(Err(work.failed(e))),
            ..only_a(a)
        },
    }
}

/// By how much run B's clock is moved, if it starts now.
pub fn offset(plan: &Plan, session: &Session<'_>, a_start: i64) -> Result<i64, SetupError> {
    let Some(clock) = &plan.clock else {
        return Ok(0);
    };
    let resolved = clock
        .skew
        .resolve(a_start, now_s(), session.survey().newest_s);
    resolved.map_err(|e| {
        SetupError::refused("move the clock of run B", e.to_string())
            .hint("choose another `--skew`; `auto` finds one that no input is newer than")
    })
}

/// When a run started, in whole seconds.
pub fn start_s(report: &RunReport) -> i64 {
    report.when.window.start_ns.div_euclid(1_000_000_000)
}

fn now_s() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
