//! getpriority(2), sched_setscheduler(2), ioprio_set(2): how the kernel ranks the caller.

use nix::Result;
use nix::errno::Errno;

/// The caller's nice value.
pub fn nice() -> Result<i32> {
    // SAFETY: no pointers. The raw call answers 20 minus the value, so that it is never negative.
    let ret =
        Errno::result(unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, 0) })?;
    i32::try_from(20 - ret).map_err(|_| Errno::EOVERFLOW)
}

/// Sets it.
pub fn set_nice(value: i32) -> Result<()> {
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, value) }).map(drop)
}

/// The caller's scheduling policy.
pub fn policy() -> Result<i32> {
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::sched_getscheduler(0) })
}

/// Makes it the usual one, `SCHED_OTHER`.
pub fn set_usual_policy() -> Result<()> {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: `param` lives through the call.
    Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const param) })
        .map(drop)
}

const IOPRIO_WHO_PROCESS: libc::c_int = 1;

/// The caller's class and rank of i/o; 0 is none, so that they follow from the nice value.
pub fn io_priority() -> Result<i64> {
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0) })
}

/// Sets it to none.
pub fn reset_io_priority() -> Result<()> {
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0) })
        .map(drop)
}
