//! Finds the call sites of the stat family, and of raw reads of the clock, in a program's text, and what to write there so that they
//! lead to the status stub without a trap. Pure, on bytes.
//!
//! A site is five or more bytes before a `syscall` instruction that can be told for certain:
//! - `mov $number,%eax`, at most some moves between registers, `syscall`: every stat of glibc and
//!   musl, and of static programs that hold theirs;
//! - the end of glibc's `syscall()` and of Go's `Syscall6`, which serve all numbers.
//!
//! The bytes become a jump to a *slot* in the zeros behind the text, in the same mapping: it does
//! what was displaced, puts the address behind the `syscall` into rcx (which a system call
//! destroys anyway) and goes on to the stub. The `syscall` itself stays, so that whoever jumps to it, waits in
//! it or is sent back to it finds it, and traps at worst. Any other site traps each time:
//! slower, and as right.

use std::ops::Range;

const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// stat, fstat, lstat, newfstatat, statx; gettimeofday, time, clock_gettime.
const FAMILY: [u32; 8] = [4, 5, 6, 262, 332, 96, 201, 228];
/// `mov $imm32,%eax`
const MOV_EAX: u8 = 0xb8;
/// The length of that, and of a jump to anywhere in the text.
const JUMP: usize = 5;
/// Moves between registers, three bytes each, that may stand between number and call.
const MOVES: usize = 4;
/// `mov 8(%rsp),%r9`: how glibc's `syscall` ends before its call.
const GLIBC_SYSCALL: [u8; 5] = [0x4c, 0x8b, 0x4c, 0x24, 0x08];
/// Go's `Syscall6`: four moves, the call, a comparison with -4095.
const GO_SYSCALL: [u8; 12] = [
    0x49, 0x89, 0xf2, 0x48, 0x89, 0xfa, 0x48, 0x89, 0xce, 0x48, 0x89, 0xdf,
];
const GO_AFTER: [u8; 6] = [0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff];
/// `lea distance(%rip),%rcx`, then a jump.
const SLOT: usize = 7 + JUMP;
/// `movabs $stub,%r11; jmp *%r11`: where all slots lead.
const EXIT: usize = 13;
/// Where in that the address goes.
const EXIT_ADDRESS: usize = 2;
/// An instruction may end in as many zeros, which are not free.
const LAST_ZEROS: usize = 16;
const PAGE: usize = 4096;
/// More sites than any text has that is worth it.
const MOST: usize = 64;

/// A call site.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Site {
    /// The bytes that become a jump.
    replaced: Range<usize>,
    /// What the slot does first; ends at the `syscall`.
    displaced: Range<usize>,
}

impl Site {
    /// Where the call returns to.
    fn back(&self) -> usize {
        self.displaced.end + SYSCALL.len()
    }
}

/// Bytes of a text, within one page, and what they become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// Where, from the text's start.
    pub(super) at: usize,
    /// What must be there.
    pub(super) before: Vec<u8>,
    /// What is to be there.
    pub(super) after: Vec<u8>,
}

/// What to write into a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sites {
    /// The slots: written first, so that no jump leads to nothing.
    pub(super) slots: Span,
    /// Where in `slots.after` the stub's address goes.
    pub(super) address_at: usize,
    /// The sites, by page.
    pub(super) jumps: Vec<Span>,
    /// Where the patched calls return to, from the text's start.
    pub(super) returns: Vec<usize>,
}

impl Sites {
    /// Looks through a text: all of an executable mapping. None if there is nothing to patch, or no
    /// room.
    pub(super) fn find(text: &[u8]) -> Option<Self> {
        let start = free_tail(text)?;
        let mut slots = exit();
        let mut sites = Vec::new();
        for site in calls(text)
            .filter_map(|at| site_before(text, at))
            .take(MOST)
        {
            let slot = slot(text, &site, start, start + slots.len())?;
            if start + slots.len() + slot.len() > text.len() {
                break;
            }
            sites.push((site, start + slots.len()));
            slots.extend(slot);
        }
        if sites.is_empty() {
            return None;
        }
        Some(Self {
            slots: Span {
                at: start,
                before: vec![0; slots.len()],
                after: slots,
            },
            address_at: EXIT_ADDRESS,
            jumps: jumps(text, &sites)?,
            returns: sites.iter().map(|(site, _)| site.back()).collect(),
        })
    }
}

/// Where `syscall` instructions are, or bytes like them.
fn calls(text: &[u8]) -> impl Iterator<Item = usize> {
    let pairs = text.windows(SYSCALL.len()).enumerate();
    pairs.filter(|(_, pair)| *pair == SYSCALL).map(|(at, _)| at)
}

