//! The filters on the real kernel, in children.

use libc::{EBUSY, ENOSYS, EPERM};
use nix::errno::Errno;
use nix::sys::wait::WaitStatus;

use super::{Notify, install_notify, install_walls};
use crate::sys::probe::{in_child, raw};

fn status(body: impl FnOnce() -> u8) -> i32 {
    match in_child(body) {
        WaitStatus::Exited(_, status) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn known_bad_wins_over_unknown_and_the_rest_runs() {
    let denied = status(|| {
        if install_walls().is_err() {
            return 1;
        }
        u8::from(
            raw(libc::SYS_mount, [0; 6]) != -i64::from(EPERM)
                || raw(libc::SYS_io_uring_setup, [0; 6]) != -i64::from(ENOSYS)
                || raw(libc::SYS_getppid, [0; 6]) < 0,
        )
    });
    assert_eq!(denied, 0);
}

#[test]
fn the_notifying_filter_goes_over_the_walls_and_only_once() {
    for which in [Notify::Observe, Notify::ObserveAndClock] {
        let ok = status(|| {
            let first = install_walls().and_then(|()| install_notify(which));
            let second = install_notify(which);
            u8::from(first.is_err() || second.err() != Some(Errno::from_raw(EBUSY)))
        });
        assert_eq!(ok, 0, "{which:?}");
    }
}
