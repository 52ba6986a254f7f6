use std::collections::BTreeMap;

use belljar_model::{DifferenceKind, Label, Layer, LayerReport, Variation};
use proptest::prelude::*;

use super::*;
use crate::evidence::samples;

/// One run, as a table needs it.
#[derive(Debug, Clone)]
struct Run {
    report: Result<RunReport, NoRun>,
    holes: usize,
    denied: usize,
    outputs: Option<usize>,
}

impl Run {
    fn facts(&self) -> RunFacts<'_> {
        RunFacts {
            report: self.report.as_ref(),
            holes: self.holes,
            denied: self.denied,
            outputs: self.outputs,
        }
    }
}

fn good(label: Label) -> Run {
    Run {
        report: Ok(samples::run(label)),
        holes: 0,
        denied: 0,
        outputs: Some(1),
    }
}

/// What is wrong with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    NotSetUp,
    NotFound,
    NotExecutable,
    InterruptedBefore,
    Ended(EndedBy),
    Status(i32),
    Signal,
    WallDown,
    WallPartial,
    PreferredMissing,
    Hole,
    CanaryFalse,
    CanaryNone,
    ClockOther,
    Uncovered,
    Lost,
    NoOutputs,
    NotCaptured,
    Denied,
}
use Flaw as F;

fn flawed(label: Label, flaw: Flaw) -> Run {
    let mut run = good(label);
    let report = run.report.as_mut().unwrap();
    let layer = |required, state| LayerReport {
        required,
        state,
        ..LayerReport::full(Layer::Seccomp, "some")
    };
    let no_run = |class| {
        Err(NoRun {
            class,
            sentence: "could not".into(),
        })
    };
    match flaw {
        F::None => {}
        F::NotSetUp => run.report = no_run(Class::Setup),
        F::NotFound => run.report = no_run(Class::NotFound),
        F::NotExecutable => run.report = no_run(Class::NotExecutable),
        F::InterruptedBefore => run.report = no_run(Class::Interrupted),
        F::Ended(by) => (report.ended_by, report.status, report.signal) = (by, None, Some(9)),
        F::Status(code) => report.status = Some(code),
        F::Signal => {
            (report.ended_by, report.status, report.signal) = (EndedBy::Signal, None, Some(11));
        }
        F::WallDown => report.layers = vec![layer(true, State::Missing)],
        F::WallPartial => report.layers = vec![layer(true, State::Partial)],
        F::PreferredMissing => report.layers = vec![layer(false, State::Missing)],
        F::Hole => run.holes = 1,
        F::CanaryFalse => report.clock.readers = BTreeMap::from([("time".into(), false)]),
        F::CanaryNone => report.clock.readers.clear(),
        F::ClockOther => report.clock.moved = !report.clock.moved,
        F::Uncovered => report.clock.uncovered = vec!["/build/x".into()],
        F::Lost => report.records_lost = 1,
        F::NoOutputs => run.outputs = Some(0),
        F::NotCaptured => run.outputs = None,
        F::Denied => run.denied = 1,
    }
    run
}

fn differences(gating: &[bool]) -> Differences {
    let items = gating.iter().map(|gating| Difference {
        path: "out".into(),
        gating: *gating,
        kind: DifferenceKind::OnlyInA,
        causes: vec![],
    });
    Differences {
        schema: Differences::SCHEMA.into(),
        compared: 1,
        items: items.collect(),
    }
}

fn judge(a: Flaw, b: Flaw, gating: &[bool]) -> Judgement {
    let (a, b) = (flawed(Label::A, a), flawed(Label::B, b));
    pair(
        &samples::plan(),
        a.facts(),
        Some(b.facts()),
        Some(&differences(gating)),
        &[],
    )
}

const REPRODUCIBLE: (Verdict, u8, EndedBy) = (Verdict::Reproducible, 0, EndedBy::Command);
const INCOMPLETE: (Verdict, u8, EndedBy) = (Verdict::Incomplete, 6, EndedBy::Incomplete);

