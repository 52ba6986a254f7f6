//! The code that is put into a process's vDSO, with its unwind records.
//!
//! Position independent, reached in two ways:
//! - a *hook* stands in for `clock_gettime`, `gettimeofday` or `time`: it calls the untouched original
//!   and adds the offset;
//! - the *stub* makes one system call for a thread that was redirected out of a trapped one: the
//!   supervisor has laid a frame on its stack and set its registers, so that the stub only has to
//!   call, restore the argument registers and go back;
//! - the *status stub* makes a call of the stat family and rotates the stamps that it returned
//!   ([`stamps`](super::stamps)), or a raw read of the clock, to which it adds the offset. A thread gets here out of a trapped call or from a patched call site
//!   ([`sites`](super::sites)) with all registers as they are at the `syscall` instruction, and in rcx the
//!   address behind that. A call of another kind, from a site that serves all, is sent back to
//!   the instruction itself.
//!
//! The bytes are assembled with this crate and are never run where they lie in it: [`image`](super::image)
//! copies them, fills in the offset and the distances to the originals. Everything is written against
//! the System V ABI of x86_64; there is no other port yet.

use std::arch::global_asm;

use crate::launch::seccomp::CLOCK_COOKIE;

/// First word of the blob: says that a vDSO is patched.
pub(super) const MARK: u64 = u64::from_le_bytes(*b"belljar\x01");

/// Where the blob takes the rule for stamps from: three words.
pub(super) const STAMPS_AT: usize = 16;

/// The size of a redirected thread's frame, below its red zone.
pub(super) const FRAME: usize = 80;
/// The red zone: memory below the stack pointer that a function may use without moving it.
pub(super) const RED_ZONE: usize = 128;

