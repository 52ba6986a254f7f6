//! One small member of a zip archive, read without trusting a number in it.

use std::io::{Read as _, SeekFrom};

use crate::plan::facts::Readable;

/// A comment may follow the end record: at most so long.
const TAIL: u64 = 22 + 0xffff;
/// A larger directory is none of a package's.
const LARGEST_DIRECTORY: u64 = 16 << 20;
/// A larger member is no metadata.
const LARGEST_MEMBER: usize = 64 << 10;

/// The first member whose name is wanted, and its content.
pub(super) fn member(
    file: &mut dyn Readable,
    wanted: impl Fn(&str) -> bool,
) -> Option<(String, Vec<u8>)> {
    let size = file.seek(SeekFrom::End(0)).ok()?;
    let tail = read(file, size.saturating_sub(TAIL), size.min(TAIL))?;
    let end = tail
        .windows(4)
        .rposition(|w| w == b"PK\x05\x06")
        .and_then(|at| tail.get(at..at + 22))?;
    let (length, offset) = (number(end, 12, 4)?, number(end, 16, 4)?);
    if length > LARGEST_DIRECTORY || offset.checked_add(length)? > size {
        return None;
    }
    let directory = read(file, offset, length)?;
    let mut rest = directory.as_slice();
    while rest.starts_with(b"PK\x01\x02") {
        let [name, extra, comment] = [28, 30, 32].map(|at| number(rest, at, 2).map(usize_of));
        let (name, extra, comment) = (name?, extra?, comment?);
        let text = std::str::from_utf8(rest.get(46..46 + name)?);
        if let Ok(text) = text
            && wanted(text)
        {
            let member = Member {
                method: number(rest, 10, 2)?,
                packed: number(rest, 20, 4)?,
                header: number(rest, 42, 4)?,
            };
            return Some((text.to_owned(), member.read(file)?));
        }
        rest = rest.get(46 + name + extra + comment..)?;
    }
    None
}

struct Member {
    method: u64,
    packed: u64,
    header: u64,
}

impl Member {
    fn read(&self, file: &mut dyn Readable) -> Option<Vec<u8>> {
        let header = read(file, self.header, 30)?;
        if !header.starts_with(b"PK\x03\x04") || usize_of(self.packed) > LARGEST_MEMBER {
            return None;
        }
        let content = self.header + 30 + number(&header, 26, 2)? + number(&header, 28, 2)?;
        let packed = read(file, content, self.packed)?;
        match self.method {
            0 => Some(packed),
            8 => miniz_oxide::inflate::decompress_to_vec_with_limit(&packed, LARGEST_MEMBER).ok(),
            _ => None,
        }
    }
}

fn read(file: &mut dyn Readable, at: u64, length: u64) -> Option<Vec<u8>> {
    file.seek(SeekFrom::Start(at)).ok()?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 == length).then_some(bytes)
}

/// A little-endian number of `width` bytes.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + width)?;
    Some(bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

fn usize_of(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    /// A zip archive with these members, every other one deflated.
    pub(in crate::plan::caches) fn archive(members: &[(&str, &str)]) -> Vec<u8> {
        let le = |n: usize, width: usize| n.to_le_bytes()[..width].to_vec();
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (i, (name, content)) in members.iter().enumerate() {
            let deflate = i % 2 == 1;
            let packed = if deflate {
                miniz_oxide::deflate::compress_to_vec(content.as_bytes(), 6)
            } else {
                content.as_bytes().to_vec()
            };
            let method = if deflate { 8 } else { 0 };
            let common = [
                le(20, 2),
                le(0, 2),
                le(method, 2),
                le(0, 8),
                le(packed.len(), 4),
                le(content.len(), 4),
                le(name.len(), 2),
                le(0, 2),
            ]
            .concat();
            let at = out.len();
            out.extend(
                [
                    b"PK\x03\x04".to_vec(),
                    common.clone(),
                    name.as_bytes().to_vec(),
                    packed,
                ]
                .concat(),
            );
            directory.extend(
                [
                    b"PK\x01\x02".to_vec(),
                    le(20, 2),
                    common,
                    le(0, 6),
                    le(0, 4),
                    le(at, 4),
                    name.as_bytes().to_vec(),
                ]
                .concat(),
            );
        }
        let (at, count) = (out.len(), members.len());
        out.extend(&directory);
        out.extend(
            [
                b"PK\x05\x06".to_vec(),
                le(0, 4),
                le(count, 2),
                le(count, 2),
                le(directory.len(), 4),
                le(at, 4),
                le(0, 2),
            ]
            .concat(),
        );
        out
    }

    #[test]
    fn stored_and_deflated_members_are_read() {
        let zip = archive(&[("a", "stored"), ("b", "deflated deflated deflated")]);
        let get = |name: &str| member(&mut Cursor::new(&zip), |n| n == name).map(|(_, c)| c);
        assert_eq!(get("a").as_deref(), Some(&b"stored"[..]));
        assert_eq!(
            get("b").as_deref(),
            Some(&b"deflated deflated deflated"[..])
        );
        assert_eq!(get("c"), None);
    }

    proptest! {
        #[test]
        fn a_broken_archive_is_none(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
            let mut zip = archive(&[("a", "stored"), ("b", "deflated deflated")]);
            for (at, byte) in flips {
                let at = at.index(zip.len());
                zip[at] = byte;
            }
            zip.truncate(cut.index(zip.len()) + 1);
            let _ = member(&mut Cursor::new(&zip), |_| true);
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes: Vec<u8>) {
            bytes.extend(b"PK\x05\x06");
            bytes.extend([0xff; 18]);
            let _ = member(&mut Cursor::new(&bytes), |_| true);
        }
    }
}
