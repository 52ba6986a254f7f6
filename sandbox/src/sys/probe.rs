//! For tests: what must happen in a child, since a wall cannot be taken down again.

use std::io::{Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pipe};

/// Runs `body` in a forked child; returns the text that it made and how the child ended.
pub(crate) fn in_child(body: impl FnOnce() -> String) -> (String, WaitStatus) {
    let (read, write) = pipe().expect("pipe");
    // SAFETY: the C library makes its allocator usable in the child; `body` takes no other lock that
    // a thread of the test runner may hold, since it does not print
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            drop(read);
            // a panic must not unwind into the copy of the test that called
            let text = catch_unwind(AssertUnwindSafe(body));
            let sent = text.is_ok_and(|text| {
                std::fs::File::from(write)
                    .write_all(text.as_bytes())
                    .is_ok()
            });
            // SAFETY: ends this process without running anything of the parent's
            unsafe { libc::_exit(i32::from(!sent)) }
        }
        ForkResult::Parent { child } => {
            drop(write);
            let mut text = String::new();
            std::fs::File::from(read)
                .read_to_string(&mut text)
                .expect("the child's text");
            (text, waitpid(child, None).expect("waitpid"))
        }
    }
}

/// Makes a system call by number and returns the kernel's answer: negative errno or a value.
///
/// A child that a clone among them makes ends at once.
pub(crate) fn raw(nr: i64, args: [u64; 6]) -> i64 {
    let own = std::process::id();
    // SAFETY: tests pass numbers and arguments that are refused, or that point to memory of theirs
    // which lives through the call
    let result = unsafe { libc::syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]) };
    let errno = Errno::last_raw();
    if std::process::id() != own {
        // SAFETY: ends a process that no test asked for
        unsafe { libc::_exit(0) }
    }
    if result == -1 {
        -i64::from(errno)
    } else {
        result
    }
}

/// Makes a system call without arguments by the i386 gate.
#[cfg(target_arch = "x86_64")]
pub(crate) fn int80(nr: u32) -> i32 {
    let result: i32;
    // SAFETY: the gate keeps all registers but eax (and, on some kernels, r8 to r11); the callers ask
    // for calls without arguments and without effect on memory
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inlateout("eax") nr.cast_signed() => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}