/// What becomes of a flaw in A with a good B, in B with a good A, and in a single run.
type Row = (
    Flaw,
    (Verdict, u8, EndedBy),
    (Verdict, u8, EndedBy),
    (u8, EndedBy),
);

#[rustfmt::skip]
fn table() -> Vec<Row> {
    use EndedBy as E;
    use Verdict as V;
    let setup = |code| (V::Incomplete, code, E::Setup);
    let interrupt = (V::Incomplete, 130, E::Interrupt);
    let failed = |by| (V::BuildFailed, 1, by);
    let varied = |by| (V::FailsUnderVariation, 5, by);
    let open = |code, by| (V::Incomplete, code, by);
    vec![
        (F::None,                 REPRODUCIBLE,                     REPRODUCIBLE,             (0, E::Command)),
        (F::PreferredMissing,     REPRODUCIBLE,                     REPRODUCIBLE,             (0, E::Command)),
        (F::Denied,               REPRODUCIBLE,                     REPRODUCIBLE,             (0, E::Command)),
        (F::NotSetUp,             setup(125),                       setup(125),               (125, E::Setup)),
        (F::NotFound,             setup(127),                       setup(127),               (127, E::Setup)),
        (F::NotExecutable,        setup(126),                       setup(126),               (126, E::Setup)),
        (F::InterruptedBefore,    interrupt,                        interrupt,                (130, E::Interrupt)),
        (F::Ended(E::Interrupt),  interrupt,                        interrupt,                (130, E::Interrupt)),
        (F::Ended(E::Setup),      setup(125),                       setup(125),               (125, E::Setup)),
        (F::WallDown,             setup(125),                       setup(125),               (125, E::Setup)),
        (F::WallPartial,          setup(125),                       setup(125),               (125, E::Setup)),
        (F::Hole,                 setup(125),                       setup(125),               (125, E::Setup)),
        (F::Ended(E::Timeout),    (V::BuildFailed, 124, E::Timeout), open(124, E::Timeout),   (124, E::Timeout)),
        (F::Ended(E::Oom),        failed(E::Oom),                   open(6, E::Oom),          (137, E::Oom)),
        (F::Ended(E::Pids),       failed(E::Pids),                  open(6, E::Pids),         (137, E::Pids)),
        (F::Ended(E::Disk),       failed(E::Disk),                  open(6, E::Disk),         (137, E::Disk)),
        (F::Ended(E::Incomplete), INCOMPLETE,                       INCOMPLETE,               (6, E::Incomplete)),
        (F::Ended(E::Command),    failed(E::Command),               INCOMPLETE,               (137, E::Command)),
        (F::Status(1),            failed(E::Command),               varied(E::Command),       (1, E::Command)),
        (F::Status(125),          failed(E::Command),               varied(E::Command),       (125, E::Command)),
        (F::Signal,               failed(E::Signal),                varied(E::Signal),        (139, E::Signal)),
        (F::CanaryFalse,          INCOMPLETE,                       INCOMPLETE,               (0, E::Command)),
        (F::CanaryNone,           INCOMPLETE,                       INCOMPLETE,               (0, E::Command)),
        (F::ClockOther,           INCOMPLETE,                       INCOMPLETE,               (0, E::Command)),
        (F::Uncovered,            INCOMPLETE,                       INCOMPLETE,               (0, E::Command)),
        (F::Lost,                 INCOMPLETE,                       INCOMPLETE,               (6, E::Incomplete)),
        (F::NotCaptured,          INCOMPLETE,                       INCOMPLETE,               (0, E::Command)),
        (F::NoOutputs,            REPRODUCIBLE,                     REPRODUCIBLE,             (0, E::Command)),
    ]
}

