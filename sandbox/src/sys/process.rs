//! clone3(2), close_range(2), prctl(2) and other calls that make or mark processes.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::Result;
use nix::errno::Errno;
use nix::unistd::Pid;

/// What clone3(2) returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloned {
    /// In the new process.
    Child,
    /// In the caller: the new process's id.
    Parent(Pid),
}

/// A new process with copies of the caller's memory, as fork(2) does, with `flags`
/// (`CLONE_NEW*`, `CLONE_FILES`) and SIGCHLD as its exit signal.
///
/// Must be called in a single-threaded process: the child goes on in Rust code.
pub fn clone_process(flags: libc::c_int) -> Result<Cloned> {
    match clone3(u64::try_from(flags).unwrap_or_default(), 0) {
        Err(Errno::ENOSYS) => {}
        other => return other,
    }
    // A container's filter answers clone3 with ENOSYS: clone(2) has the same flags.
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    // SAFETY: as in clone3 below; clone(2) with a null stack copies the caller's.
    cloned(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })
}

/// The same, the new process born in the cgroup (v2) whose folder is given. There is no other
/// call with this flag, so an error leaves the caller to do without it.
pub fn clone_into_cgroup(flags: libc::c_int, cgroup: BorrowedFd<'_>) -> Result<Cloned> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let flags = u64::try_from(flags).unwrap_or_default() | CLONE_INTO_CGROUP;
    clone3(flags, u64::try_from(cgroup.as_raw_fd()).unwrap_or(u64::MAX))
}

fn clone3(flags: u64, cgroup: u64) -> Result<Cloned> {
    let mut args = libc::clone_args {
        flags,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup,
    };
    // SAFETY: no stack is given, so the child runs on a copy of this one; memory is copied, not
    // shared (no CLONE_VM), so both go on as after fork(2); the caller is single-threaded.
    cloned(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut args,
            size_of::<libc::clone_args>(),
        )
    })
}

fn cloned(ret: libc::c_long) -> Result<Cloned> {
    match Errno::result(ret)? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent(Pid::from_raw(
            i32::try_from(pid).map_err(|_| Errno::EOVERFLOW)?,
        ))),
    }
}

/// Marks every descriptor from `first` on close-on-exec in a table of the caller's own
/// (it stops sharing the table first).
pub fn cloexec_from(first: libc::c_uint) -> Result<()> {
    let flags = libc::CLOSE_RANGE_UNSHARE | libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: no pointers; marking descriptors does not close them.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) };
    Errno::result(ret).map(drop)
}

/// Closes every descriptor from `first` on, for forked children that drop nothing and then end.
pub fn close_from(first: libc::c_uint) -> Result<()> {
    // SAFETY: no pointers; the callers use none of these descriptors again and run no destructors.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    Errno::result(ret).map(drop)
}

/// Closes every descriptor from `first` to `last`, for forked children that use none of them again.
pub fn close_between(first: libc::c_uint, last: libc::c_uint) -> Result<()> {
    // SAFETY: no pointers; the callers use none of these descriptors again and run no destructors.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    Errno::result(ret).map(drop)
}

/// Closes a descriptor by number, in whatever table the caller has.
pub fn close_number(fd: libc::c_int) -> Result<()> {
    // SAFETY: the callers own the number by protocol: it was told to them by the process that
    // shares their table and has let go of it.
    Errno::result(unsafe { libc::close(fd) }).map(drop)
}

/// `SIGKILL` for the caller when the thread that made it ends. Cleared by changes of
/// credentials: set it again after those.
pub fn die_with_parent() -> Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
}

/// Ends the process at once, without exit handlers: for forked children.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: always sound.
    unsafe { libc::_exit(code) }
}

/// wait4(2) on one child, blocking: its wait status and what it and its children used.
pub fn wait4(pid: Pid) -> Result<(libc::c_int, libc::rusage)> {
    let mut status = 0;
    // SAFETY: all-zero is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are valid for the call.
        let ret = unsafe {
            libc::wait4(
                pid.as_raw(),
                &raw mut status,
                libc::__WNOTHREAD,
                &raw mut usage,
            )
        };
        match Errno::result(ret) {
            Ok(_) => return Ok((status, usage)),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// A descriptor that becomes readable when `pid` ends.
pub fn pidfd_open(pid: Pid) -> Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: no pointers.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the kernel has just returned this descriptor to this call; nobody else owns it.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) })
}

/// Makes the terminal at `fd` the caller's controlling one.
pub fn set_controlling_tty(fd: std::os::fd::BorrowedFd<'_>) -> Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: TIOCSCTTY takes an integer.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

/// Whether execve(2) closes this descriptor.
pub fn closes_on_exec(number: std::os::fd::RawFd) -> Result<bool> {
    // SAFETY: no pointers; a number that is no descriptor is EBADF.
    let flags = Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    Ok(flags & libc::FD_CLOEXEC != 0)
}

/// Takes a descriptor that the kernel installed for this process with a message (SCM_RIGHTS).
pub(crate) fn own_received(fd: std::os::fd::RawFd) -> std::os::fd::OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: recvmsg(2) has just installed it for the caller, which hands it on but once.
    unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) }
}

/// Every signal back to its default: the runtime ignores SIGPIPE, and ignored signals survive
/// execve(2).
pub fn reset_signals() -> Result<()> {
    for signal in nix::sys::signal::Signal::iterator() {
        use nix::sys::signal::{SigHandler, Signal};
        if matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
            continue;
        }
        // SAFETY: the default action runs no code of this process.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }?;
    }
    // The real-time ones, which the typed list lacks. The first two are the C library's own, which
    // refuses to touch them: a caller may have left them ignored all the same.
    for signal in 32..=64 {
        const SET_BYTES: usize = 8;
        // The kernel's struct: handler (SIG_DFL is 0), flags, restorer, mask.
        let default = [0u64; 4];
        let none = std::ptr::null_mut::<u64>();
        let action = default.as_ptr();
        // SAFETY: `default` is as large as the kernel's struct and lives through the call, which
        // runs no code of this process.
        let ret = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action, none, SET_BYTES) };
        Errno::result(ret)?;
    }
    Ok(())
}

/// Sets the NIS domain name of the caller's UTS namespace.
pub fn set_domain_name(name: &str) -> Result<()> {
    // SAFETY: pointer and length are of one string, which outlives the call.
    Errno::result(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn what_exec_closes_is_told() {
        let (read, write) = std::io::pipe().unwrap();
        assert_eq!(closes_on_exec(read.as_raw_fd()), Ok(true));
        let kept = nix::fcntl::fcntl(
            &write,
            nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
        );
        assert_eq!(kept, Ok(0));
        assert_eq!(closes_on_exec(write.as_raw_fd()), Ok(false));
        assert_eq!(closes_on_exec(-1), Err(Errno::EBADF));
    }
}