// A call or jump to an original: its distance is filled in by `Blob::code`.
//
// Unwind records (DWARF call frame information, as in .eh_frame): one CIE; one FDE for the hooks,
// which push one register around their call; one for the stub, whose caller's stack pointer is
// FRAME + RED_ZONE = 208 above its own and whose return address lies at 40 in the frame, that is 168
// below it (21 units of 8), and after the `lea` in rcx; one for the status stub, which has its return
// address in rcx at first and at last, and between below the red zone at 144 (18 units of 8).
global_asm!(
    ".pushsection .rodata.belljar_clock,\"a\",@progbits",
    ".balign 16",
    ".hidden belljar_clock_start",
    ".globl belljar_clock_start",
    "belljar_clock_start:",
    ".quad 0",                   // the mark
    ".Lbelljar_offset: .quad 0",  // the offset in seconds
    ".Lbelljar_first: .quad 0",   // the rule for stamps: see `Stamps`
    ".Lbelljar_len: .quad 0",
    ".Lbelljar_forward: .quad 0",
    //
    // clock_gettime(edi = clock, rsi = timespec)
    ".Lbelljar_cgt: cmp $11,%edi",
    "ja .Lbelljar_cgt_other",
    "mov $0x921,%eax", // REALTIME 0, REALTIME_COARSE 5, REALTIME_ALARM 8, TAI 11
    "bt %edi,%eax",
    "jnc .Lbelljar_cgt_other",
    "push %rsi",
    ".Lbelljar_cgt_in: .byte 0xe8",
    ".Lbelljar_cgt_call: .long 0",
    "pop %rsi",
    ".Lbelljar_cgt_out: test %eax,%eax",
    "jnz .Lbelljar_cgt_done",
    "mov .Lbelljar_offset(%rip),%rcx",
    "add %rcx,(%rsi)",
    ".Lbelljar_cgt_done: ret",
    ".Lbelljar_cgt_other: .byte 0xe9",
    ".Lbelljar_cgt_jump: .long 0",
    //
    // gettimeofday(rdi = timeval or null, rsi = timezone or null)
    ".Lbelljar_gtod: push %rdi",
    ".Lbelljar_gtod_in: .byte 0xe8",
    ".Lbelljar_gtod_call: .long 0",
    "pop %rdi",
    ".Lbelljar_gtod_out: test %eax,%eax",
    "jnz .Lbelljar_gtod_done",
    "test %rdi,%rdi",
    "jz .Lbelljar_gtod_done",
    "mov .Lbelljar_offset(%rip),%rcx",
    "add %rcx,(%rdi)",
    ".Lbelljar_gtod_done: ret",
    //
    // time(rdi = where or null)
    ".Lbelljar_time: push %rdi",
    ".Lbelljar_time_in: .byte 0xe8",
    ".Lbelljar_time_call: .long 0",
    "pop %rdi",
    ".Lbelljar_time_out: add .Lbelljar_offset(%rip),%rax",
    "test %rdi,%rdi",
    "jz .Lbelljar_time_done",
    "mov %rax,(%rdi)",
    ".Lbelljar_time_done: ret",
    //
    // the stub; the frame at rsp: rsi rdx r10 r8 r9 return-address itimerspec
    ".Lbelljar_stub: syscall",
    "mov (%rsp),%rsi",
    "mov 8(%rsp),%rdx",
    "mov 16(%rsp),%r10",
    "mov 24(%rsp),%r8",
    "mov 32(%rsp),%r9",
    "mov 40(%rsp),%rcx",
    "lea 208(%rsp),%rsp",
    ".Lbelljar_stub_left: jmp *%rcx", // as after the `syscall` that it stands for, rcx is the return address
    ".Lbelljar_stub_end:",
    //
    // the status stub: eax = number, rcx = return address
    ".Lbelljar_status: lea -4(%rax),%r11d", // stat 4, fstat 5, lstat 6
    "cmp $2,%r11d",
    "lea 72(%rsi),%r11", // st_atim
    "jbe .Lbelljar_status_call",
    "cmp $262,%eax", // newfstatat
    "lea 72(%rdx),%r11",
    "je .Lbelljar_status_call",
    "cmp $332,%eax", // statx
    "lea 64(%r8),%r11", // stx_atime
    "je .Lbelljar_status_call",
    "mov %rdi,%r11",
    "cmp $96,%eax", // gettimeofday
    "je .Lbelljar_status_call",
    "cmp $201,%eax", // time
    "je .Lbelljar_status_call",
    "cmp $228,%eax", // clock_gettime
    "jne .Lbelljar_status_other",
    "cmp $11,%edi",
    "ja .Lbelljar_status_other",
    "mov $0x921,%r11d",
    "bt %edi,%r11d",
    "mov %rsi,%r11",
    "jc .Lbelljar_status_call",
    ".Lbelljar_status_other: sub $2,%rcx",
    "jmp *%rcx",
    ".Lbelljar_status_call: lea -160(%rsp),%rsp",
    ".Lbelljar_status_in: mov %rcx,16(%rsp)",
    ".Lbelljar_status_kept_rcx: mov %r9,8(%rsp)",
    "mov %r11,(%rsp)",
    "mov %eax,24(%rsp)",
    "mov ${cookie},%r9d",
    "syscall",
    "mov (%rsp),%r9",
    "mov 24(%rsp),%ecx",
    "cmp $201,%ecx",
    "je .Lbelljar_status_time",
    "test %eax,%eax",
    "jnz .Lbelljar_status_done",
    "cmp $228,%ecx",
    "je .Lbelljar_status_clock",
    "cmp $96,%ecx",
    "je .Lbelljar_status_clock",
    // Four stamps of 16 bytes. `struct stat` has three; where the fourth would be is zero.
    "mov $4,%ecx",
    ".Lbelljar_status_next: mov (%r9),%r11",
    "sub .Lbelljar_first(%rip),%r11",
    "cmp .Lbelljar_len(%rip),%r11",
    "jae .Lbelljar_status_kept",
    "add .Lbelljar_forward(%rip),%r11",
    "cmp .Lbelljar_len(%rip),%r11",
    "jb .Lbelljar_status_rotated",
    "sub .Lbelljar_len(%rip),%r11",
    ".Lbelljar_status_rotated: add .Lbelljar_first(%rip),%r11",
    "mov %r11,(%r9)",
    ".Lbelljar_status_kept: add $16,%r9",
    "dec %ecx",
    "jnz .Lbelljar_status_next",
    ".Lbelljar_status_done: mov 8(%rsp),%r9",
    "mov 16(%rsp),%rcx",
    "lea 160(%rsp),%rsp",
    ".Lbelljar_status_out: jmp *%rcx",
    // The rest stands behind the way out, so that one row of the unwind table holds for it.
    ".Lbelljar_status_time: test %rax,%rax",
    "js .Lbelljar_status_done",
    "add .Lbelljar_offset(%rip),%rax",
    "test %r9,%r9",
    "jz .Lbelljar_status_done",
    "mov %rax,(%r9)",
    "jmp .Lbelljar_status_done",
    ".Lbelljar_status_clock: mov .Lbelljar_offset(%rip),%r11",
    "test %r9,%r9",
    "jz .Lbelljar_status_done",
    "add %r11,(%r9)",
    "jmp .Lbelljar_status_done",
    ".Lbelljar_status_end:",
    //
    ".balign 4",
    ".Lbelljar_cie: .long .Lbelljar_cie_end - .Lbelljar_cie_id", // CIE
    ".Lbelljar_cie_id: .long 0",
    ".byte 1",
    ".asciz \"zR\"",
    ".byte 1, 0x78, 16, 1, 0x1b", // code align 1, data align -8, return address, pc-relative sdata4
    ".byte 0x0c, 7, 8",           // the caller's stack pointer is rsp + 8
    ".byte 0x90, 1",              // the return address lies just below it
    ".balign 4",
    ".Lbelljar_cie_end:",
    ".Lbelljar_hooks_fde: .long .Lbelljar_hooks_end - .Lbelljar_hooks_cie", // FDE of the hooks
    ".Lbelljar_hooks_cie: .long .Lbelljar_hooks_cie - .Lbelljar_cie",
    ".long .Lbelljar_cgt - .",
    ".long .Lbelljar_stub - .Lbelljar_cgt",
    ".byte 0",
    ".byte 0x02, .Lbelljar_cgt_in - .Lbelljar_cgt, 0x0e, 16",
    ".byte 0x02, .Lbelljar_cgt_out - .Lbelljar_cgt_in, 0x0e, 8",
    ".byte 0x02, .Lbelljar_gtod_in - .Lbelljar_cgt_out, 0x0e, 16",
    ".byte 0x02, .Lbelljar_gtod_out - .Lbelljar_gtod_in, 0x0e, 8",
    ".byte 0x02, .Lbelljar_time_in - .Lbelljar_gtod_out, 0x0e, 16",
    ".byte 0x02, .Lbelljar_time_out - .Lbelljar_time_in, 0x0e, 8",
    ".balign 4",
    ".Lbelljar_hooks_end:",
    ".Lbelljar_stub_fde: .long .Lbelljar_stub_fde_end - .Lbelljar_stub_cie", // FDE of the stub
    ".Lbelljar_stub_cie: .long .Lbelljar_stub_cie - .Lbelljar_cie",
    ".long .Lbelljar_stub - .",
    ".long .Lbelljar_stub_end - .Lbelljar_stub",
    ".byte 0",
    ".byte 0x0e, 0xd0, 1", // the caller's stack pointer is rsp + 208
    ".byte 0x90, 21",      // the return address lies 168 below it
    ".byte 0x02, .Lbelljar_stub_left - .Lbelljar_stub, 0x0e, 0", // after the lea it is rsp
    ".byte 0x09, 16, 2",   // and the return address is in rcx
    ".balign 4",
    ".Lbelljar_stub_fde_end:",
    ".Lbelljar_status_fde: .long .Lbelljar_status_fde_end - .Lbelljar_status_cie", // FDE of the status stub
    ".Lbelljar_status_cie: .long .Lbelljar_status_cie - .Lbelljar_cie",
    ".long .Lbelljar_status - .",
    ".long .Lbelljar_status_end - .Lbelljar_status",
    ".byte 0",
    ".byte 0x0e, 0, 0x09, 16, 2", // at first the caller's stack pointer is rsp, the return address in rcx
    ".byte 0x02, .Lbelljar_status_in - .Lbelljar_status, 0x0e, 0xa0, 1",
    ".byte 0x02, .Lbelljar_status_kept_rcx - .Lbelljar_status_in, 0x90, 18",
    ".byte 0x02, .Lbelljar_status_out - .Lbelljar_status_kept_rcx, 0x0e, 0, 0x09, 16, 2",
    ".byte 0x02, .Lbelljar_status_time - .Lbelljar_status_out, 0x0e, 0xa0, 1, 0x90, 18",
    ".balign 4",
    ".Lbelljar_status_fde_end:",
    ".hidden belljar_clock_end",
    ".globl belljar_clock_end",
    "belljar_clock_end:",
    ".balign 4",
    ".hidden belljar_clock_layout",
    ".globl belljar_clock_layout",
    "belljar_clock_layout:",
    ".long .Lbelljar_cgt - belljar_clock_start, .Lbelljar_cgt_call - belljar_clock_start, .Lbelljar_cgt_jump - belljar_clock_start",
    ".long .Lbelljar_gtod - belljar_clock_start, .Lbelljar_gtod_call - belljar_clock_start",
    ".long .Lbelljar_time - belljar_clock_start, .Lbelljar_time_call - belljar_clock_start",
    ".long .Lbelljar_stub - belljar_clock_start, .Lbelljar_stub_end - belljar_clock_start",
    ".long .Lbelljar_hooks_fde - belljar_clock_start, .Lbelljar_stub_fde - belljar_clock_start",
    ".long .Lbelljar_status - belljar_clock_start, .Lbelljar_status_fde - belljar_clock_start",
    ".popsection",
    cookie = const CLOCK_COOKIE,
    options(att_syntax)
);

