//! The far run of `verify --far`: run C, sixteen years ahead, after the pair was judged.

use belljar_compare::compare;
use belljar_model::{Differences, EndedBy, FarReport, Label, OsText, Plan, far_offset};
use belljar_sandbox::SetupError;
use belljar_sandbox::launch::Session;

use super::verify::{now_s, options, side, start_s};
use super::work::{Ran, Work, facts};
use crate::errors::Class;
use crate::evidence::far;
use crate::evidence::kept::keep;
use crate::evidence::verdict::NoRun;

/// What became of it.
pub struct Far {
    /// The run, if it was made.
    pub ran: Option<Ran>,
    /// By how many seconds its clock was moved.
    pub offset_s: Option<i64>,
    /// What it says.
    pub report: FarReport,
    /// It was interrupted.
    pub interrupted: bool,
}

impl Far {
    /// It is not made.
    pub fn skipped(report: FarReport) -> Self {
        Self {
            ran: None,
            offset_s: None,
            report,
            interrupted: false,
        }
    }

    /// Makes run C and holds its outputs against run A's; `pair` is what differs between A and B.
    pub fn run(
        work: &mut Work<'_>,
        session: &mut Session<'_>,
        plan: &Plan,
        a: &Ran,
        pair: &Differences,
    ) -> Self {
        let newest_s = session.survey().newest_s;
        let offset = far_offset(start_s(a.told().report), now_s(), newest_s)
            .map_err(|e| SetupError::refused("move the clock of run C", e.to_string()));
        let offset_s = offset.as_ref().ok().copied();
        let made = match (work.interrupted(), offset) {
            (Some(no_run), _) => Err(no_run),
            (None, Ok(offset_s)) => work
                .attempt(session, Label::C, offset_s)
                .map_err(|e| no_run(&e)),
            (None, Err(e)) => Err(no_run(&e)),
        };
        let made = made.map(|mut ran| {
            // Outputs that can't be read, or are not there, are found to be so when they are compared.
            if ran.passed() {
                let _ = work.capture(&mut ran, Label::C);
            }
            ran
        });
        let differences = made.as_ref().ok().and_then(|c| apart(plan, a, c));
        let report = far::judge(facts(&made, plan), pair, differences.as_ref());
        if let (Ok(c), Some(differences)) = (&made, differences) {
            keep_bombs(work, [a, c], differences, &report);
        }
        let interrupted = match &made {
            Ok(ran) => ran.told().report.ended_by == EndedBy::Interrupt,
            Err(no_run) => no_run.class == Class::Interrupted,
        };
        Self {
            ran: made.ok(),
            offset_s,
            report,
            interrupted,
        }
    }
}

/// What differs between A and C.
fn apart(plan: &Plan, a: &Ran, c: &Ran) -> Option<Differences> {
    let open_a = |path: &OsText| a.workspace().open(path);
    let open_c = |path: &OsText| c.workspace().open(path);
    Some(compare(side(a, &open_a)?, side(c, &open_c)?, options(plan)))
}

/// Keeps what differs in C alone, beside what A has of it.
fn keep_bombs(work: &mut Work<'_>, runs: [&Ran; 2], differences: Differences, report: &FarReport) {
    let bombs = Differences {
        items: differences
            .items
            .into_iter()
            .filter(|d| report.outputs.contains(&d.path))
            .collect(),
        ..differences
    };
    for ran in runs {
        let open = |path: &OsText| ran.workspace().open(path);
        if let Some(manifest) = ran.told().manifest {
            work.staged(|staging| keep(&bombs, manifest, &open, staging));
        }
    }
}

fn no_run(e: &SetupError) -> NoRun {
    let sentence = SetupError {
        path: None,
        ..e.clone()
    };
    NoRun {
        class: Class::of_setup(e),
        sentence: sentence.to_string(),
    }
}
