//! The system call that installs a seccomp filter.

use std::os::fd::{FromRawFd as _, OwnedFd};

use libc::sock_filter;
use nix::errno::Errno;

/// Lays a filter over those the calling thread has.
pub fn add_filter(program: &[sock_filter]) -> nix::Result<()> {
    set_mode_filter(program, 0).map(drop)
}

/// Lays a filter over those the calling thread has and returns its listener.
pub fn add_filter_with_listener(program: &[sock_filter]) -> nix::Result<OwnedFd> {
    // not WAIT_KILLABLE_RECV: the clock interrupts a thread that waits in a notification
    let fd = set_mode_filter(program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    // SAFETY: with NEW_LISTENER the call returned a new descriptor, which nobody else owns
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set_mode_filter(program: &[sock_filter], flags: libc::c_ulong) -> nix::Result<libc::c_int> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let prog = libc::sock_fprog {
        len,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: `prog` names `len` instructions that live through the call; the kernel copies them
    // and writes nothing
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::c_long::from(libc::SECCOMP_SET_MODE_FILTER),
            flags,
            &raw const prog,
        )
    };
    let value = Errno::result(result)?;
    libc::c_int::try_from(value).map_err(|_| Errno::EOVERFLOW)
}
