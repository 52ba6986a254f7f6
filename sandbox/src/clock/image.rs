//! Reads a vDSO image and computes what to write into it: pure, on bytes.
//!
//! The code of the image stays as it is. What changes is its head (the values of the time symbols in
//! the dynamic symbol table, and the program headers so that they cover the blob and its unwind
//! table) and its free tail, which gets the blob.

use super::blob::{self, Layout, MARK, STAMPS_AT};
use super::elf::{
    DT_HASH, DT_STRTAB, DT_SYMTAB, Elf, ImageError, ImageError::Malformed, PAGE, SYMBOL,
    drop_sections, fill,
};
use super::stamps::Stamps;
use super::unwind::UnwindTable;

/// More symbols than any vDSO has; bounds the work on a strange one.
const MAX_SYMBOLS: usize = 4096;

/// A time function that the vDSO offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// `clock_gettime`
    ClockGettime,
    /// `gettimeofday`
    Gettimeofday,
    /// `time`
    Time,
}

impl Reader {
    fn named(name: &[u8]) -> Option<Self> {
        match name.strip_prefix(b"__vdso_").unwrap_or(name) {
            b"clock_gettime" => Some(Self::ClockGettime),
            b"gettimeofday" => Some(Self::Gettimeofday),
            b"time" => Some(Self::Time),
            _ => None,
        }
    }
}

/// One entry of the dynamic symbol table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbol {
    /// Which function.
    pub(super) reader: Reader,
    /// Where the entry's value field lies.
    pub(super) value_at: usize,
    /// Its value: where the function starts.
    pub(super) value: u64,
}

/// How large the image is in memory, from its first page: the pages that its segments and section
/// headers touch are mapped.
pub(super) fn mapped_len(head: &[u8]) -> Result<usize, ImageError> {
    let head = Elf(head);
    head.check()?;
    let end = head.load_end()?.max(head.sections_end()?);
    let len = end.next_multiple_of(PAGE);
    if len == 0 || len > 16 * PAGE {
        return Err(Malformed("its size"));
    }
    Ok(len)
}

/// The time functions in the dynamic symbol table.
pub(super) fn time_symbols(image: &[u8]) -> Result<Vec<Symbol>, ImageError> {
    let elf = Elf(image);
    elf.check()?;
    let (mut symtab, mut strtab, mut hash) = (None, None, None);
    let (start, len) = elf.dynamic()?;
    for entry in (start..start.saturating_add(len)).step_by(16) {
        let value = elf.offset(entry.saturating_add(8))?;
        match elf.u64(entry)? {
            0 => break,
            DT_HASH => hash = Some(value),
            DT_STRTAB => strtab = Some(value),
            DT_SYMTAB => symtab = Some(value),
            _ => {}
        }
    }
    let symtab = symtab.ok_or(Malformed("no symbol table"))?;
    let strtab = strtab.ok_or(Malformed("no string table"))?;
    let count = elf.symbol_count(symtab, strtab, hash)?;
    let mut symbols = Vec::new();
    for n in 0..count.min(MAX_SYMBOLS) {
        let entry = symtab.saturating_add(n * SYMBOL);
        let name = strtab.saturating_add(elf.u32(entry)? as usize);
        let value_at = entry.saturating_add(8);
        let value = elf.u64(value_at)?;
        if let Some(reader) = elf.string(name).and_then(Reader::named)
            && value != 0
            && value < image.len() as u64
        {
            symbols.push(Symbol {
                reader,
                value_at,
                value,
            });
        }
    }
    Ok(symbols)
}

/// Bytes to put at a place of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    /// Offset from the image's start; a multiple of 8, as the length is.
    pub(super) at: usize,
    /// What is to be there.
    pub(super) bytes: Vec<u8>,
}

impl Write {
    /// The write in words.
    pub(super) fn words(&self) -> impl Iterator<Item = (u64, u64)> + use<'_> {
        let words = self.bytes.chunks_exact(8).filter_map(|w| w.try_into().ok());
        let places = (self.at as u64..).step_by(8);
        places.zip(words.map(u64::from_ne_bytes))
    }
}

/// What to write into a vDSO of this kernel, and where things then are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Patch {
    /// The blob; goes first, so that no symbol ever points to nothing.
    pub(super) blob: Write,
    /// The image's head.
    pub(super) head: Write,
    /// What the head is before.
    pub(super) head_before: Vec<u8>,
    /// The first two words of the blob, by which a patched vDSO is known.
    pub(super) mark: [u8; 16],
    /// Where a redirected thread starts, from the image's start.
    pub(super) stub: u64,
    /// Where a call of the stat family goes, from the image's start.
    pub(super) status: u64,
    /// Where the image's own system calls return to, from its start.
    pub(super) own_calls: Vec<u64>,
}

impl Patch {
    /// Computes the writes that move the wall clock of a process with this vDSO by `offset` seconds,
    /// and the stamps of files by the rule `stamps`.
    pub(super) fn new(image: &[u8], offset: i64, stamps: Stamps) -> Result<Self, ImageError> {
        Self::in_room(image, offset, stamps, Room::find(Elf(image))?)
    }

