//! `belljar doctor`: makes the pair that `verify` makes, with a command that does nothing, and
//! says of each layer whether it stands.
//!
//! It asks the sandbox and the verdict's own rules, and has none of its own, so that it can't say
//! ok where a run fails.

use std::fmt::Write as _;
use std::process::ExitCode;

use belljar_model::{
    Differences, DoctorDoc, DoctorFailure, Label, LayerReport, Plan, State, Verdict, exit,
};
use belljar_sandbox::SetupError;
use belljar_sandbox::launch::{Outcome, Session, Sink, Stop, Stream};
use belljar_sandbox::plan::Host;
use owo_colors::{OwoColorize as _, Style};

use super::plan;
use super::verify;
use crate::args::{DoctorArgs, SharedArgs, VerifyArgs};
use crate::config::Typed;
use crate::errors::CommandError;
use crate::evidence::folder::Staging;
use crate::evidence::report::escape::line;
use crate::evidence::story::Told;
use crate::evidence::verdict::{self, RunFacts};

/// Does nothing, and is there on every Linux.
const NOTHING: &str = "/bin/true";

/// Nobody looks at the output of a command that has none.
struct Nobody;

impl Sink for Nobody {
    fn output(&mut self, _: Label, _: Stream, _: &[u8]) -> bool {
        true
    }
}

/// Tries everything and says what was found.
pub fn run(args: &DoctorArgs) -> Result<ExitCode, CommandError> {
    let shared = SharedArgs {
        command: vec![NOTHING.into()],
        require: args.require.clone(),
        allow_empty: true,
        ..SharedArgs::default()
    };
    let verify = VerifyArgs {
        far: false,
        shared,
        skew: None,
        vary: None,
    };
    let (prepared, _) = plan::prepare(Typed::Verify(&verify))?;
    let stop = Stop::install()?;
    let doc = examine(&prepared.plan, &prepared.host, &stop);
    if args.json {
        super::print(&crate::evidence::json(&doc))?;
    } else {
        super::print_styled(&render(&doc))?;
    }
    Ok(ExitCode::from(if doc.works {
        exit::OK
    } else {
        exit::SETUP
    }))
}

fn examine(plan: &Plan, host: &Host, stop: &Stop) -> DoctorDoc {
    // Without what the caller requires, so that the layers are known also where that fails.
    let mut bare = plan.clone();
    bare.require.clear();
    let mut layers = Vec::new();
    let mut failures: Vec<_> = pair(&bare, host, stop, &mut layers)
        .err()
        .into_iter()
        .collect();
    if failures.is_empty() && !plan.require.is_empty() {
        failures.extend(pair(plan, host, stop, &mut layers).err());
    }
    failures.extend(evidence(host));
    DoctorDoc {
        schema: DoctorDoc::SCHEMA.into(),
        works: failures.is_empty(),
        layers,
        failures,
    }
}

/// Both runs, judged as `verify` judges them. `layers` are those of the last run that was made.
fn pair(
    plan: &Plan,
    host: &Host,
    stop: &Stop,
    layers: &mut Vec<LayerReport>,
) -> Result<(), DoctorFailure> {
    let mut session = Session::prepare(plan, host, None).map_err(failure)?;
    let a = session
        .run(Label::A, 0, None, &mut Nobody, stop)
        .map_err(failure)?;
    layers.clone_from(&a.report.layers);
    let offset_s = verify::offset(plan, &session, verify::start_s(&a.report))
        .map_err(|e| failure(verify::unmoved(&e)))?;
    let b = session
        .run(Label::B, offset_s, None, &mut Nobody, stop)
        .map_err(failure)?;
    layers.clone_from(&b.report.layers);
    let nothing = Differences {
        schema: Differences::SCHEMA.into(),
        compared: 0,
        items: vec![],
    };
    let judged = verdict::pair(
        plan,
        facts(&a, plan),
        Some(facts(&b, plan)),
        Some(&nothing),
        &[],
    );
    if judged.verdict == Some(Verdict::Reproducible) {
        return Ok(());
    }
    let ended = || format!("{NOTHING} did not end with 0 in both runs");
    let what = if judged.incomplete.is_empty() {
        ended()
    } else {
        judged.incomplete.join("; ")
    };
    Err(DoctorFailure { what, fix: None })
}

/// A command that does nothing leaves no outputs, so there is nothing to read.
fn facts<'a>(outcome: &'a Outcome, plan: &Plan) -> RunFacts<'a> {
    let told = Told {
        report: &outcome.report,
        budgets: &outcome.budgets,
        egress: &outcome.egress,
        selftest: &outcome.selftest,
        manifest: None,
    };
    RunFacts {
        outputs: Some(0),
        ..told.facts(plan)
    }
}

/// Whether evidence can be written; what had to be made for it is taken away again.
fn evidence(host: &Host) -> Option<DoctorFailure> {
    let there = host.evidence.exists();
    let opened = Staging::open(&host.evidence, &host.root, host.owner).map(drop);
    if !there {
        // Only a folder that is still empty goes.
        let _ = std::fs::remove_dir(&host.evidence);
    }
    opened.err().map(|e| DoctorFailure {
        what: format!("evidence can't be written: {e}"),
        fix: e.hint().map(str::to_owned),
    })
}

fn failure(e: SetupError) -> DoctorFailure {
    DoctorFailure {
        what: e.to_string(),
        fix: e.hint,
    }
}

fn render(doc: &DoctorDoc) -> String {
    let mut out = String::new();
    for layer in &doc.layers {
        let (word, style) = match layer.state {
            State::Full => ("ok", Style::new().green()),
            State::Partial => ("in part", Style::new().yellow()),
            State::Missing => ("missing", Style::new().yellow()),
            State::NotAsked => ("-", Style::new()),
        };
        let got = match layer.state {
            State::Full => line(&layer.got),
            State::NotAsked => "not asked for".into(),
            State::Partial | State::Missing => {
                format!("wanted {}, got {}", line(&layer.wanted), line(&layer.got))
            }
        };
        let _ = writeln!(
            out,
            "{:8} {:22} {got}",
            word.style(style),
            layer.layer.name()
        );
        for (name, text) in [("why", &layer.why), ("fix", &layer.fix)] {
            if let Some(text) = text {
                let _ = writeln!(out, "{:32}{name}: {}", "", line(text));
            }
        }
    }
    for failure in &doc.failures {
        let _ = writeln!(out, "{} {}", "fails:".red().bold(), line(&failure.what));
        if let Some(fix) = &failure.fix {
            let _ = writeln!(out, "  fix: {}", line(fix));
        }
    }
    let end = if doc.works {
        "belljar works here"
    } else {
        "belljar does not work here"
    };
    let _ = writeln!(out, "{end}");
    out
}

#[cfg(test)]
mod tests;
