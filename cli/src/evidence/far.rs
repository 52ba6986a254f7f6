//! From what the far run left to what is said of it. Pure; nothing of it gates.

use std::collections::BTreeSet;

use belljar_model::{Differences, EndedBy, FarOutcome, FarReport, OsText, RunReport, Verdict};

use super::report::words;
use super::verdict::{RunFacts, broken, clock_doubt};

/// Why the far run is not made after a pair that ended so; `None`: it is.
pub fn skipped(verdict: Option<Verdict>, compared: bool) -> Option<FarReport> {
    let why = match verdict {
        Some(Verdict::FailsUnderVariation) => "run B fails already, with its clock moved less far",
        _ if compared => return None,
        _ => return Some(nothing()),
    };
    Some(report(FarOutcome::Skipped, why.into()))
}

/// There is no pair to hold it against.
pub fn nothing() -> FarReport {
    let why = "the pair left nothing to hold it against";
    report(FarOutcome::Skipped, why.into())
}

/// What run C says. `pair` is what differs between A and B, `far` what differs between A and C.
pub fn judge(c: RunFacts<'_>, pair: &Differences, far: Option<&Differences>) -> FarReport {
    let run = match c.report {
        Ok(run) => run,
        Err(no_run) => return report(FarOutcome::Unknown, no_run.sentence.clone()),
    };
    if let Some(why) = doubt(run, c.holes) {
        return report(FarOutcome::Unknown, why);
    }
    if run.ended_by != EndedBy::Command || run.status != Some(0) {
        return report(
            FarOutcome::TimeBomb,
            format!("run C {}", words::ending(run)),
        );
    }
    let Some(far) = far else {
        let why = "the outputs of run C could not be read";
        return report(FarOutcome::Unknown, why.into());
    };
    let before: BTreeSet<&OsText> = pair.items.iter().map(|d| &d.path).collect();
    let now: BTreeSet<&OsText> = far.gating().map(|d| &d.path).collect();
    let outputs: Vec<OsText> = now
        .difference(&before)
        .map(|path| (*path).clone())
        .collect();
    if outputs.is_empty() {
        return FarReport {
            outcome: FarOutcome::Passed,
            why: None,
            outputs,
        };
    }
    let are = if outputs.len() == 1 { "is" } else { "are" };
    let n = words::count(outputs.len() as u64, "output");
    FarReport {
        outputs,
        ..report(
            FarOutcome::TimeBomb,
            format!("{n} {are} the same in runs A and B, and not in run C"),
        )
    }
}

/// What to do about it.
pub fn hint(far: &FarReport) -> Option<String> {
    match far.outcome {
        FarOutcome::TimeBomb if far.outputs.is_empty() => Some(
            "`logs/c.log` has the output of run C; look there for a certificate, a licence or a date that runs out, or for time in 32 bits (2038)".into(),
        ),
        FarOutcome::TimeBomb => Some(
            "`belljar diff` of `determinism/kept/a` and `determinism/kept/c` shows what differs only far ahead".into(),
        ),
        _ => None,
    }
}

/// Why nothing can be said of a run that was made.
fn doubt(run: &RunReport, holes: usize) -> Option<String> {
    if let Some((_, _, why)) = broken(run, holes) {
        return Some(why);
    }
    let budget =
        |what: &str| format!("run C ran out of its {what} budget, which runs A and B kept");
    match run.ended_by {
        EndedBy::Interrupt => Some("interrupted in run C".into()),
        EndedBy::Timeout => Some(budget("time")),
        EndedBy::Oom => Some(budget("memory")),
        EndedBy::Pids => Some(budget("process")),
        EndedBy::Disk => Some(budget("disk")),
        EndedBy::Incomplete => Some("how run C ended is not known".into()),
        EndedBy::Command | EndedBy::Signal | EndedBy::Policy | EndedBy::Setup => clock_doubt(run),
    }
}

