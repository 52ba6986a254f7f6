//! ptrace(2), as far as a transient stop of a thread needs it.
//!
//! nix has most of these; its signals end at 31, and a stop for a real-time signal (the C library
//! cancels threads by one) must be handed on too.

use std::ptr;

use libc::{c_int, c_long, c_ulong, c_void, pid_t, user_regs_struct};
use nix::Result;
use nix::errno::Errno;

/// How a wait for a thread ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It stopped for [`interrupt`], or its process is stopped.
    Interrupted,
    /// It stopped to take this signal.
    Signal(c_int),
    /// It stopped at the entry or the exit of a system call: see [`to_call`].
    Call,
    /// It is gone.
    Gone,
}

/// Becomes the tracer of a thread without stopping it.
pub fn seize(tid: pid_t) -> Result<()> {
    let options = usize::try_from(libc::PTRACE_O_TRACESYSGOOD).unwrap_or(0);
    request(
        libc::PTRACE_SEIZE,
        tid,
        ptr::without_provenance_mut(options),
    )
}

/// Makes a seized thread stop, out of a system call if that can be interrupted.
pub fn interrupt(tid: pid_t) -> Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, ptr::null_mut())
}

/// Waits until a thread that the calling thread traces stops. Takes no other thread's children.
pub fn wait(tid: pid_t) -> Result<Stop> {
    let mut status = 0;
    loop {
        // SAFETY: writes one int to `status`.
        let rc = unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        match Errno::result(rc) {
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
            Ok(_) if !libc::WIFSTOPPED(status) => return Ok(Stop::Gone),
            Ok(_) if status >> 16 == libc::PTRACE_EVENT_STOP => return Ok(Stop::Interrupted),
            Ok(_) if libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80 => return Ok(Stop::Call),
            Ok(_) => return Ok(Stop::Signal(libc::WSTOPSIG(status))),
        }
    }
}

/// Lets a stopped thread go on untraced, with a signal or 0.
pub fn detach(tid: pid_t, signal: c_int) -> Result<()> {
    let signal = ptr::without_provenance_mut(usize::try_from(signal).unwrap_or(0));
    request(libc::PTRACE_DETACH, tid, signal)
}

/// Lets a stopped thread go on until its next entry into a system call, or until its exit from the
/// one that it has entered.
pub fn to_call(tid: pid_t) -> Result<()> {
    request(libc::PTRACE_SYSCALL, tid, ptr::null_mut())
}

/// Whether a stopped thread's returns are checked against a shadow stack.
pub fn has_shadow_stack(tid: pid_t) -> Result<bool> {
    const NT_X86_SHSTK: usize = 0x204;
    let mut pointer = 0u64;
    let mut into = libc::iovec {
        iov_base: (&raw mut pointer).cast(),
        iov_len: size_of::<u64>(),
    };
    // SAFETY: writes at most the eight bytes that `into` names.
    let rc = unsafe {
        libc::ptrace(
            libc::PTRACE_GETREGSET,
            tid,
            ptr::without_provenance_mut::<c_void>(NT_X86_SHSTK),
            &raw mut into,
        )
    };
    match Errno::result(rc) {
        Ok(_) => Ok(true),
        // It has none, or neither the kernel nor the processor knows of them.
        Err(Errno::ENODEV | Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(false),
        Err(e) => Err(e),
    }
}

/// The registers of a stopped thread.
pub fn registers(tid: pid_t) -> Result<user_regs_struct> {
    // SAFETY: all zero is a valid `user_regs_struct`.
    let mut registers: user_regs_struct = unsafe { std::mem::zeroed() };
    request(libc::PTRACE_GETREGS, tid, (&raw mut registers).cast())?;
    Ok(registers)
}

/// Sets the registers of a stopped thread.
pub fn set_registers(tid: pid_t, mut registers: user_regs_struct) -> Result<()> {
    request(libc::PTRACE_SETREGS, tid, (&raw mut registers).cast())
}

/// Reads a word of a stopped thread's memory.
pub fn peek(tid: pid_t, address: u64) -> Result<u64> {
    let address = usize::try_from(address).map_err(|_| Errno::EFAULT)?;
    let mut word = 0u64;
    // SAFETY: the call itself, unlike the C library's function, writes one word to where the last
    // argument says.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_ptrace,
            libc::PTRACE_PEEKDATA,
            tid,
            ptr::without_provenance_mut::<c_void>(address),
            &raw mut word,
        )
    };
    Errno::result(rc).map(|_| word)
}

/// Writes a word into a stopped thread's memory, through protections and into a stack that has
/// still to grow.
pub fn poke(tid: pid_t, address: u64, word: u64) -> Result<()> {
    let address = usize::try_from(address).map_err(|_| Errno::EFAULT)?;
    // SAFETY: both are plain values of another process's address space; nothing of this one is touched.
    let rc = unsafe {
        libc::ptrace(
            libc::PTRACE_POKEDATA,
            tid,
            ptr::without_provenance_mut::<c_void>(address),
            word as c_ulong,
        )
    };
    Errno::result(rc).map(drop)
}

/// A request without an address; `data` is null, a value, or points to the one structure that the
/// request reads or writes.
fn request(what: libc::c_uint, tid: pid_t, data: *mut c_void) -> Result<()> {
    // SAFETY: the callers above pass what the request wants.
    let rc: c_long = unsafe { libc::ptrace(what, tid, ptr::null_mut::<c_void>(), data) };
    Errno::result(rc).map(drop)
}
