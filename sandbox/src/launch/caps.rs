//! No capabilities: all five sets empty, and nothing that gives them back.
//!
//! Comes after the last step that needs a capability and before landlock and seccomp. What is set
//! here belongs to a thread, so the caller has one.

use caps::CapSet;
use nix::errno::Errno;

use crate::SetupError;
use crate::sys::caps::{drop_from_bounding_set, in_bounding_set, securebits, set_securebits};

/// More than any kernel's sets can hold: they are 64 bits wide.
const PAST_THE_LAST: u8 = 64;

/// `no_new_privs`, securebits locked, then every set emptied, and checked.
pub fn drop_all() -> Result<(), SetupError> {
    nix::sys::prctl::set_no_new_privs()
        .map_err(|errno| SetupError::new("set no_new_privs", errno))?;
    // these two need CAP_SETPCAP, so they come before the sets that hold it
    lock_securebits()?;
    empty_bounding_set()?;
    // ambient before permitted: it is always a part of it
    for (set, step) in [
        (CapSet::Ambient, "clear the ambient capabilities"),
        (CapSet::Inheritable, "clear the inheritable capabilities"),
        (CapSet::Effective, "clear the effective capabilities"),
        (CapSet::Permitted, "clear the permitted capabilities"),
    ] {
        // the crate turns errno into words; it is still there to be asked for
        caps::clear(None, set).map_err(|_| SetupError::new(step, Errno::last()))?;
    }
    check()
}

/// Root gets no capabilities at exec, a change of user moves none, and none is kept or made ambient.
fn lock_securebits() -> Result<(), SetupError> {
    let bits = libc::SECBIT_NOROOT
        | libc::SECBIT_NOROOT_LOCKED
        | libc::SECBIT_NO_SETUID_FIXUP
        | libc::SECBIT_NO_SETUID_FIXUP_LOCKED
        | libc::SECBIT_KEEP_CAPS_LOCKED
        | libc::SECBIT_NO_CAP_AMBIENT_RAISE
        | libc::SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    let step = "lock the securebits";
    set_securebits(bits).map_err(|errno| needs_setpcap(SetupError::new(step, errno)))?;
    match securebits() {
        Ok(got) if got & bits == bits => Ok(()),
        Ok(got) => Err(SetupError::refused(
            step,
            format!("set {bits:#x}, got {got:#x}"),
        )),
        Err(errno) => Err(SetupError::new(step, errno)),
    }
}

/// By number until the kernel knows no further one, so that a capability that is newer than this
/// program goes too.
fn empty_bounding_set() -> Result<(), SetupError> {
    let step = "empty the capability bounding set";
    for number in 0..PAST_THE_LAST {
        match drop_from_bounding_set(number) {
            Ok(()) => {}
            Err(Errno::EINVAL) => break,
            Err(errno) => return Err(needs_setpcap(SetupError::new(step, errno))),
        }
    }
    Ok(())
}

fn needs_setpcap(error: SetupError) -> SetupError {
    error.hint("the step needs CAP_SETPCAP in the build's own user namespace")
}

fn check() -> Result<(), SetupError> {
    let step = "check that no capability is left";
    // Not the ambient set, which the kernel tells one capability a call: it keeps that a part of the
    // permitted and of the inheritable one.
    for set in [CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        let left = caps::read(None, set).map_err(|_| SetupError::new(step, Errno::last()))?;
        if !left.is_empty() {
            return Err(SetupError::refused(step, format!("{set:?} holds {left:?}")));
        }
    }
    let known = (0..PAST_THE_LAST).map(|number| (number, in_bounding_set(number)));
    let mut known = known.take_while(|(_, set)| set.is_ok());
    match known.find(|(_, set)| *set == Ok(true)).map(|(n, _)| n) {
        Some(number) => Err(SetupError::refused(
            step,
            format!("the bounding set holds number {number}"),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::sched::{CloneFlags, unshare};

    use super::*;
    use crate::sys::probe::in_child;

    /// The capability lines of a program that was started by a child in a user namespace of its own,
    /// after the drop or without it.
    fn status_after_exec(drop: bool) -> String {
        let (text, _) = in_child(|| {
            if let Err(errno) = unshare(CloneFlags::CLONE_NEWUSER) {
                return errno.to_string();
            }
            match if drop { drop_all() } else { Ok(()) } {
                Ok(()) => grep("^(Cap|NoNewPrivs)"),
                Err(e) => e.to_string(),
            }
        });
        text
    }

    fn grep(pattern: &str) -> String {
        let output = Command::new("grep")
            .args(["-E", pattern, "/proc/self/status"])
            .output();
        output.map_or_else(
            |e| e.to_string(),
            |o| String::from_utf8_lossy(&o.stdout).into_owned(),
        )
    }

    #[test]
    fn a_program_has_none_of_any_kind() {
        let with = status_after_exec(true);
        let sets: Vec<_> = with.lines().filter(|l| l.starts_with("Cap")).collect();
        assert_eq!(sets.len(), 5, "{with}");
        for set in sets {
            assert!(set.ends_with("\t0000000000000000"), "{set}");
        }
        assert!(with.contains("NoNewPrivs:\t1"), "{with}");
        let without = status_after_exec(false);
        assert!(!without.contains("CapBnd:\t0000000000000000"), "{without}");
        assert!(without.contains("NoNewPrivs:\t0"), "{without}");
    }

    #[test]
    fn nothing_gives_one_back() {
        let (text, _) = in_child(|| {
            let before = unshare(CloneFlags::CLONE_NEWUSER)
                .map_err(|errno| SetupError::new("test", errno))
                .and_then(|()| drop_all());
            let raised = caps::raise(None, CapSet::Effective, caps::Capability::CAP_CHOWN);
            let kept = caps::securebits::set_keepcaps(true);
            format!("{before:?} {} {}", raised.is_err(), kept.is_err())
        });
        assert_eq!(text, "Ok(()) true true");
    }

    #[test]
    fn without_the_right_to_do_it_it_is_an_error() {
        let (text, _) = in_child(|| {
            let first = unshare(CloneFlags::CLONE_NEWUSER)
                .map_err(|errno| SetupError::new("test", errno))
                .and_then(|()| drop_all());
            match (first, drop_all()) {
                (Ok(()), Err(e)) => format!("{e}; {:?}", e.hint),
                other => format!("{other:?}"),
            }
        });
        assert!(
            text.starts_with("could not lock the securebits: EPERM"),
            "{text}"
        );
        assert!(text.contains("CAP_SETPCAP"), "{text}");
    }
}
