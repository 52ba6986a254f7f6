//! What forbids a statement on a pair although both runs were made: the clock, lost records,
//! outputs that nobody saw.

use belljar_model::{Differences, EndedBy, Label, Plan, RunReport, Variation, Variations};

use super::RunFacts;

/// Why a build that left nothing can't be judged.
pub const NO_OUTPUTS: &str = "the build left no outputs";

/// What was varied and what had no effect; `held` is the same in both runs.
pub fn variations(plan: &Plan, runs: &[&RunReport]) -> Variations {
    // The far run is not one of the pair.
    let pair = || runs.iter().filter(|r| r.run != Label::C);
    let proven = pair().count() == 2 && pair().all(|r| clock_doubt(r).is_none());
    let time = || plan.clock.iter().map(|_| Variation::Time).collect();
    let (varied, ineffective) = if proven {
        (time(), vec![])
    } else {
        (vec![], time())
    };
    let mut held: Vec<String> = HELD.iter().map(|s| (*s).to_owned()).collect();
    held.extend(
        plan.source_date_epoch
            .map(|_| "source-date-epoch".to_owned()),
    );
    held.sort();
    Variations {
        varied,
        held,
        ineffective,
    }
}

/// What every run has alike, so that it can't make a difference and none proves it harmless.
const HELD: [&str; 12] = [
    "cpu",
    "environment",
    "home",
    "hostname",
    "kernel",
    "locale",
    "memory",
    "path",
    "timezone",
    "umask",
    "uptime",
    "user",
];

/// What in the runs themselves forbids a statement on the pair.
pub(super) fn doubts(plan: &Plan, runs: &[RunFacts<'_>]) -> Vec<String> {
    let mut open = Vec::new();
    open.extend(
        plan.clock
            .is_none()
            .then(|| "nothing was varied".to_owned()),
    );
    for report in runs.iter().filter_map(|run| run.report.ok()) {
        let unknown = report.ended_by == EndedBy::Incomplete
            || (report.ended_by == EndedBy::Command && report.status.is_none());
        open.extend(unknown.then(|| format!("how run {} ended is not known", report.run.upper())));
        open.extend(clock_doubt(report));
    }
    open.extend(lost(runs));
    open
}

/// Why the clock of a run is not proven to have been what it should be.
pub fn clock_doubt(report: &RunReport) -> Option<String> {
    let run = report.run.upper();
    let clock = &report.clock;
    let wrong: Vec<&str> = clock
        .readers
        .iter()
        .filter(|(_, ok)| !**ok)
        .map(|(n, _)| n.as_str())
        .collect();
    if clock.moved != (report.run != Label::A) {
        let what = if clock.moved { "moved" } else { "not moved" };
        Some(format!("the clock of run {run} was {what}"))
    } else if clock.readers.is_empty() {
        Some(format!("no canary read the clock in run {run}"))
    } else if !wrong.is_empty() {
        Some(format!(
            "the clock of run {run} was not what it should be for: {}",
            wrong.join(", ")
        ))
    } else if !clock.uncovered.is_empty() {
        let programs = clock.uncovered.join(", ");
        Some(format!(
            "programs of run {run} could see the real clock: {programs}"
        ))
    } else {
        None
    }
}

pub(super) fn lost<'a>(runs: &'a [RunFacts<'_>]) -> impl Iterator<Item = String> + use<'a> {
    let reports = runs.iter().filter_map(|run| run.report.ok());
    reports.filter(|r| r.records_lost > 0).map(|r| {
        let records = if r.records_lost == 1 {
            "record of run"
        } else {
            "records of run"
        };
        format!("lost {} egress {records} {}", r.records_lost, r.run.upper())
    })
}

/// B under a budget that A kept: whether the variation is to blame is not known.
pub(super) fn budget_ended(b: RunFacts<'_>) -> Option<String> {
    let what = match b.report.ok()?.ended_by {
        EndedBy::Timeout => "time",
        EndedBy::Oom => "memory",
        EndedBy::Pids => "process",
        EndedBy::Disk => "disk",
        _ => return None,
    };
    Some(format!(
        "run B ran out of its {what} budget, which run A kept"
    ))
}

/// What of two passed runs was not seen.
pub(super) fn unseen(
    plan: &Plan,
    a: RunFacts<'_>,
    b: Option<RunFacts<'_>>,
    differences: Option<&Differences>,
) -> Vec<String> {
    let b = b.and_then(|b| b.outputs);
    let (Some(in_a), Some(in_b)) = (a.outputs, b) else {
        return vec!["the outputs could not be read".into()];
    };
    if differences.is_none() {
        return vec!["the outputs could not be compared".into()];
    }
    if in_a == 0 && in_b == 0 && !plan.outputs.allow_empty {
        return vec![NO_OUTPUTS.into()];
    }
    vec![]
}
