//! What a file is by its first bytes, as far as it has fields for times.
//!
//! A number in such a field needs no odds: the format says that it is a time.

use std::ops::Range;

use super::binary::{dos, le, signed};
use super::parts::{decimal, octal};

/// Formats with fields for times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Gzip,
    Tar,
    Ar,
    Zip,
    Pyc,
    /// With the offset of its stamp.
    Pe(u64),
    Pdf,
    Other,
}

/// How a field holds a time.
type Decode = fn(&[u8]) -> Option<i64>;

/// A field for a time.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Where in the text it stands.
    pub(super) at: Range<usize>,
    pub(super) form: &'static str,
    pub(super) decode: Decode,
}

impl Format {
    /// What both files are; the same, or neither of these.
    pub(super) fn of(a: &[u8], b: &[u8]) -> Self {
        let (x, y) = (Self::one(a), Self::one(b));
        if x == y { x } else { Self::Other }
    }

    fn one(head: &[u8]) -> Self {
        let at = |from: usize, magic: &[u8]| head.get(from..).is_some_and(|h| h.starts_with(magic));
        let pe = || {
            let lfanew = le(head.get(0x3c..0x40)?);
            let header = usize::try_from(lfanew).ok()?;
            at(header, b"PE\0\0").then_some(lfanew + 8)
        };
        if at(0, b"\x1f\x8b\x08") {
            Self::Gzip
        } else if at(257, b"ustar") {
            Self::Tar
        } else if at(0, b"!<arch>\n") {
            Self::Ar
        } else if at(0, b"PK\x03\x04") {
            Self::Zip
        } else if at(2, b"\r\n") && at(4, b"\0\0\0\0") {
            // Flags of 0: the source's time follows, not its digest.
            Self::Pyc
        } else if at(0, b"MZ") {
            pe().map_or(Self::Other, Self::Pe)
        } else if at(0, b"%PDF-") {
            Self::Pdf
        } else {
            Self::Other
        }
    }

    /// The slug for a time in one of its fields.
    pub(super) fn slug(self) -> &'static str {
        match self {
            Self::Gzip => "timestamps_in_gzip_headers",
            Self::Tar => "timestamps_in_tarball",
            Self::Ar => "timestamps_in_static_libraries",
            Self::Zip => "timestamps_in_zip",
            Self::Pyc => "timestamps_in_pyc",
            Self::Pe(_) => "timestamps_in_pe_binaries",
            Self::Pdf => "timestamps_in_pdf",
            Self::Other => "clock",
        }
    }

    /// The field that holds the byte `at` of a text that begins at `offset` of the file.
    pub(super) fn field(self, text: &[u8], offset: u64, at: usize) -> Option<Field> {
        let in_file = offset + at as u64;
        let fixed = |from: u64, len: usize| {
            let inside = (from..from + len as u64).contains(&in_file);
            let start = usize::try_from(from.checked_sub(offset)?).ok()?;
            inside.then_some(start..start + len)
        };
        let field = |at: Option<Range<usize>>, form: &'static str, decode: Decode| {
            at.map(|at| Field { at, form, decode })
        };
        let word: Decode = |b| signed(le(b));
        match self {
            Self::Gzip => field(fixed(4, 4), "the time in a gzip header", word),
            Self::Pyc => field(fixed(8, 4), "the source's time in a .pyc header", word),
            Self::Pe(stamp) => field(fixed(stamp, 4), "the time in a PE header", word),
            Self::Tar => {
                let block = in_file - in_file % 512;
                let at = fixed(block + 136, 12).filter(|at| tar_name_and_modes(text, at.start));
                field(at, "a member's time in a tar header", |b| octal(trimmed(b)))
            }
            Self::Ar => {
                let at = around(at, 12, |start| {
                    text.get(start + 42..start + 44) == Some(b"`\n")
                });
                field(at, "a member's time in an ar header", |b| {
                    signed(decimal(trimmed(b))?)
                })
            }
            Self::Zip => zip(text, at),
            Self::Pdf | Self::Other => None,
        }
    }

    /// Bytes of a text that follow from a time beside them: a tar header's checksum.
    pub(super) fn derived(self, offset: u64, len: usize) -> Vec<Range<usize>> {
        if self != Self::Tar {
            return Vec::new();
        }
        let blocks = (offset / 512)..=((offset + len as u64) / 512);
        let at = |block: u64| {
            let from = (block * 512 + 148).checked_sub(offset)?;
            let from = usize::try_from(from).ok()?;
            Some(from..from + 8)
        };
        blocks.filter_map(at).collect()
    }
}

/// Whether what precedes the time in a tar header is what has to be there: four numbers.
fn tar_name_and_modes(text: &[u8], time: usize) -> bool {
    let before = time.checked_sub(36).and_then(|from| text.get(from..time));
    before.is_some_and(|b| b.iter().all(|b| matches!(b, b'0'..=b'7' | b' ' | 0)))
}

/// Digits without what pads them.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let pad = |b: &u8| matches!(b, b' ' | 0);
    let from = bytes.iter().position(|b| !pad(b)).unwrap_or(bytes.len());
    let to = bytes.iter().rposition(|b| !pad(b)).map_or(from, |i| i + 1);
    &bytes[from..to]
}

/// A field of `len` bytes that holds `at` and begins where `begins` says.
fn around(at: usize, len: usize, begins: impl Fn(usize) -> bool) -> Option<Range<usize>> {
    let first = at.saturating_sub(len - 1);
    let start = (first..=at).find(|start| begins(*start))?;
    Some(start..start + len)
}

fn zip(text: &[u8], at: usize) -> Option<Field> {
    let before = |start: usize, back: usize, magic: &[u8]| {
        let from = start.checked_sub(back);
        from.and_then(|f| text.get(f..))
            .is_some_and(|t| t.starts_with(magic))
    };
    let header = around(at, 4, |start| {
        before(start, 10, b"PK\x03\x04") || before(start, 12, b"PK\x01\x02")
    });
    if let Some(at) = header {
        let form = "a member's DOS time in a zip header";
        return Some(Field {
            at,
            form,
            decode: dos,
        });
    }
    // The extended timestamp: a mark, two bytes of length, flags, then seconds.
    let extended = around(at, 4, |start| before(start, 5, b"UT"));
    extended.map(|at| Field {
        at,
        form: "a member's extended time in a zip header",
        decode: |b| signed(le(b)),
    })
}
