//! The walls that the build's process puts up around itself, in the one order that works:
//! limits, capabilities, landlock, seccomp.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use belljar_model::{Layer, LayerReport, State};

use super::rlimits::Lowered;
use super::seccomp::{Notify, install_notify, install_walls};
use super::{caps, landlock, rlimits};
use crate::SetupError;
use crate::error::At;

/// What the build may write; everything else is read-only by its mount already.
const WRITABLE: [&str; 5] = ["/build", "/tmp", "/home/builder", "/dev", "/proc"];

/// Everything before the filters: mounts and names are done, nothing here needs a capability
/// once it is over. `queues` is the file system of message queues.
pub(super) fn before_filters(queues: Option<&OwnedFd>) -> Result<Vec<LayerReport>, SetupError> {
    let limits = limits_report(&rlimits::set_fixed()?);
    caps::drop_all()?;
    let queues = queues.map(|fd| PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())));
    let writable: Vec<_> = WRITABLE
        .iter()
        .map(Path::new)
        .chain(queues.as_deref())
        .collect();
    let landlocked = landlock::restrict(&writable)?;
    let (wanted, got) = (landlocked.abi_wanted, landlocked.abi_got);
    let landlock = LayerReport {
        layer: Layer::Landlock,
        required: false,
        state: match (got, landlocked.full) {
            (0, _) => State::Missing,
            (_, true) => State::Full,
            (_, false) => State::Partial,
        },
        wanted: format!("abi {wanted}"),
        got: format!("abi {got}"),
        fix: landlocked
            .why
            .as_ref()
            .map(|_| "use a newer kernel with landlock in its lsm= list".into()),
        why: landlocked.why,
    };
    Ok(vec![
        limits,
        LayerReport::full(Layer::Capabilities, "none"),
        LayerReport::full(Layer::NoNewPrivs, "set"),
        landlock,
    ])
}

/// A lower hard limit of the caller's makes a run differ from the same run elsewhere.
fn limits_report(lowered: &[Lowered]) -> LayerReport {
    let full = LayerReport::full(Layer::ResourceLimits, "the same for every run");
    let list = |value: fn(&Lowered) -> String| {
        let each: Vec<_> = lowered
            .iter()
            .map(|l| format!("{} {}", l.limit, value(l)))
            .collect();
        each.join(", ")
    };
    if lowered.is_empty() {
        return full;
    }
    LayerReport {
        state: State::Partial,
        wanted: list(|l| {
            l.wanted
                .map_or_else(|| "unlimited".into(), |n| n.to_string())
        }),
        got: list(|l| l.got.to_string()),
        why: Some("the caller's hard limit is lower, and is not raised".into()),
        fix: Some("raise the hard limit of the session that starts belljar (ulimit -H)".into()),
        ..full
    }
}

/// The filters that are walls.
pub(super) fn filters() -> Result<(), SetupError> {
    install_walls().step("install the seccomp filters")
}

/// The filter that observes; from then on observed calls of this process wait for the supervisor.
pub(super) fn observer(clock: bool) -> Result<OwnedFd, SetupError> {
    let which = if clock {
        Notify::ObserveAndClock
    } else {
        Notify::Observe
    };
    install_notify(which).step("install the observing seccomp filter").map_err(|e| {
        e.hint("another program's seccomp listener is on this process: do not start belljar inside a tool that observes by seccomp")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_limit_is_said_by_name_and_value() {
        assert_eq!(limits_report(&[]).state, State::Full);
        let lower = |limit, wanted, got| Lowered { limit, wanted, got };
        let report = limits_report(&[
            lower("RLIMIT_NOFILE", Some(524_288), 20_000),
            lower("RLIMIT_STACK", None, 1024),
        ]);
        assert_eq!(report.state, State::Partial);
        assert_eq!(
            report.wanted,
            "RLIMIT_NOFILE 524288, RLIMIT_STACK unlimited"
        );
        assert_eq!(report.got, "RLIMIT_NOFILE 20000, RLIMIT_STACK 1024");
        assert!(report.why.is_some() && report.fix.is_some());
    }
}
