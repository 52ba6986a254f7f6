//! The bytes of a head, one by one: where it ends, and the first byte that does not belong.
//!
//! It goes from left to right and looks at no byte twice, so that what it says of a beginning stays
//! true however the rest arrives.

use super::{BadHead, Fault, MOST_HEADERS};

/// What a first line is held to as soon as it is complete.
pub(super) type FirstLine = fn(&[u8]) -> Result<(), BadHead>;

/// A head's bounds in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Where the first line ends, without its line end.
    pub(super) first: usize,
    /// Where the head ends, with the empty line.
    pub(super) end: usize,
}

/// Finds a head; `None`: it is not complete yet, and nothing is wrong so far.
pub(super) fn scan(
    bytes: &[u8],
    limit: usize,
    check: FirstLine,
) -> Result<Option<Bounds>, BadHead> {
    let Some(first) = line(bytes, 0, limit)? else {
        return Ok(None);
    };
    check(&bytes[..first])?;
    let mut at = first + 2;
    for _ in 0..=MOST_HEADERS {
        let Some(end) = line(bytes, at, limit)? else {
            // A line is complete when its first byte can be judged: a fold shows there.
            return Ok(None);
        };
        if end == at {
            return Ok(Some(Bounds {
                first,
                end: end + 2,
            }));
        }
        name(bytes, at, end)?;
        at = end + 2;
    }
    Err(BadHead::new(Fault::TooMany, at))
}

/// The end of the line that begins at `from`, its CR LF excluded.
fn line(bytes: &[u8], from: usize, limit: usize) -> Result<Option<usize>, BadHead> {
    for at in from..bytes.len() {
        if at >= limit {
            return Err(BadHead::new(Fault::TooLong, at));
        }
        match bytes[at] {
            b'\n' => return Err(BadHead::new(Fault::BareLf, at)),
            b'\r' => match bytes.get(at + 1) {
                None => return Ok(None),
                Some(b'\n') if at + 1 < limit => return Ok(Some(at)),
                Some(b'\n') => return Err(BadHead::new(Fault::TooLong, at + 1)),
                Some(_) => return Err(BadHead::new(Fault::BareCr, at)),
            },
            b'\t' if at > 0 => {}
            0..=31 | 127 => return Err(BadHead::new(Fault::Control, at)),
            _ => {}
        }
    }
    Ok(None)
}

/// Holds a header line's name to its form.
fn name(bytes: &[u8], from: usize, end: usize) -> Result<(), BadHead> {
    if matches!(bytes[from], b' ' | b'\t') {
        return Err(BadHead::new(Fault::Folded, from));
    }
    for (at, byte) in bytes.iter().enumerate().take(end).skip(from) {
        match byte {
            b':' if at > from => return Ok(()),
            b' ' | b'\t' => return Err(BadHead::new(Fault::SpaceBeforeColon, at)),
            byte if token(*byte) => {}
            _ => return Err(BadHead::new(Fault::HeaderName, at)),
        }
    }
    Err(BadHead::new(Fault::HeaderName, end))
}

/// Whether a byte may stand in a token.
pub(super) fn token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
