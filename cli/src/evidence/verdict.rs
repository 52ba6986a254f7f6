//! From what is known of the runs to the verdict, the exit code and what ended it all. Pure, and
//! closed: what is not known to be good is not good.

mod doubts;

use belljar_model::{
    Difference, Differences, EndedBy, LayerReport, OnDeny, Plan, RunReport, State, Verdict, exit,
};

use crate::errors::Class;
pub use doubts::{NO_OUTPUTS, clock_doubt, variations};
use doubts::{budget_ended, doubts, lost, unseen};

/// What the verdict needs to know of one run.
#[derive(Debug, Clone, Copy)]
pub struct RunFacts<'a> {
    /// The report, or why there is none.
    pub report: Result<&'a RunReport, &'a NoRun>,
    /// Probes of the self-test that were not denied.
    pub holes: usize,
    /// Denials of class external.
    pub denied: usize,
    /// Outputs that gate, folders not counted; absent: they were not captured.
    pub outputs: Option<usize>,
}

/// The command did not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRun {
    /// Setup, not found, not executable, or interrupted.
    pub class: Class,
    /// One sentence.
    pub sentence: String,
}

/// What is said at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict on a pair.
    pub verdict: Option<Verdict>,
    /// What ended the run that decided.
    pub ended_by: EndedBy,
    /// What belljar exits with, if the evidence is written.
    pub exit_code: u8,
    /// Why no statement can be made, one sentence each.
    pub incomplete: Vec<String>,
}

/// Both runs of a pair, B only if it was made, and what was found. `trouble` is whatever else went
/// wrong after the runs, one sentence each.
pub fn pair(
    plan: &Plan,
    a: RunFacts<'_>,
    b: Option<RunFacts<'_>>,
    differences: Option<&Differences>,
    trouble: &[String],
) -> Judgement {
    let runs: Vec<RunFacts<'_>> = [Some(a), b].into_iter().flatten().collect();
    let say = |verdict: Verdict, ended_by, exit_code, incomplete| Judgement {
        verdict: Some(verdict),
        ended_by,
        exit_code,
        incomplete,
    };
    if let Some(stopped) = stopped(&runs) {
        return Judgement {
            verdict: Some(Verdict::Incomplete),
            ..stopped
        };
    }
    if gated(plan, &runs) {
        return say(
            Verdict::PolicyViolation,
            EndedBy::Policy,
            exit::POLICY,
            vec![],
        );
    }
    let report = a.report.ok();
    if ended(report) == EndedBy::Timeout {
        return say(
            Verdict::BuildFailed,
            EndedBy::Timeout,
            exit::TIMEOUT,
            vec![],
        );
    }
    if !passed(report) && ended(report) != EndedBy::Incomplete {
        return say(
            Verdict::BuildFailed,
            ended(report),
            exit::BUILD_FAILED,
            vec![],
        );
    }
    let b_report = b.and_then(|b| b.report.ok());
    let mut open = doubts(plan, &runs);
    if b.is_none() && trouble.is_empty() {
        open.push("run B was not made".into());
    }
    open.extend(b.and_then(budget_ended));
    if passed(b_report) {
        open.extend(unseen(plan, a, b, differences));
    }
    open.extend_from_slice(trouble);
    if !open.is_empty() {
        let (ended_by, code) = match b_report.map(|r| r.ended_by) {
            Some(EndedBy::Timeout) => (EndedBy::Timeout, exit::TIMEOUT),
            Some(by @ (EndedBy::Oom | EndedBy::Pids | EndedBy::Disk)) => (by, exit::INCOMPLETE),
            _ => (EndedBy::Incomplete, exit::INCOMPLETE),
        };
        return say(Verdict::Incomplete, ended_by, code, open);
    }
    let by = ended(b_report);
    if !passed(b_report) {
        return say(
            Verdict::FailsUnderVariation,
            by,
            exit::FAILS_UNDER_VARIATION,
            vec![],
        );
    }
    if gating(differences).next().is_some() {
        return say(Verdict::Differs, by, exit::DIFFERS, vec![]);
    }
    say(Verdict::Reproducible, by, exit::OK, vec![])
}

