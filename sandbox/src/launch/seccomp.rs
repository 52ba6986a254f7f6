//! The three seccomp filters: what a build may call, what it may not, and what is seen.
//!
//! They are made by `build.rs` from `sandbox/seccomp/*.toml`; here they are only installed. The
//! kernel asks every filter and takes the strictest answer, so the order matters for one thing: of
//! two errnos the newest filter's wins. Hence the allow-list (ENOSYS) first, then the known-bad list
//! (EPERM), then the one that notifies, which must be the last since it owns the listener.
//!
//! Notification is never a wall: whatever the supervisor answers, the first two filters have spoken.

use std::os::fd::OwnedFd;

use crate::sys::seccomp::{add_filter, add_filter_with_listener};

#[expect(clippy::unreadable_literal, reason = "generated")]
mod filters {
    use libc::sock_filter;
    include!(concat!(env!("OUT_DIR"), "/filters.rs"));
}

/// Marks a call of the clock's own stubs, which the notifying filter lets pass: in all of the sixth
/// argument; for `futex` in the upper half of the second (`op`), for `futex_wait` in the upper half
/// of the fourth (`flags`).
pub const CLOCK_COOKIE: u32 = filters::CLOCK_COOKIE;

/// What the supervisor is to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify {
    /// Calls that name a destination.
    Observe,
    /// Those, and calls that read, set or wait for the wall clock.
    ObserveAndClock,
}

/// Installs the walls on the calling thread, and through it on all it will start.
pub fn install_walls() -> nix::Result<()> {
    // without it a filter needs a capability
    nix::sys::prctl::set_no_new_privs()?;
    add_filter(&filters::ALLOW)?;
    add_filter(&filters::KNOWN_BAD)
}

/// Installs the one wall of init on the calling thread: a small part of what the others let pass,
/// and so much less to compile.
pub fn install_init() -> nix::Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    add_filter(&filters::INIT)
}

/// Installs the wall of an egress proxy on the calling thread: for one that dials, or for one that
/// serves a recording.
pub fn install_proxy(dials: bool) -> nix::Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    add_filter(if dials {
        &filters::PROXY_THAT_DIALS[..]
    } else {
        &filters::PROXY[..]
    })
}

/// Installs the notifying filter and returns its listener. Call it last, and serve the listener from
/// then on: the calls it names wait for an answer.
///
/// `EBUSY` means that a filter of an outer sandbox has a listener already.
pub fn install_notify(which: Notify) -> nix::Result<OwnedFd> {
    nix::sys::prctl::set_no_new_privs()?;
    add_filter_with_listener(match which {
        Notify::Observe => &filters::OBSERVE[..],
        Notify::ObserveAndClock => &filters::OBSERVE_AND_CLOCK[..],
    })
}

#[cfg(test)]
mod tests;
