//! Descriptors of threads, and copies of another process's descriptors.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::pid_t;
use nix::Result;
use nix::errno::Errno;

/// A descriptor of a thread (Linux 6.9); `EINVAL` before.
pub fn open_thread(tid: pid_t) -> Result<OwnedFd> {
    // SAFETY: takes only integers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, tid, libc::PIDFD_THREAD) })
}

/// Copies the descriptor `number` out of the process; `EBADF` if it has none of that number.
pub fn copy_descriptor(process: BorrowedFd<'_>, number: RawFd) -> Result<OwnedFd> {
    // SAFETY: takes only integers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })
}

fn owned(rc: libc::c_long) -> Result<OwnedFd> {
    let fd = RawFd::try_from(Errno::result(rc)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel just made this descriptor for this process; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
