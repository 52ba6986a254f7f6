//! Bounded reads from a vDSO image: an ELF image of one segment whose addresses are its offsets.
//!
//! Knows the format and nothing of what is to be changed.

pub(super) const PAGE: usize = 4096;
const PROGRAM_HEADER: usize = 56;
const SECTION_HEADER: usize = 64;
pub(super) const SYMBOL: usize = 24;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
pub(super) const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
pub(super) const DT_HASH: u64 = 4;
pub(super) const DT_STRTAB: u64 = 5;
pub(super) const DT_SYMTAB: u64 = 6;
const SHT_DYNSYM: u32 = 11;
const SHF_ALLOC: u64 = 2;

/// A vDSO that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ImageError {
    /// Not a 64-bit little-endian ELF image as the kernel makes it.
    #[error("the vDSO can't be read: {0}")]
    Malformed(&'static str),
    /// It has no function to stand in for.
    #[error("the vDSO has no clock_gettime")]
    NoSymbols,
    /// The blob does not fit.
    #[error("the vDSO has {free} bytes of room and {need} are needed")]
    NoRoom {
        /// Bytes behind the part that is needed.
        free: usize,
        /// Bytes of the blob.
        need: usize,
    },
}

use ImageError::Malformed;

/// Bounded reads from an ELF image whose addresses are its offsets.
#[derive(Clone, Copy)]
pub(super) struct Elf<'a>(pub(super) &'a [u8]);

