//! For tests: what must happen in a child, since a wall cannot be taken down again.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// Runs `body` in a forked child and returns how the child ended; `body`'s value is its exit status.
pub(crate) fn in_child(body: impl FnOnce() -> u8) -> WaitStatus {
    // SAFETY: the C library makes its allocator usable in the child; `body` takes no other lock that
    // a thread of the test runner may hold, since it does not print
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            let status = body();
            // SAFETY: ends this process without running anything of the parent's
            unsafe { libc::_exit(i32::from(status)) }
        }
        ForkResult::Parent { child } => waitpid(child, None).expect("waitpid"),
    }
}

/// Makes a system call by number and returns the kernel's answer: negative errno or a value.
pub(crate) fn raw(nr: i64, args: [u64; 6]) -> i64 {
    // SAFETY: tests pass numbers and arguments that are refused or harmless to this process: no
    // pointer among them is written through
    let result = unsafe { libc::syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]) };
    if result == -1 {
        -i64::from(nix::errno::Errno::last_raw())
    } else {
        result
    }
}
