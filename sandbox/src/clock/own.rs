//! This process's own vDSO and clock calls, past the C library.

use std::slice;

use libc::{timespec, timeval};

use super::elf::{ImageError, PAGE};
use super::image::{self, Reader};

const NANOS: i64 = 1_000_000_000;

/// This process's vDSO image, if it has one.
pub(super) fn image() -> Result<Option<&'static [u8]>, ImageError> {
    // SAFETY: reads the process's auxiliary vector.
    let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
    let Ok(base @ 1..) = usize::try_from(base) else {
        return Ok(None);
    };
    let start = std::ptr::with_exposed_provenance::<u8>(base);
    // SAFETY: the kernel maps at least one page of the vDSO there, for the process's life.
    let head = unsafe { slice::from_raw_parts(start, PAGE) };
    let len = image::mapped_len(head)?;
    // SAFETY: all pages that the image's own headers name are mapped with it.
    Ok(Some(unsafe { slice::from_raw_parts(start, len) }))
}

/// Makes the call by which a program under a moved clock is patched: harmless anywhere.
pub(super) fn checkpoint() {
    // SAFETY: brk(NULL) changes nothing; it tells where the heap ends.
    unsafe { libc::syscall(libc::SYS_brk, 0) };
}

/// A time function of the vDSO as its symbol table now has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function(*const ());

/// Looks a function up anew.
pub(super) fn function(reader: Reader) -> Option<Function> {
    let image = image().ok()??;
    let symbols = image::time_symbols(image).ok()?;
    let symbol = symbols.iter().find(|s| s.reader == reader)?;
    let at = image
        .as_ptr()
        .wrapping_add(usize::try_from(symbol.value).ok()?);
    Some(Function(at.cast()))
}

impl Function {
    /// As nanoseconds.
    pub(super) fn clock_gettime(self, clock: i32) -> Option<i64> {
        let mut time = ZERO;
        // SAFETY: the symbol table says that `clock_gettime` is there, and that is its C signature.
        let function: extern "C" fn(i32, *mut timespec) -> i32 =
            unsafe { std::mem::transmute(self.0) };
        (function(clock, &raw mut time) == 0).then(|| nanos(time))
    }

    /// As nanoseconds.
    pub(super) fn gettimeofday(self) -> Option<i64> {
        let mut time = ZERO_MICROS;
        // SAFETY: as above, for `gettimeofday`.
        let function: extern "C" fn(*mut timeval, usize) -> i32 =
            unsafe { std::mem::transmute(self.0) };
        (function(&raw mut time, 0) == 0).then(|| micros(time))
    }

    /// As nanoseconds.
    pub(super) fn time(self) -> i64 {
        // SAFETY: as above, for `time`.
        let function: extern "C" fn(usize) -> i64 = unsafe { std::mem::transmute(self.0) };
        function(0).saturating_mul(NANOS)
    }
}

const ZERO: timespec = timespec {
    tv_sec: 0,
    tv_nsec: 0,
};
const ZERO_MICROS: timeval = timeval {
    tv_sec: 0,
    tv_usec: 0,
};

/// The system call, as nanoseconds.
pub(super) fn raw_clock_gettime(clock: i32) -> Option<i64> {
    let mut time = ZERO;
    // SAFETY: the call writes one `timespec`. The other arguments are zero, so that none is the cookie.
    let rc = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time, 0, 0, 0, 0) };
    (rc == 0).then(|| nanos(time))
}

/// The system call, as nanoseconds.
pub(super) fn raw_gettimeofday() -> Option<i64> {
    let mut time = ZERO_MICROS;
    // SAFETY: the call writes one `timeval`.
    let rc = unsafe { libc::syscall(libc::SYS_gettimeofday, &raw mut time, 0, 0, 0, 0, 0) };
    (rc == 0).then(|| micros(time))
}

/// The system call, as nanoseconds.
pub(super) fn raw_time() -> Option<i64> {
    // SAFETY: with a null pointer the call writes nothing.
    let seconds = unsafe { libc::syscall(libc::SYS_time, 0, 0, 0, 0, 0, 0) };
    (seconds != -1).then(|| seconds.saturating_mul(NANOS))
}

/// Asks for a file's status by a call of the stat family, past the C library and from a site that
/// is never patched; its modification time in seconds.
pub(super) fn raw_status(nr: i64, args: [usize; 4]) -> Option<i64> {
    let mut status = [0u64; 32];
    let buffer = status.as_mut_ptr().expose_provenance();
    let [a, b, c, d] = args;
    let (args, mtime) = match nr {
        libc::SYS_stat | libc::SYS_lstat | libc::SYS_fstat => ([a, buffer, 0, 0, 0], 11),
        libc::SYS_newfstatat => ([a, b, buffer, d, 0], 11),
        libc::SYS_statx => ([a, b, c, d, buffer], 14),
        _ => return None,
    };
    let [a, b, c, d, e] = args;
    let mut rax = nr;
    // SAFETY: the call reads a string at its path and writes at most 256 bytes, which `status` has.
    unsafe {
        std::arch::asm!(
            "nop",
            "syscall",
            inout("rax") rax,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") 0,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    (rax == 0).then(|| status[mtime].cast_signed())
}

fn nanos(time: timespec) -> i64 {
    time.tv_sec
        .saturating_mul(NANOS)
        .saturating_add(time.tv_nsec)
}

fn micros(time: timeval) -> i64 {
    time.tv_sec
        .saturating_mul(NANOS)
        .saturating_add(time.tv_usec.saturating_mul(1000))
}