#[test]
fn each_flaw_in_a_in_b_and_alone() {
    for (flaw, in_a, in_b, alone) in table() {
        let got = judge(flaw, F::None, &[]);
        assert_eq!(
            (got.verdict.unwrap(), got.exit_code, got.ended_by),
            in_a,
            "{flaw:?} in A"
        );
        assert_eq!(
            got.incomplete.is_empty(),
            in_a.0 != Verdict::Incomplete,
            "{flaw:?} in A"
        );
        let got = judge(F::None, flaw, &[]);
        assert_eq!(
            (got.verdict.unwrap(), got.exit_code, got.ended_by),
            in_b,
            "{flaw:?} in B"
        );
        assert_eq!(
            got.incomplete.is_empty(),
            in_b.0 != Verdict::Incomplete,
            "{flaw:?} in B"
        );
        let run = flawed(Label::A, flaw);
        let got = single(&samples::plan(), run.facts(), &[]);
        assert_eq!((got.exit_code, got.ended_by), alone, "{flaw:?} alone");
        assert_eq!(got.verdict, None);
    }
}

/// Gating differences show only between two good runs: every doubt comes first.
#[test]
fn differences_with_each_flaw() {
    for (flaw, in_a, in_b, _) in table() {
        for (got, without) in [
            (judge(flaw, F::None, &[true]), in_a),
            (judge(F::None, flaw, &[true]), in_b),
        ] {
            let wanted = if without == REPRODUCIBLE {
                (Verdict::Differs, 3, EndedBy::Command)
            } else {
                without
            };
            assert_eq!(
                (got.verdict.unwrap(), got.exit_code, got.ended_by),
                wanted,
                "{flaw:?}"
            );
        }
    }
    assert_eq!(
        judge(F::None, F::None, &[false, true]).verdict,
        Some(Verdict::Differs)
    );
    assert_eq!(
        judge(F::None, F::None, &[false]).verdict,
        Some(Verdict::Reproducible)
    );
}

/// With `on_deny = "fail"` a denial decides whatever else ends the build, but not over a wall
/// that is down nor over an interrupt.
#[test]
fn a_denial_gates_only_where_asked() {
    let mut plan = samples::plan();
    plan.on_deny = OnDeny::Fail;
    for (flaw, in_a, in_b, alone) in table() {
        for (place, without) in [(Label::A, in_a), (Label::B, in_b)] {
            let (mut a, mut b) = (good(Label::A), good(Label::B));
            let run = if place == Label::A { &mut a } else { &mut b };
            *run = flawed(place, flaw);
            run.denied = 1;
            let got = pair(
                &plan,
                a.facts(),
                Some(b.facts()),
                Some(&differences(&[])),
                &[],
            );
            let first = matches!(without.2, EndedBy::Setup | EndedBy::Interrupt);
            let wanted = if first {
                without
            } else {
                (Verdict::PolicyViolation, 4, EndedBy::Policy)
            };
            assert_eq!(
                (got.verdict.unwrap(), got.exit_code, got.ended_by),
                wanted,
                "{flaw:?} in {place:?}"
            );
        }
        let mut run = flawed(Label::A, flaw);
        run.denied = 1;
        let got = single(&plan, run.facts(), &[]);
        let first = matches!(alone.1, EndedBy::Setup | EndedBy::Interrupt);
        let wanted = if first { alone } else { (4, EndedBy::Policy) };
        assert_eq!((got.exit_code, got.ended_by), wanted, "{flaw:?} alone");
    }
    assert_eq!(
        judge(F::Denied, F::Denied, &[]).verdict,
        Some(Verdict::Reproducible)
    );
}

#[test]
fn outputs_that_no_run_has_are_no_outputs() {
    let got = judge(F::NoOutputs, F::NoOutputs, &[]);
    assert_eq!((got.verdict, got.exit_code), (Some(Verdict::Incomplete), 6));
    assert_eq!(got.incomplete, ["the build left no outputs"]);
    let mut plan = samples::plan();
    plan.outputs.allow_empty = true;
    let (a, b) = (
        flawed(Label::A, F::NoOutputs),
        flawed(Label::B, F::NoOutputs),
    );
    let got = pair(
        &plan,
        a.facts(),
        Some(b.facts()),
        Some(&differences(&[])),
        &[],
    );
    assert_eq!(got.verdict, Some(Verdict::Reproducible));
}