/// A single run. It has no verdict.
pub fn single(plan: &Plan, run: RunFacts<'_>, trouble: &[String]) -> Judgement {
    let runs = [run];
    if let Some(stopped) = stopped(&runs) {
        return stopped;
    }
    let report = run.report.ok();
    let mut open = Vec::new();
    open.extend(lost(&runs));
    open.extend_from_slice(trouble);
    let (ended_by, exit_code) = if gated(plan, &runs) {
        (EndedBy::Policy, exit::POLICY)
    } else if passed(report) && !open.is_empty() {
        (EndedBy::Incomplete, exit::INCOMPLETE)
    } else {
        (ended(report), own_code(report))
    };
    Judgement {
        verdict: None,
        ended_by,
        exit_code,
        incomplete: open,
    }
}

/// Setup and interrupts: the code and the sentence, without a verdict.
fn stopped(runs: &[RunFacts<'_>]) -> Option<Judgement> {
    let (by, code, why) = runs.iter().find_map(|run| match run.report {
        Err(none) if none.class == Class::Interrupted => {
            Some((EndedBy::Interrupt, exit::INTERRUPTED, none.sentence.clone()))
        }
        Err(none) => Some((
            EndedBy::Setup,
            none.class.exit_code(),
            none.sentence.clone(),
        )),
        Ok(report) => broken(report, run.holes).or_else(|| interrupted(report)),
    })?;
    Some(Judgement {
        verdict: None,
        ended_by: by,
        exit_code: code,
        incomplete: vec![why],
    })
}

/// A wall that must stand and does not, whoever let it pass until here.
pub(super) fn broken(report: &RunReport, holes: usize) -> Option<(EndedBy, u8, String)> {
    let run = report.run.upper();
    let down = report
        .layers
        .iter()
        .find(|l| l.required && falls_short(l))
        .map(|l| format!("the layer {} did not stand in run {run}", l.layer.name()));
    let hole = (holes > 0).then(|| format!("the self-test of run {run} found {holes} ways out"));
    let setup = (report.ended_by == EndedBy::Setup)
        .then(|| format!("a required layer could not be kept in run {run}"));
    let why = down.or(hole).or(setup)?;
    Some((EndedBy::Setup, exit::SETUP, why))
}

/// A layer that was required with a level may stand in part: the sandbox checked the level.
fn falls_short(layer: &LayerReport) -> bool {
    match layer.state {
        State::Missing => true,
        State::Partial => layer.layer.required_by_default(),
        State::Full | State::NotAsked => false,
    }
}

fn interrupted(report: &RunReport) -> Option<(EndedBy, u8, String)> {
    (report.ended_by == EndedBy::Interrupt).then(|| {
        let why = format!("interrupted in run {}", report.run.upper());
        (EndedBy::Interrupt, exit::INTERRUPTED, why)
    })
}

/// Whether a denial decides. It does however the build ended: a build that fails, or hangs, over
/// a refused fetch has the refusal as its cause.
fn gated(plan: &Plan, runs: &[RunFacts<'_>]) -> bool {
    plan.on_deny == OnDeny::Fail
        && runs
            .iter()
            .any(|run| run.denied > 0 || run.report.is_ok_and(|r| r.ended_by == EndedBy::Policy))
}

fn passed(report: Option<&RunReport>) -> bool {
    report.is_some_and(|r| r.ended_by == EndedBy::Command && r.status == Some(0))
}

fn ended(report: Option<&RunReport>) -> EndedBy {
    report.map_or(EndedBy::Incomplete, |r| r.ended_by)
}

fn gating(differences: Option<&Differences>) -> impl Iterator<Item = &Difference> {
    differences.into_iter().flat_map(Differences::gating)
}

/// A single run's own code; never 0 unless the command itself ended with it.
fn own_code(report: Option<&RunReport>) -> u8 {
    let Some(report) = report else {
        return exit::INCOMPLETE;
    };
    let own = match (report.status, report.signal) {
        (Some(status), _) => u8::try_from(status).ok(),
        (None, Some(signal)) => u8::try_from(signal)
            .ok()
            .and_then(|s| s.checked_add(exit::SIGNAL_BASE)),
        (None, None) => None,
    };
    match (report.ended_by, own) {
        (EndedBy::Timeout, _) => exit::TIMEOUT,
        (EndedBy::Command, Some(code)) => code,
        (EndedBy::Command, None) | (EndedBy::Incomplete, _) => exit::INCOMPLETE,
        (_, Some(code)) if code != 0 => code,
        // Ended by a budget, with the command's own end unknown: as by SIGKILL.
        _ => exit::SIGNAL_BASE + 9,
    }
}

#[cfg(test)]
mod tests;
