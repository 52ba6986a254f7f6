//! The same rank among processes for every run, whatever the caller has: nice value, scheduling
//! policy, i/o priority, timer slack, the score by which the kernel picks whom to kill.
//!
//! A build can read them, and some change what it does. Runs in the launcher, which has the
//! caller's rights; what those don't allow stays, and is reported. The processors that the caller
//! may use are left alone: they are the machine's and the caller's to give, and listed as held.

use std::fs;

use belljar_model::{Layer, LayerReport, State};
use nix::errno::Errno;

use crate::sys::sched;

/// What the kernel gives a process that asks for nothing.
const TIMER_SLACK_NS: u64 = 50_000;

const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// Something of the caller's that stays.
struct Kept {
    name: &'static str,
    wanted: &'static str,
    got: String,
    why: Errno,
}

/// Sets each of them, and says what stays as it was.
pub(super) fn set_fixed() -> LayerReport {
    let mut kept = Vec::new();
    let mut keep = |name, wanted, got: String, done: nix::Result<()>| {
        if let Err(why) = done {
            kept.push(Kept {
                name,
                wanted,
                got,
                why,
            });
        }
    };
    // Before the nice value, which a real-time policy ignores.
    match sched::policy() {
        Ok(libc::SCHED_OTHER) => {}
        Ok(other) => keep("policy", "0", other.to_string(), sched::set_usual_policy()),
        Err(e) => keep("policy", "0", "unknown".into(), Err(e)),
    }
    match sched::nice() {
        Ok(0) => {}
        Ok(other) => keep("nice", "0", other.to_string(), sched::set_nice(0)),
        Err(e) => keep("nice", "0", "unknown".into(), Err(e)),
    }
    // A kernel without ranks of i/o has none to tell.
    if let Ok(other @ 1..) = sched::io_priority() {
        keep("ionice", "0", other.to_string(), sched::reset_io_priority());
    }
    let slack = nix::sys::prctl::set_timerslack(TIMER_SLACK_NS);
    keep("timer slack", "50000", "unknown".into(), slack);
    let score = fs::read_to_string(OOM_SCORE).unwrap_or_default();
    if score.trim() != "0" {
        let errno = |e: std::io::Error| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        let set = fs::write(OOM_SCORE, "0").map_err(errno);
        keep("oom_score_adj", "0", score.trim().into(), set);
    }
    report(&kept)
}

fn report(kept: &[Kept]) -> LayerReport {
    let full = LayerReport::full(Layer::Scheduling, "the same for every run");
    if kept.is_empty() {
        return full;
    }
    let list = |value: fn(&Kept) -> String| {
        let each: Vec<_> = kept
            .iter()
            .map(|k| format!("{} {}", k.name, value(k)))
            .collect();
        each.join(", ")
    };
    LayerReport {
        state: State::Partial,
        wanted: list(|k| k.wanted.into()),
        got: list(|k| k.got.clone()),
        why: Some(format!(
            "the kernel refused: {}",
            list(|k| format!("{:?}", k.why))
        )),
        fix: Some("start belljar without nice(1), chrt(1) or choom(1), or as root".into()),
        ..full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_said_by_name_value_and_errno() {
        assert_eq!(report(&[]).state, State::Full);
        let kept = |name, got: &str| Kept {
            name,
            wanted: "0",
            got: got.into(),
            why: Errno::EACCES,
        };
        let report = report(&[kept("nice", "5"), kept("oom_score_adj", "300")]);
        assert_eq!(report.state, State::Partial);
        assert_eq!(report.got, "nice 5, oom_score_adj 300");
        assert_eq!(report.wanted, "nice 0, oom_score_adj 0");
        assert_eq!(
            report.why.as_deref(),
            Some("the kernel refused: nice EACCES, oom_score_adj EACCES")
        );
    }
}