#[test]
fn what_was_not_done_is_incomplete() {
    let (a, b) = (good(Label::A), good(Label::B));
    let plan = samples::plan();
    let none = differences(&[]);
    let mut unvaried = samples::plan();
    unvaried.clock = None;
    let trouble = ["the outputs of run B could not be read".to_owned()];
    for got in [
        pair(&plan, a.facts(), None, Some(&none), &[]),
        pair(&plan, a.facts(), Some(b.facts()), None, &[]),
        pair(&plan, a.facts(), Some(b.facts()), Some(&none), &trouble),
        pair(&unvaried, a.facts(), Some(b.facts()), Some(&none), &[]),
    ] {
        assert_eq!(
            (got.verdict, got.exit_code),
            (Some(Verdict::Incomplete), 6),
            "{got:?}"
        );
    }
    let got = single(&plan, a.facts(), &trouble);
    assert_eq!((got.exit_code, got.ended_by), (6, EndedBy::Incomplete));
    let failed = flawed(Label::A, F::Status(7));
    assert_eq!(single(&plan, failed.facts(), &trouble).exit_code, 7);
    let failed = pair(&plan, failed.facts(), None, None, &[]);
    assert_eq!(failed.verdict, Some(Verdict::BuildFailed));
}

#[test]
fn the_clock_is_varied_only_if_both_canaries_say_so() {
    let plan = samples::plan();
    let (a, b) = (samples::run(Label::A), samples::run(Label::B));
    assert_eq!(variations(&plan, &[&a, &b]).varied, [Variation::Time]);
    assert_eq!(variations(&plan, &[&a]).ineffective, [Variation::Time]);
    for flaw in [F::CanaryFalse, F::CanaryNone, F::ClockOther, F::Uncovered] {
        let b = flawed(Label::B, flaw).report.unwrap();
        assert_eq!(
            variations(&plan, &[&a, &b]).ineffective,
            [Variation::Time],
            "{flaw:?}"
        );
        let a = flawed(Label::A, flaw).report.unwrap();
        assert_eq!(variations(&plan, &[&a, &b]).varied, [], "{flaw:?}");
    }
    let mut single = plan;
    single.clock = None;
    single.source_date_epoch = Some(0);
    let of = variations(&single, &[&a]);
    assert_eq!((of.varied, of.ineffective), (vec![], vec![]));
    assert!(of.held.contains(&"source-date-epoch".into()));
}

fn any_flaw() -> impl Strategy<Value = Flaw> {
    let all: Vec<Flaw> = table().into_iter().map(|row| row.0).collect();
    proptest::sample::select(all)
}

proptest! {
    /// Whatever comes together: only two good runs without a gating difference are reproducible,
    /// nothing else exits with 0, and a set-up failure never looks like the command's own end.
    #[test]
    fn closed(a in any_flaw(), b in any_flaw(), gating: Vec<bool>, fail: bool, b_made: bool, compared: bool, empty: bool) {
        let mut plan = samples::plan();
        plan.outputs.allow_empty = empty;
        if fail { plan.on_deny = OnDeny::Fail; }
        let (ra, rb) = (flawed(Label::A, a), flawed(Label::B, b));
        let found = differences(&gating);
        let got = pair(&plan, ra.facts(), b_made.then(|| rb.facts()), compared.then_some(&found), &[]);
        let harmless = |f| matches!(f, F::None | F::PreferredMissing | F::NoOutputs) || (f == F::Denied && !fail);
        let outputs = empty || a != F::NoOutputs || b != F::NoOutputs;
        let good = harmless(a) && harmless(b) && b_made && compared && outputs && !gating.contains(&true);
        prop_assert_eq!(got.verdict == Some(Verdict::Reproducible), good);
        prop_assert_eq!(got.exit_code == 0, good);
        let numbers_of_setup = [125, 126, 127].contains(&got.exit_code);
        prop_assert_eq!(numbers_of_setup, got.ended_by == EndedBy::Setup);
        prop_assert_eq!(got.verdict == Some(Verdict::Incomplete), !got.incomplete.is_empty());
    }
}
