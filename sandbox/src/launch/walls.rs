//! The walls that the build's process puts up around itself, in the one order that works:
//! limits, capabilities, landlock, seccomp.

use std::os::fd::OwnedFd;
use std::path::Path;

use belljar_model::{Layer, LayerReport, State};

use super::seccomp::{Notify, install_notify, install_walls};
use super::{caps, landlock, rlimits};
use crate::SetupError;
use crate::error::At;

/// What the build may write; everything else is read-only by its mount already.
const WRITABLE: [&str; 5] = ["/build", "/tmp", "/home/builder", "/dev", "/proc"];

/// Everything before the filters: mounts and names are done, nothing here needs a capability
/// once it is over.
pub(super) fn before_filters() -> Result<Vec<LayerReport>, SetupError> {
    rlimits::set_fixed()?;
    caps::drop_all()?;
    let landlocked = landlock::restrict(&WRITABLE.map(Path::new))?;
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
        LayerReport::full(Layer::Capabilities, "none"),
        LayerReport::full(Layer::NoNewPrivs, "set"),
        landlock,
    ])
}

/// The filters; returns the listener of the last one, after which observed calls of this process
/// wait for the supervisor.
pub(super) fn filters(clock: bool) -> Result<OwnedFd, SetupError> {
    install_walls().step("install the seccomp filters")?;
    let which = if clock {
        Notify::ObserveAndClock
    } else {
        Notify::Observe
    };
    install_notify(which).step("install the observing seccomp filter").map_err(|e| {
        e.hint("another program's seccomp listener is on this process: do not start belljar inside a tool that observes by seccomp")
    })
}
