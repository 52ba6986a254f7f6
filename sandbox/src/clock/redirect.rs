//! Sends a thread that sleeps in a trapped wait into the stub, which waits until the real time.
//!
//! "Transient ptrace": the thread sleeps interruptibly in the notification; it is seized,
//! interrupted, given other registers and let go within some microseconds. No tracer stands by while it waits,
//! so signals, debuggers and job control are as ever. A signal that breaks the wait in the stub runs
//! its handler and comes back to the stub, whose call the kernel restarts with the same arguments.
//!
//! glibc from 2.41 on cancels a thread only inside its own call site, so there a thread that is
//! cancelled while it waits in the stub ends with its wait, not at once.
//!
//! The stop is reported to any thread of this process that waits for the stopped one: nobody else may
//! wait for a process of the run, nor for any child without `__WNOTHREAD`.

use libc::user_regs_struct;
use nix::Result;

use super::blob::{FRAME, RED_ZONE};
use super::wait::{Time, Wait};
use crate::launch::seccomp::CLOCK_COOKIE;
use crate::notify::{Call, Target};
use crate::sys::ptrace::{self, Stop};

/// The kernel's own answers of a call that was broken off and is to be made again.
const RESTARTS: [i64; 4] = [-512, -513, -514, -516];

/// Where the `timespec` or `itimerspec` lies in the frame.
const TIME_AT: u64 = 48;

/// Redirects the thread. `Ok`: the notification is void, whether the thread is in the stub, is about to
/// make its call again (a signal came first) or is gone. An error: nothing was done.
pub(super) fn redirect(
    call: &Call,
    target: &Target<'_>,
    wait: &Wait,
    time: Time,
    stub: u64,
) -> Result<()> {
    let tid = call.tid;
    ptrace::seize(tid)?;
    let still_it = target.confirm().is_ok();
    ptrace::interrupt(tid)?;
    let signal = match ptrace::wait(tid)? {
        Stop::Gone => return Ok(()),
        Stop::Signal(signal) => signal,
        Stop::Interrupted => {
            let registers = ptrace::registers(tid)?;
            let broken_off = registers.orig_rax.cast_signed() == i64::from(call.nr)
                && RESTARTS.contains(&registers.rax.cast_signed());
            if still_it && broken_off {
                let frame = lay_frame(tid, &registers, wait, time);
                let registers = into_stub(registers, call.nr, wait, stub, frame.is_ok());
                ptrace::set_registers(tid, registers)?;
            }
            0
        }
    };
    ptrace::detach(tid, signal)
}

fn frame_address(registers: &user_regs_struct) -> u64 {
    registers.rsp.wrapping_sub((RED_ZONE + FRAME) as u64)
}

/// What the stub restores, and the time that it waits for, below the thread's red zone.
fn lay_frame(tid: i32, r: &user_regs_struct, wait: &Wait, time: Time) -> Result<()> {
    let saved = [r.rsi, r.rdx, r.r10, r.r8, r.r9, r.rip];
    let words = saved.into_iter().chain(time.words(wait.timer));
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
    wait: &Wait,
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
    let args = wait.arguments(args, frame.wrapping_add(TIME_AT), CLOCK_COOKIE);
    [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] = args;
    r.rsp = frame;
    r.rip = stub;
    r.rax = i64::from(nr).cast_unsigned();
    r
}