impl Elf<'_> {
    pub(super) fn bytes<const N: usize>(&self, at: usize) -> Result<[u8; N], ImageError> {
        let end = at.checked_add(N).ok_or(Malformed("an offset"))?;
        let bytes = self.0.get(at..end).ok_or(Malformed("it is cut short"))?;
        bytes.try_into().map_err(|_| Malformed("it is cut short"))
    }
    pub(super) fn u16(&self, at: usize) -> Result<u16, ImageError> {
        self.bytes(at).map(u16::from_le_bytes)
    }
    pub(super) fn u32(&self, at: usize) -> Result<u32, ImageError> {
        self.bytes(at).map(u32::from_le_bytes)
    }
    pub(super) fn u64(&self, at: usize) -> Result<u64, ImageError> {
        self.bytes(at).map(u64::from_le_bytes)
    }
    /// A u64 that is an offset.
    pub(super) fn offset(&self, at: usize) -> Result<usize, ImageError> {
        usize::try_from(self.u64(at)?).map_err(|_| Malformed("an offset"))
    }
    /// A signed distance, added to `from`.
    pub(super) fn relative(&self, at: usize, from: usize) -> Result<usize, ImageError> {
        let distance = self.bytes(at).map(i32::from_le_bytes)? as isize;
        from.checked_add_signed(distance)
            .ok_or(Malformed("an unwind entry"))
    }
    pub(super) fn string(&self, at: usize) -> Option<&[u8]> {
        let rest = self.0.get(at..)?;
        Some(&rest[..rest.iter().position(|&b| b == 0)?])
    }

    pub(super) fn check(&self) -> Result<(), ImageError> {
        let ident: [u8; 6] = self.bytes(0)?;
        if ident != *b"\x7fELF\x02\x01" {
            return Err(Malformed("not a 64-bit ELF image"));
        }
        Ok(())
    }

    /// Offsets of the program headers of a type.
    pub(super) fn program_headers(&self, kind: u32) -> Result<Vec<usize>, ImageError> {
        let (start, count) = (self.offset(0x20)?, self.u16(0x38)?);
        let mut found = Vec::new();
        for n in 0..usize::from(count) {
            let at = start.saturating_add(n * PROGRAM_HEADER);
            if self.u32(at)? == kind {
                found.push(at);
            }
        }
        Ok(found)
    }

    pub(super) fn load(&self) -> Result<usize, ImageError> {
        match self.program_headers(PT_LOAD)?[..] {
            [at] if self.u64(at + 8)? == 0 && self.u64(at + 16)? == 0 => Ok(at),
            _ => Err(Malformed("not one segment from its start")),
        }
    }
    pub(super) fn load_end(&self) -> Result<usize, ImageError> {
        self.offset(self.load()? + 40)
    }
    pub(super) fn dynamic(&self) -> Result<(usize, usize), ImageError> {
        match self.program_headers(PT_DYNAMIC)?[..] {
            [at] => Ok((self.offset(at + 8)?, self.offset(at + 40)?)),
            _ => Err(Malformed("no dynamic segment")),
        }
    }
    pub(super) fn sections_end(&self) -> Result<usize, ImageError> {
        let count = usize::from(self.u16(0x3c)?);
        let end = self.offset(0x28)?.checked_add(count * SECTION_HEADER);
        end.ok_or(Malformed("its section headers"))
    }
    pub(super) fn section_headers(
        &self,
    ) -> Result<impl Iterator<Item = usize> + use<>, ImageError> {
        let (start, count) = (self.offset(0x28)?, usize::from(self.u16(0x3c)?));
        Ok((0..count).map(move |n| start.saturating_add(n * SECTION_HEADER)))
    }

    pub(super) fn symbol_count(
        &self,
        symtab: usize,
        strtab: usize,
        hash: Option<usize>,
    ) -> Result<usize, ImageError> {
        if let Some(hash) = hash {
            return Ok(self.u32(hash.saturating_add(4))? as usize);
        }
        for section in self.section_headers()? {
            if self.u32(section.saturating_add(4))? == SHT_DYNSYM {
                return Ok(self.offset(section.saturating_add(32))? / SYMBOL);
            }
        }
        // Without either: the string table follows the symbols, as every linker lays them out.
        match strtab.checked_sub(symtab) {
            Some(len) => Ok(len / SYMBOL),
            None => Err(Malformed("the number of its symbols")),
        }
    }

    /// The end of the last section that a running program needs.
    pub(super) fn needed_end(&self) -> Result<usize, ImageError> {
        let names = self
            .offset(0x28)?
            .saturating_add(usize::from(self.u16(0x3e)?) * SECTION_HEADER);
        let names = self.offset(names.saturating_add(24))?;
        let mut end = None;
        for section in self.section_headers()? {
            let name = names.saturating_add(self.u32(section)? as usize);
            let name = self.string(name).ok_or(Malformed("a section's name"))?;
            let flags = self.u64(section.saturating_add(8))?;
            if flags & SHF_ALLOC != 0 && !name.starts_with(b".altinstr") {
                let start = self.offset(section.saturating_add(24))?;
                let stop = start.saturating_add(self.offset(section.saturating_add(32))?);
                end = end.max(Some(stop));
            }
        }
        end.filter(|&e| e <= self.0.len())
            .ok_or(Malformed("its sections"))
    }

    /// Lets the one segment of `new`, a copy of this image, reach to `end`, so that unwinders find
    /// what lies there.
    pub(super) fn cover(self, new: &mut [u8], end: usize) -> Result<(), ImageError> {
        let load = self.load()?;
        fill(new, load + 32, &(end as u64).to_le_bytes())?;
        fill(new, load + 40, &(end as u64).to_le_bytes())
    }
}

/// Says in an image that it has no section headers.
pub(super) fn drop_sections(new: &mut [u8]) -> Result<(), ImageError> {
    fill(new, 0x28, &[0; 8])?; // e_shoff
    fill(new, 0x3c, &[0; 4]) // e_shnum, e_shstrndx
}

/// Puts bytes at an offset.
pub(super) fn fill(bytes: &mut [u8], at: usize, with: &[u8]) -> Result<(), ImageError> {
    let end = at.checked_add(with.len()).ok_or(Malformed("an offset"))?;
    let place = bytes.get_mut(at..end).ok_or(Malformed("an offset"))?;
    place.copy_from_slice(with);
    Ok(())
}
