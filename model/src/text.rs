//! Bytes from the operating system as readable, reversible text.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path, argument or name as the kernel gives it: any bytes but NUL.
///
/// In documents it is a string: valid UTF-8 without control characters stands as it is; a
/// backslash is `\\`, every other byte is `\xNN`. Bidirectional controls are escaped too, so a
/// name can't reorder a report. The form is reversible.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OsText(Vec<u8>);

/// A document held a string that is no escaped byte string.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an escaped byte string")]
pub struct TextError(String);

impl OsText {
    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
    /// The bytes as the standard library's type.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
    /// The bytes as a path.
    pub fn as_path(&self) -> &std::path::Path {
        self.as_os_str().as_ref()
    }
    /// Reads the escaped form back.
    pub fn parse(s: &str) -> Result<Self, TextError> {
        let mut out = Vec::with_capacity(s.len());
        let mut rest = s.as_bytes();
        while let Some((&b, tail)) = rest.split_first() {
            rest = tail;
            if b != b'\\' {
                out.push(b);
                continue;
            }
            let err = || TextError(s.to_owned());
            match rest {
                [b'\\', t @ ..] => {
                    out.push(b'\\');
                    rest = t;
                }
                // A sign before a digit would be read as a number too.
                [b'x', h, l, t @ ..] if h.is_ascii_hexdigit() && l.is_ascii_hexdigit() => {
                    let hex = [*h, *l];
                    let hex = std::str::from_utf8(&hex).map_err(|_| err())?;
                    out.push(u8::from_str_radix(hex, 16).map_err(|_| err())?);
                    rest = t;
                }
                _ => return Err(err()),
            }
        }
        Ok(Self(out))
    }
}

fn plain(c: char) -> bool {
    let bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    !c.is_control() && !bidi && c != '\\' && c != '\u{2028}' && c != '\u{2029}'
}

impl fmt::Display for OsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            let valid = chunk.valid();
            // Nearly all there is, and one call instead of one for each character.
            let odd = valid.find(|c| !plain(c)).unwrap_or(valid.len());
            f.write_str(&valid[..odd])?;
            for c in valid[odd..].chars() {
                if plain(c) {
                    write!(f, "{c}")?;
                } else if c == '\\' {
                    f.write_str("\\\\")?;
                } else {
                    let mut buf = [0; 4];
                    for b in c.encode_utf8(&mut buf).bytes() {
                        write!(f, "\\x{b:02x}")?;
                    }
                }
            }
            for b in chunk.invalid() {
                write!(f, "\\x{b:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for OsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Serialize for OsText {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OsText {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = String::deserialize(d)?;
        if !s.contains('\\') {
            return Ok(Self(s.into_bytes()));
        }
        Self::parse(&s).map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for OsText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OsText".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "bytes: UTF-8 as it is, a backslash as \\\\, other bytes and controls as \\xNN",
        })
    }
}

macro_rules! from {
    ($($t:ty => $f:expr;)*) => { $(impl From<$t> for OsText { fn from(v: $t) -> Self { Self($f(v)) } })* };
}
from! {
    &str => |v: &str| v.as_bytes().to_vec();
    String => String::into_bytes;
    &[u8] => <[u8]>::to_vec;
    Vec<u8> => std::convert::identity;
    &OsStr => |v: &OsStr| v.as_bytes().to_vec();
    OsString => OsString::into_vec;
    &std::path::Path => |v: &std::path::Path| v.as_os_str().as_bytes().to_vec();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn controls_and_bad_utf8_are_escaped() {
        let t = OsText::from(&b"a\nb\xff\\\xe2\x80\xaec"[..]);
        assert_eq!(t.to_string(), "a\\x0ab\\xff\\\\\\xe2\\x80\\xaec");
    }

    #[test]
    fn an_escape_is_two_hex_digits() {
        for bad in ["\\x+1", "\\x-1", "\\x 1", "\\x1", "\\xg0", "\\"] {
            assert!(OsText::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(OsText::parse("\\x0A").unwrap().as_bytes(), b"\n");
    }

    proptest! {
        #[test]
        fn round_trip(bytes: Vec<u8>) {
            let t = OsText::from(bytes);
            prop_assert_eq!(OsText::parse(&t.to_string()).unwrap(), t);
        }
    }
}
