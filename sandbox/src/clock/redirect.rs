//! Sends a thread that sleeps in a trapped call into a stub: one waits until the real time, or sets
//! the stored stamps; the other asks for a file's status and rotates what comes back.
//!
//! "Transient ptrace": the thread sleeps interruptibly in the notification; it is seized,
//! interrupted, given other registers and let go within some microseconds. No tracer stands by while it is in the stub,
//! so signals, debuggers and job control are as ever. A signal that breaks the wait in the stub runs
//! its handler and comes back to the stub, whose call the kernel restarts with the same arguments.
//!
//! glibc from 2.41 on cancels a thread at once only if it finds it inside a function of its own that
//! is nothing but a `syscall` and a return. From such a place the thread is not taken away: it makes its call
//! there, and the return leads into the stub, behind the call.
//!
//! The stop is reported to any thread of this process that waits for the stopped one: nobody else may
//! wait for a process of the run, nor for any child without `__WNOTHREAD`.

use libc::user_regs_struct;
use nix::Result;

use super::blob::{FRAME, RED_ZONE};
use super::wait::Pointer;
use crate::launch::seccomp::CLOCK_COOKIE;
use crate::notify::{Call, Target};
use crate::sys::ptrace::{self, Stop};

/// The kernel's own answers of a call that was broken off and is to be made again.
const RESTARTS: [i64; 4] = [-512, -513, -514, -516];

/// The length of a `syscall` instruction.
pub(super) const SYSCALL: u64 = 2;

/// Where the words that the call's pointer leads to lie in the frame.
const WORDS_AT: u64 = 48;

/// Redirects the thread to make its call with `words` in place of what it points to. `Ok`: the
/// notification is void, whether the thread is in the stub, is about to make its call again (a signal
/// came first) or is gone. An error: nothing was done.
pub(super) fn with_words(
    call: &Call,
    target: &Target<'_>,
    pointer: Pointer,
    words: [u64; 4],
    stub: u64,
) -> Result<()> {
    transiently(call, target, |r| {
        let frame = lay_frame(call.tid, &r, words);
        let mut to = into_stub(r, call.nr, pointer, stub, frame.is_ok());
        if frame.is_ok() && returns_at_once(call.tid, &r) {
            let top = to.rsp.wrapping_sub(8);
            if ptrace::poke(call.tid, top, stub.wrapping_add(SYSCALL)).is_ok() {
                to.rsp = top;
                to.rip = r.rip.wrapping_sub(SYSCALL);
            }
        }
        to
    })
}

/// Redirects the thread to make its call, of the stat family, in the stub for it; the same results.
pub(super) fn to_status(call: &Call, target: &Target<'_>, stub: u64) -> Result<()> {
    transiently(call, target, |mut r| {
        r.rax = i64::from(call.nr).cast_unsigned();
        r.orig_rax = u64::MAX;
        r.rcx = r.rip;
        r.rip = stub;
        r
    })
}

fn transiently(
    call: &Call,
    target: &Target<'_>,
    change: impl FnOnce(user_regs_struct) -> user_regs_struct,
) -> Result<()> {
    seized(call, target, |registers| {
        ptrace::set_registers(call.tid, change(registers))?;
        Ok(0)
    })
}

/// Takes the thread out of its notification and, if it still sleeps in the call, hands its registers
/// to `act`, which returns the signal that the thread is to take when it is let go.
pub(super) fn seized(
    call: &Call,
    target: &Target<'_>,
    act: impl FnOnce(user_regs_struct) -> Result<i32>,
) -> Result<()> {
    let tid = call.tid;
    ptrace::seize(tid)?;
    let still_it = target.confirm().is_ok();
    ptrace::interrupt(tid)?;
    let signal = match ptrace::wait(tid)? {
        Stop::Gone => return Ok(()),
        Stop::Signal(signal) => signal,
        Stop::Call => 0,
        Stop::Interrupted => {
            let registers = ptrace::registers(tid)?;
            let broken_off = registers.orig_rax.cast_signed() == i64::from(call.nr)
                && RESTARTS.contains(&registers.rax.cast_signed());
            if still_it && broken_off {
                act(registers)?
            } else {
                0
            }
        }
    };
    ptrace::detach(tid, signal)
}

/// Whether what the thread has called from is a `syscall` with a return behind it, and nothing
/// checks where it returns to.
fn returns_at_once(tid: i32, r: &user_regs_struct) -> bool {
    let code = ptrace::peek(tid, r.rip.wrapping_sub(SYSCALL)).map(u64::to_le_bytes);
    matches!(code, Ok([0x0f, 0x05, 0xc3, ..])) && ptrace::has_shadow_stack(tid) == Ok(false)
}

fn frame_address(registers: &user_regs_struct) -> u64 {
    registers.rsp.wrapping_sub((RED_ZONE + FRAME) as u64)
}

/// What the stub restores, and the words, below the thread's red zone.
fn lay_frame(tid: i32, r: &user_regs_struct, words: [u64; 4]) -> Result<()> {
    let saved = [r.rsi, r.rdx, r.r10, r.r8, r.r9, r.rip];
    let words = saved.into_iter().chain(words);
    let mut address = frame_address(r);
    for word in words {
        ptrace::poke(tid, address, word)?;
        address = address.wrapping_add(8);
    }
    Ok(())
}

fn into_stub(
    mut r: user_regs_struct,
    nr: i32,
    pointer: Pointer,
    stub: u64,
    has_frame: bool,
) -> user_regs_struct {
    // No call any more that the kernel would restart.
    r.orig_rax = u64::MAX;
    if !has_frame {
        // No stack to put it on: the kernel would have no place for a signal either.
        r.rax = i64::from(-libc::EFAULT).cast_unsigned();
        return r;
    }
    let frame = frame_address(&r);
    let args = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9];
    let args = pointer.arguments(args, frame.wrapping_add(WORDS_AT), CLOCK_COOKIE);
    [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] = args;
    r.rsp = frame;
    r.rip = stub;
    r.rax = i64::from(nr).cast_unsigned();
    r
}
