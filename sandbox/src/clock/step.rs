//! Has a thread make a call that never blocks, with other arguments, and looks at what it answers.
//!
//! As with [`redirect`](super::redirect) the thread is seized out of its notification, but it is held
//! until its call is over: it makes the call at its own site, is stopped at the exit, gets its
//! registers back and goes on. Needs no vDSO, and costs four stops: for rare calls.

use libc::user_regs_struct;
use nix::Result;
use nix::errno::Errno;

use super::blob::RED_ZONE;
use super::redirect::{SYSCALL, seized};
use crate::notify::{Call, Target};
use crate::sys::ptrace::{self, Stop};

/// How far below the stack pointer the words lie that the kernel is to read: below the red zone.
const SCRATCH: usize = RED_ZONE + 64;

/// Makes the call with `args`. `words`, if any, are what the argument of that number is to point to.
/// `after` may change the thread's memory by ptrace when the call has answered without an error.
///
/// `Ok`: the notification is void. An error: nothing was done.
pub(super) fn step(
    call: &Call,
    target: &Target<'_>,
    args: [u64; 6],
    words: Option<(usize, [u64; 4])>,
    after: impl FnOnce(i32) -> Result<()>,
) -> Result<()> {
    seized(call, target, |before| {
        make(call, before, args, words, after)
    })
}

/// Lets the stopped thread make its call; returns the signal that it is to take when it is let go.
fn make(
    call: &Call,
    before: user_regs_struct,
    mut args: [u64; 6],
    words: Option<(usize, [u64; 4])>,
    after: impl FnOnce(i32) -> Result<()>,
) -> Result<i32> {
    let tid = call.tid;
    if let Some((argument, words)) = words {
        let at = before.rsp.wrapping_sub(SCRATCH as u64) & !15;
        let places = (at..).step_by(8);
        for (place, word) in places.zip(words) {
            ptrace::poke(tid, place, word)?;
        }
        args[argument] = at;
    }
    let mut go = before;
    [go.rdi, go.rsi, go.rdx, go.r10, go.r8, go.r9] = args;
    go.rax = i64::from(call.nr).cast_unsigned();
    go.orig_rax = u64::MAX; // no call that the kernel would restart
    go.rip = before.rip.wrapping_sub(SYSCALL);
    ptrace::set_registers(tid, go)?;
    for _entry_and_exit in 0..2 {
        ptrace::to_call(tid)?;
        match ptrace::wait(tid)? {
            Stop::Call => {}
            Stop::Gone => return Err(Errno::ESRCH),
            // A signal came first: as if nothing had been, the call is restarted or broken by it.
            Stop::Signal(signal) => return ptrace::set_registers(tid, before).map(|()| signal),
            Stop::Interrupted => return ptrace::set_registers(tid, before).map(|()| 0),
        }
    }
    let done = ptrace::registers(tid)?;
    // As after the call that it stands for: the kernel keeps all registers but these.
    let then = user_regs_struct {
        rax: done.rax,
        rcx: before.rip,
        r11: done.r11,
        orig_rax: u64::MAX,
        ..before
    };
    ptrace::set_registers(tid, then)?;
    if done.rax.cast_signed() >= 0 {
        after(tid)?;
    }
    Ok(0)
}