unsafe extern "C" {
    static belljar_clock_start: [u8; 0];
    static belljar_clock_end: [u8; 0];
    static belljar_clock_layout: Layout;
}

/// Where things are in the blob, in bytes from its start.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Stands in for `clock_gettime`.
    pub(super) clock_gettime: u32,
    /// Distance to fill in: its call.
    pub(super) clock_gettime_call: u32,
    /// Distance to fill in: its jump for clocks that are not moved.
    pub(super) clock_gettime_jump: u32,
    /// Stands in for `gettimeofday`.
    pub(super) gettimeofday: u32,
    /// Distance to fill in.
    pub(super) gettimeofday_call: u32,
    /// Stands in for `time`.
    pub(super) time: u32,
    /// Distance to fill in.
    pub(super) time_call: u32,
    /// Where a redirected thread starts.
    pub(super) stub: u32,
    /// The end of that stub.
    pub(super) stub_end: u32,
    /// Unwind record of the hooks.
    pub(super) hooks_fde: u32,
    /// Unwind record of the stub.
    pub(super) stub_fde: u32,
    /// The status stub.
    pub(super) status: u32,
    /// Its unwind record.
    pub(super) status_fde: u32,
}

/// The blob as assembled, and where things are in it.
pub(super) fn assembled() -> (&'static [u8], &'static Layout) {
    let (start, end) = (&raw const belljar_clock_start, &raw const belljar_clock_end);
    let len = end.addr() - start.addr();
    // SAFETY: both symbols are in the one section above, start before end, read-only data.
    let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) };
    // SAFETY: the section above holds the thirteen words of `Layout` there, aligned to 4.
    (bytes, unsafe { &belljar_clock_layout })
}
