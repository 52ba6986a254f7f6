//! Setting a timer through its descriptor.

use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, itimerspec};
use nix::Result;
use nix::errno::Errno;

/// timerfd_settime(2) with any flags; returns the earlier setting.
pub fn timerfd_settime(
    timer: BorrowedFd<'_>,
    flags: c_int,
    new: &itimerspec,
) -> Result<itimerspec> {
    let mut old = *new;
    // SAFETY: reads one `itimerspec` and writes one.
    let rc = unsafe { libc::timerfd_settime(timer.as_raw_fd(), flags, new, &raw mut old) };
    Errno::result(rc)?;
    Ok(old)
}
