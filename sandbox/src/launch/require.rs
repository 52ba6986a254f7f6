//! Layers that the user asked for by name: there, at the level asked, or no command.

use std::collections::BTreeMap;

use belljar_model::{Layer, LayerReport, Plan, State};

use super::layers;
use crate::SetupError;

const STEP: &str = "keep a required layer";

/// Marks what is required in the reports of a run and refuses the first that falls short.
pub(super) fn enforce(plan: &Plan, reports: &mut [LayerReport]) -> Result<(), SetupError> {
    stand(&plan.require, reports, plan.clock.is_some())
}

fn stand(
    require: &BTreeMap<Layer, Option<String>>,
    reports: &mut [LayerReport],
    pair: bool,
) -> Result<(), SetupError> {
    for (layer, level) in require {
        let Some(report) = reports.iter_mut().find(|r| r.layer == *layer) else {
            return Err(refusal(*layer, "it is not part of this run", None));
        };
        report.required = true;
        // Run B alone moves the clock, and run A must not be made in vain.
        let of_b = layers::clock(1);
        let report = match report.state {
            State::NotAsked if pair && *layer == Layer::Clock => &of_b,
            State::NotAsked => {
                let why = "nothing in this run asks for it";
                return Err(refusal(*layer, why, asked_by(*layer)));
            }
            _ => report,
        };
        let enough = match level {
            None => report.state == State::Full,
            Some(level) => reaches(&report.got, level),
        };
        if !enough {
            let wanted = level.as_deref().unwrap_or(&report.wanted);
            let why = report.why.as_deref().unwrap_or("this host has no more");
            let detail = format!("wanted {wanted}, got {}: {why}", report.got);
            return Err(refusal(*layer, &detail, report.fix.as_deref()));
        }
    }
    Ok(())
}

fn asked_by(layer: Layer) -> Option<&'static str> {
    match layer {
        Layer::Cgroup => Some("a budget asks for it: --memory 8G, --cpus 4 or --pids 4096"),
        Layer::Clock => Some("`belljar verify` moves the clock"),
        _ => None,
    }
}

/// Levels are numbers (`landlock=6` against `abi 7`) or the exact word.
fn reaches(got: &str, level: &str) -> bool {
    let number = |s: &str| s.rsplit(' ').next().and_then(|w| w.parse::<u32>().ok());
    match (number(got), number(level)) {
        (Some(got), Some(level)) => got >= level,
        _ => got == level,
    }
}

fn refusal(layer: Layer, detail: &str, fix: Option<&str>) -> SetupError {
    SetupError::refused(STEP, format!("{}: {detail}", layer.name())).hint(
        fix.unwrap_or("run `belljar doctor` to see what this host can do, or drop the --require"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn landlock(abi: u32, state: State) -> LayerReport {
        let wanted = "abi 9".to_owned();
        LayerReport {
            state,
            wanted,
            ..LayerReport::full(Layer::Landlock, format!("abi {abi}"))
        }
    }

    fn check(report: LayerReport, level: Option<&str>) -> Result<(), SetupError> {
        let require = BTreeMap::from([(report.layer, level.map(str::to_owned))]);
        stand(&require, &mut [report], false)
    }

    #[test]
    fn a_level_is_a_floor() {
        assert!(check(landlock(7, State::Partial), Some("6")).is_ok());
        assert!(check(landlock(6, State::Partial), Some("6")).is_ok());
        assert!(check(landlock(2, State::Partial), Some("6")).is_err());
    }

    #[test]
    fn without_a_level_it_must_be_whole() {
        assert!(check(landlock(7, State::Partial), None).is_err());
        assert!(check(landlock(9, State::Full), None).is_ok());
    }

    #[test]
    fn what_nobody_asked_for_is_not_there() {
        let e = check(landlock(9, State::NotAsked), None).unwrap_err();
        assert!(
            e.to_string()
                .starts_with("could not keep a required layer: landlock"),
            "{e}"
        );
    }

    #[test]
    fn run_a_of_a_pair_answers_for_the_clock_of_run_b() {
        let check = |level: Option<&str>, pair| {
            let require = BTreeMap::from([(Layer::Clock, level.map(str::to_owned))]);
            stand(&require, &mut [layers::clock(0)], pair)
        };
        assert!(check(None, true).is_ok());
        let e = check(None, false).unwrap_err();
        assert!(e.hint.is_some_and(|h| h.contains("verify")));
    }
}
