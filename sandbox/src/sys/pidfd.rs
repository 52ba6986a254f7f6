//! Process descriptors of threads, and copies of another process's descriptors.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::pid_t;
use nix::Result;
use nix::errno::Errno;

/// A descriptor of a thread (Linux 6.9), or `EINVAL`.
pub fn open_thread(tid: pid_t) -> Result<OwnedFd> {
    open(tid, libc::PIDFD_THREAD)
}

/// A descriptor of a process, by the id of its first thread.
pub fn open_process(pid: pid_t) -> Result<OwnedFd> {
    open(pid, 0)
}

fn open(pid: pid_t, flags: libc::c_uint) -> Result<OwnedFd> {
    // SAFETY: takes only integers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) })
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
