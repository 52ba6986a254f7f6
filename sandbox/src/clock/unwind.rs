//! The unwind table of a vDSO, grown by the blob's records.
//!
//! Without it an unwinder (of C++ exceptions, of a cancelled thread, of a profiler) that meets a
//! thread in the blob would take it for the end of the stack.

use super::elf::{Elf, ImageError, ImageError::Malformed, PT_GNU_EH_FRAME, fill};

/// Records of the blob: its hooks, its stub, its status stub.
const OURS: usize = 3;

/// More entries than any vDSO has.
const MAX_ENTRIES: usize = 4096;

/// The binary search table over the image's unwind records (`.eh_frame_hdr`).
pub(super) struct UnwindTable {
    /// Where its program header lies.
    header_at: usize,
    /// Where the records start.
    records: usize,
    /// Function start and record, both from the image's start, ascending.
    entries: Vec<(usize, usize)>,
}

impl UnwindTable {
    /// Reads the table, if it has the one form that linkers make.
    pub(super) fn read(elf: Elf<'_>) -> Option<Self> {
        let [header_at] = elf.program_headers(PT_GNU_EH_FRAME).ok()?[..] else {
            return None;
        };
        let at = elf.offset(header_at + 16).ok()?;
        if elf.bytes(at).ok()? != [1, 0x1b, 0x03, 0x3b] {
            return None;
        }
        let records = elf.relative(at.checked_add(4)?, at.checked_add(4)?).ok()?;
        let count = elf.u32(at.checked_add(8)?).ok()? as usize;
        if count > MAX_ENTRIES {
            return None;
        }
        let mut entries = Vec::with_capacity(count);
        for n in 0..count {
            let entry = at.checked_add(12 + 8 * n)?;
            let function = elf.relative(entry, at).ok()?;
            entries.push((function, elf.relative(entry + 4, at).ok()?));
        }
        entries.is_sorted().then_some(Self {
            header_at,
            records,
            entries,
        })
    }

    /// What the table would take up with our entries.
    pub(super) fn grown_len(&self) -> usize {
        12 + 8 * (self.entries.len() + OURS)
    }

    /// Makes the table with our entries for a place in the image, and lets the program header in
    /// `new` point to it.
    pub(super) fn moved(
        &self,
        new: &mut [u8],
        at: usize,
        ours: &[(usize, usize); OURS],
    ) -> Result<Vec<u8>, ImageError> {
        let table = self.grown(at, ours)?;
        let fields = [at, at, at, table.len(), table.len()]; // offset, two addresses, two sizes
        for (n, value) in fields.into_iter().enumerate() {
            let field = self.header_at + 8 + 8 * n;
            fill(new, field, &(value as u64).to_le_bytes())?;
        }
        Ok(table)
    }

    /// The table with our entries, which lie behind all others, for a place in the image.
    fn grown(&self, at: usize, ours: &[(usize, usize)]) -> Result<Vec<u8>, ImageError> {
        let distance = |from: usize, to: usize| -> Result<[u8; 4], ImageError> {
            let distance = (to as u64).wrapping_sub(from as u64).cast_signed();
            let distance = i32::try_from(distance).map_err(|_| Malformed("an unwind entry"))?;
            Ok(distance.to_le_bytes())
        };
        let count = self.entries.len() + ours.len();
        let count = u32::try_from(count).map_err(|_| Malformed("the unwind table"))?;
        let mut table = vec![1, 0x1b, 0x03, 0x3b];
        table.extend(distance(at + 4, self.records)?);
        table.extend(count.to_le_bytes());
        for &(function, record) in self.entries.iter().chain(ours) {
            table.extend(distance(at, function)?);
            table.extend(distance(at, record)?);
        }
        Ok(table)
    }
}