    /// The same with the blob in a place of choice.
    pub(super) fn in_room(
        image: &[u8],
        offset: i64,
        stamps: Stamps,
        room: Room,
    ) -> Result<Self, ImageError> {
        let elf = Elf(image);
        let symbols = time_symbols(image)?;
        if !symbols.iter().any(|s| s.reader == Reader::ClockGettime) {
            return Err(ImageError::NoSymbols);
        }
        let (assembled, layout) = blob::assembled();
        let mut code = assembled.to_vec();
        fill(&mut code, 0, &MARK.to_le_bytes())?;
        fill(&mut code, 8, &offset.to_le_bytes())?;
        let rule = [stamps.first, stamps.len, stamps.forward];
        fill(
            &mut code,
            STAMPS_AT,
            rule.map(i64::to_le_bytes).as_flattened(),
        )?;
        let mut new = image.to_vec();
        for symbol in &symbols {
            let hook = connect(&mut code, layout, *symbol, room.at)?;
            let to = (room.at + hook as usize) as u64;
            fill(&mut new, symbol.value_at, &to.to_le_bytes())?;
        }
        if let Some(unwind) = UnwindTable::read(elf).filter(|_| room.unwind) {
            let fdes = [layout.hooks_fde, layout.stub_fde, layout.status_fde];
            let starts = [layout.clock_gettime, layout.stub, layout.status];
            let ours =
                [0, 1, 2].map(|i| (room.at + starts[i] as usize, room.at + fdes[i] as usize));
            code.extend(unwind.moved(&mut new, room.at + code.len(), &ours)?);
        }
        code.resize(code.len().next_multiple_of(8), 0);
        elf.cover(&mut new, room.at + code.len())?;
        if room.drops_sections {
            drop_sections(&mut new)?;
        }
        let mark = <[u8; 16]>::try_from(&code[..16]).map_err(|_| Malformed("the blob"))?;
        let (head_before, head) = difference(image, &new).ok_or(ImageError::NoSymbols)?;
        Ok(Self {
            blob: Write {
                at: room.at,
                bytes: code,
            },
            head,
            head_before,
            mark,
            stub: room.at as u64 + u64::from(layout.stub),
            status: room.at as u64 + u64::from(layout.status),
            own_calls: returns_of_calls(image),
        })
    }
}

/// Joins a hook with the function that it stands in for; returns where the hook is in the blob.
fn connect(code: &mut [u8], at: &Layout, symbol: Symbol, base: usize) -> Result<u32, ImageError> {
    let (hook, distances) = match symbol.reader {
        Reader::ClockGettime => (
            at.clock_gettime,
            vec![at.clock_gettime_call, at.clock_gettime_jump],
        ),
        Reader::Gettimeofday => (at.gettimeofday, vec![at.gettimeofday_call]),
        Reader::Time => (at.time, vec![at.time_call]),
    };
    for field in distances {
        // A distance counts from the end of the instruction, which the field ends.
        let from = (base + field as usize + 4) as u64;
        let distance = symbol.value.wrapping_sub(from).cast_signed();
        let distance = i32::try_from(distance).map_err(|_| Malformed("a symbol's value"))?;
        fill(code, field as usize, &distance.to_le_bytes())?;
    }
    Ok(hook)
}

/// The smallest write of whole words that turns `old` into `new`, and what it replaces.
fn difference(old: &[u8], new: &[u8]) -> Option<(Vec<u8>, Write)> {
    let differs = |i: &usize| old[*i] != new[*i];
    let at = (0..old.len()).find(differs)? / 8 * 8;
    let last = (0..old.len()).rfind(differs)?;
    let words = at..(last + 1).next_multiple_of(8);
    let bytes = new.get(words.clone())?.to_vec();
    Some((old.get(words)?.to_vec(), Write { at, bytes }))
}

/// Where system calls that the image makes itself return to. A hook adds the offset to what the
/// original returns, so a call that the original makes must not be moved a second time.
fn returns_of_calls(image: &[u8]) -> Vec<u64> {
    let syscall = [0x0f, 0x05];
    let ends = image.windows(2).enumerate().filter(|(_, w)| **w == syscall);
    ends.map(|(at, _)| (at + 2) as u64).collect()
}

/// Where the blob goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Offset from the image's start; a multiple of 16.
    pub(super) at: usize,
    /// The unwind table goes with it.
    pub(super) unwind: bool,
    /// It lies over the section headers.
    pub(super) drops_sections: bool,
}

impl Room {
    /// Finds room: behind everything; else over what is not needed at run time (section headers,
    /// names, the list of alternative instructions that the kernel has applied already); at last without
    /// the unwind table.
    fn find(elf: Elf<'_>) -> Result<Self, ImageError> {
        let least = blob::assembled().0.len();
        let full = least + UnwindTable::read(elf).map_or(0, |u| u.grown_len());
        let whole_end = elf.load_end()?.max(elf.sections_end()?);
        let needed_end = elf.needed_end().unwrap_or(whole_end).min(whole_end);
        let tries = [
            (whole_end, full, false),
            (needed_end, full, true),
            (needed_end, least, true),
        ];
        for (end, need, drops_sections) in tries {
            let at = end.next_multiple_of(16);
            // In whole words, as it is written.
            if at.saturating_add(need.next_multiple_of(8)) <= elf.0.len() {
                return Ok(Self {
                    at,
                    unwind: need == full,
                    drops_sections: drops_sections && end < whole_end,
                });
            }
        }
        let free = elf.0.len().saturating_sub(needed_end);
        Err(ImageError::NoRoom { free, need: least })
    }
}