fn report(outcome: FarOutcome, why: String) -> FarReport {
    FarReport {
        outcome,
        why: Some(why),
        outputs: vec![],
    }
}

#[cfg(test)]
mod tests {
    use belljar_model::{Difference, DifferenceKind, Label};

    use super::*;
    use crate::errors::Class;
    use crate::evidence::samples;
    use crate::evidence::verdict::NoRun;

    fn differing(paths: &[(&str, bool)]) -> Differences {
        let items = paths.iter().map(|(path, gating)| Difference {
            path: (*path).into(),
            gating: *gating,
            kind: DifferenceKind::OnlyInA,
            causes: vec![],
        });
        Differences {
            items: items.collect(),
            ..samples::differences()
        }
    }

    fn judged(
        run: &RunReport,
        holes: usize,
        pair: &Differences,
        far: Option<&Differences>,
    ) -> FarReport {
        let facts = RunFacts {
            report: Ok(run),
            holes,
            denied: 0,
            outputs: Some(1),
        };
        judge(facts, pair, far)
    }

    #[test]
    fn only_what_the_pair_did_not_show_is_a_time_bomb() {
        let c = samples::run(Label::C);
        let pair = differing(&[("known", true), ("scratch", false)]);
        let far = |paths: &[(&str, bool)]| judged(&c, 0, &pair, Some(&differing(paths)));
        assert_eq!(far(&[]).outcome, FarOutcome::Passed);
        assert_eq!(
            far(&[("known", true), ("other", false)]).outcome,
            FarOutcome::Passed
        );
        let bomb = far(&[("new", true), ("known", true), ("new", true)]);
        assert_eq!(
            (bomb.outcome, bomb.outputs),
            (FarOutcome::TimeBomb, vec!["new".into()])
        );
    }

    #[test]
    fn a_failure_is_one_where_the_clock_was_moved() {
        let pair = differing(&[]);
        let mut c = samples::run(Label::C);
        c.status = Some(3);
        let bomb = judged(&c, 0, &pair, None);
        assert_eq!(bomb.outcome, FarOutcome::TimeBomb);
        assert!(hint(&bomb).unwrap().contains("logs/c.log"));
        c.clock.moved = false;
        assert_eq!(judged(&c, 0, &pair, None).outcome, FarOutcome::Unknown);
    }

    #[test]
    fn what_is_not_known_is_said_to_be_unknown() {
        let pair = differing(&[]);
        let c = samples::run(Label::C);
        assert_eq!(
            judged(&c, 1, &pair, Some(&pair)).outcome,
            FarOutcome::Unknown
        );
        assert_eq!(judged(&c, 0, &pair, None).outcome, FarOutcome::Unknown);
        for ended_by in [
            EndedBy::Timeout,
            EndedBy::Oom,
            EndedBy::Pids,
            EndedBy::Disk,
            EndedBy::Interrupt,
            EndedBy::Incomplete,
            EndedBy::Setup,
        ] {
            let c = RunReport {
                ended_by,
                ..c.clone()
            };
            assert_eq!(
                judged(&c, 0, &pair, Some(&pair)).outcome,
                FarOutcome::Unknown,
                "{ended_by:?}"
            );
        }
        let none = NoRun {
            class: Class::Setup,
            sentence: "could not".into(),
        };
        let facts = super::super::story::no_facts(&none);
        assert_eq!(judge(facts, &pair, None).outcome, FarOutcome::Unknown);
    }

    #[test]
    fn a_pair_that_fails_already_is_not_followed() {
        assert!(skipped(Some(Verdict::FailsUnderVariation), false).is_some());
        assert!(skipped(Some(Verdict::BuildFailed), false).is_some());
        assert!(skipped(Some(Verdict::Incomplete), false).is_some());
        for verdict in [
            Verdict::Reproducible,
            Verdict::Differs,
            Verdict::PolicyViolation,
        ] {
            assert_eq!(skipped(Some(verdict), true), None);
        }
    }
}