/// The site that ends at the `syscall` at `end`.
fn site_before(text: &[u8], end: usize) -> Option<Site> {
    let before = &text[..end];
    let after = &text[end + SYSCALL.len()..];
    let displaced = |len: usize| end - len..end;
    if before.ends_with(&GLIBC_SYSCALL) {
        return Some(Site {
            replaced: displaced(GLIBC_SYSCALL.len()),
            displaced: displaced(GLIBC_SYSCALL.len()),
        });
    }
    if before.ends_with(&GO_SYSCALL) && after.starts_with(&GO_AFTER) {
        // The last two moves.
        return Some(Site {
            replaced: displaced(6),
            displaced: displaced(6),
        });
    }
    let mut len = JUMP;
    for _ in 0..=MOVES {
        let at = end.checked_sub(len)?;
        if sets_number(before, at) {
            return Some(Site {
                replaced: at..at + JUMP,
                displaced: at..end,
            });
        }
        // One move more, if there is one.
        let moves = at + JUMP - 3;
        if !is_move(before.get(moves..moves + 3)?) {
            return None;
        }
        len += 3;
    }
    None
}

/// Whether `mov $number,%eax` of the family is at `at`, and not with a prefix before it that makes it
/// another.
fn sets_number(text: &[u8], at: usize) -> bool {
    let Some((&MOV_EAX, number)) = text[at..].split_first() else {
        return false;
    };
    let Some(number) = number.first_chunk() else {
        return false;
    };
    let prefixed = at > 0 && matches!(text[at - 1], 0x40..=0x4f | 0x66);
    FAMILY.contains(&u32::from_le_bytes(*number)) && !prefixed
}

/// Whether this is `mov` between two of the 64-bit registers, rsp, rax and rcx left alone.
fn is_move(bytes: &[u8]) -> bool {
    let &[
        prefix @ 0x48..=0x4f,
        opcode @ (0x89 | 0x8b),
        registers @ 0xc0..=0xff,
    ] = bytes
    else {
        return false;
    };
    if prefix & 0b10 != 0 {
        // The index bit means nothing here, and no compiler sets it.
        return false;
    }
    let reg = (prefix >> 2 & 1) << 3 | registers >> 3 & 7;
    let rm = (prefix & 1) << 3 | registers & 7;
    let target = if opcode == 0x89 { rm } else { reg };
    !matches!(target, 0 | 1 | 4)
}

/// The start of the zeros behind the text.
fn free_tail(text: &[u8]) -> Option<usize> {
    if text.is_empty() || !text.len().is_multiple_of(PAGE) {
        return None;
    }
    let last = text.len() - PAGE;
    let used = text[last..].iter().rposition(|&b| b != 0)?;
    let start = (last + used + 1 + LAST_ZEROS).next_multiple_of(16);
    (start < text.len()).then_some(start)
}

fn exit() -> Vec<u8> {
    let mut exit = vec![0x49, 0xbb];
    exit.extend([0; 8]);
    exit.extend([0x41, 0xff, 0xe3]);
    debug_assert_eq!(exit.len(), EXIT);
    exit
}

fn slot(text: &[u8], site: &Site, exit: usize, at: usize) -> Option<Vec<u8>> {
    let mut slot = text[site.displaced.clone()].to_vec();
    let lea = at + slot.len();
    slot.extend([0x48, 0x8d, 0x0d]);
    slot.extend(distance(lea + 7, site.back())?);
    slot.push(0xe9);
    slot.extend(distance(lea + SLOT, exit)?);
    Some(slot)
}

/// The jumps, those of a page in one span.
fn jumps(text: &[u8], sites: &[(Site, usize)]) -> Option<Vec<Span>> {
    let mut spans: Vec<Span> = Vec::new();
    for (site, slot) in sites {
        let Range { start, end } = site.replaced;
        let near = |span: &Span| start >= span.at && (end - 1) / PAGE == span.at / PAGE;
        if !spans.last().is_some_and(near) {
            spans.push(Span {
                at: start,
                before: Vec::new(),
                after: Vec::new(),
            });
        }
        let span = spans.last_mut()?;
        let known = span.at + span.before.len();
        span.before.extend(text.get(known..end)?);
        span.after.extend(text.get(known..end)?);
        let jump = span.after.get_mut(start - span.at..)?;
        jump.fill(0x90);
        jump[0] = 0xe9;
        jump[1..JUMP].copy_from_slice(&distance(start + JUMP, *slot)?);
    }
    Some(spans)
}

fn distance(from: usize, to: usize) -> Option<[u8; 4]> {
    let distance = (to as u64).wrapping_sub(from as u64).cast_signed();
    i32::try_from(distance).ok().map(i32::to_le_bytes)
}
