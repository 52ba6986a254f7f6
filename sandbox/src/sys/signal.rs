//! pidfd_send_signal(2), a signal that can't reach the wrong process; rt_sigaction(2).

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::Result;
use nix::errno::Errno;

/// SIGKILL for the process that `pidfd` stands for.
pub fn pidfd_kill(pidfd: BorrowedFd<'_>) -> Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed; the kernel then fills it as kill(2) does.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            libc::SIGKILL,
            no_info,
            0,
        )
    };
    Errno::result(ret).map(drop)
}

/// SIGCHLD back to its default. Ignored, as a caller may leave it, it is never sent, and ended
/// children are nobody's to wait for.
pub fn hear_of_children() -> Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map(drop)
}
