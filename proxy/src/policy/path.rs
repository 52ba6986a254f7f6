//! Paths: one canonical form, and globs over it.

use std::fmt::Write as _;

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It does not begin with a slash.
    #[error("the path does not begin with a slash")]
    NoSlash,
    /// `%` without two hexadecimal digits.
    #[error("a percent sign in the path is not followed by two hexadecimal digits")]
    Percent,
    /// An encoded slash, backslash, NUL or control byte, or an encoded percent sign before what would
    /// be an encoding itself.
    #[error("the path hides a character that changes its meaning")]
    Hidden,
    /// A character that has to be encoded.
    #[error("the path has a character that no path has")]
    Character,
    /// `..` beyond the root.
    #[error("the path climbs above the root")]
    Above,
}

/// The path as policy sees it and as it is sent on: unreserved characters decoded, other encodings in
/// upper case, dot segments resolved. Empty segments and `;` parameters stay, since servers differ
/// about them and a glob sees them as they are.
pub fn canonical_path(path: &str) -> Result<String, BadPath> {
    let decoded = decode(path)?;
    let rest = decoded.strip_prefix('/').ok_or(BadPath::NoSlash)?;
    let mut kept: Vec<&str> = Vec::new();
    let mut folder = false;
    for segment in rest.split('/') {
        // `..;x` climbs before some servers; nobody means it.
        let bare = segment.split(';').next().unwrap_or_default();
        folder = matches!(bare, "." | "..");
        match bare {
            ".." if bare.len() < segment.len() => return Err(BadPath::Hidden),
            "." if bare.len() < segment.len() => return Err(BadPath::Hidden),
            "." => {}
            ".." => {
                kept.pop().ok_or(BadPath::Above)?;
            }
            _ => kept.push(segment),
        }
    }
    if folder {
        kept.push("");
    }
    Ok(format!("/{}", kept.join("/")))
}

fn decode(path: &str) -> Result<String, BadPath> {
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte != b'%' {
            if !is_path_byte(byte) {
                return Err(BadPath::Character);
            }
            out.push(char::from(byte));
            continue;
        }
        let code = hex(bytes, at).ok_or(BadPath::Percent)?;
        at += 2;
        match code {
            b'/' | b'\\' | 0..=0x1f | 0x7f => return Err(BadPath::Hidden),
            b'%' if hex(bytes, at).is_some() => return Err(BadPath::Hidden),
            _ if is_unreserved(code) => out.push(char::from(code)),
            _ => {
                let _ = write!(out, "%{code:02X}");
            }
        }
    }
    Ok(out)
}

fn hex(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |n: usize| char::from(*bytes.get(n)?).to_digit(16);
    u8::try_from(digit(at)? * 16 + digit(at + 1)?).ok()
}

/// RFC 3986, 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986, 3.3.
fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@/".contains(&byte)
}

/// A glob over canonical paths: `*` stands for anything within a segment, `**` for anything at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Segment,
    All,
}

impl Glob {
    /// Reads one; nothing where it is no canonical path with stars in it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // A star is an ordinary character of a path, so that the whole has a canonical form.
        if canonical_path(text).ok()? != text || text.contains("***") {
            return None;
        }
        let mut pieces = Vec::new();
        for (n, part) in text.split("**").enumerate() {
            if n > 0 {
                pieces.push(Piece::All);
            }
            for (n, literal) in part.split('*').enumerate() {
                if n > 0 {
                    pieces.push(Piece::Segment);
                }
                if !literal.is_empty() {
                    pieces.push(Piece::Text(literal.into()));
                }
            }
        }
        Some(Self(pieces))
    }

    /// Whether it matches the whole path. Takes the product of both lengths at most.
    pub(super) fn matches(&self, path: &str) -> bool {
        // Which places of the path can be reached with the pieces so far.
        let bytes = path.as_bytes();
        let mut reached = vec![false; bytes.len() + 1];
        reached[0] = true;
        for piece in &self.0 {
            let mut next = vec![false; bytes.len() + 1];
            match piece {
                Piece::Text(text) => {
                    for at in 0..=bytes.len() {
                        if reached[at] && bytes[at..].starts_with(text.as_bytes()) {
                            next[at + text.len()] = true;
                        }
                    }
                }
                Piece::Segment | Piece::All => {
                    let mut open = false;
                    for at in 0..=bytes.len() {
                        open |= reached[at];
                        next[at] = open;
                        let slash = bytes.get(at) == Some(&b'/');
                        open &= *piece == Piece::All || !slash;
                    }
                }
            }
            reached = next;
        }
        reached[bytes.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn canonical_paths() {
        for (path, canonical) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/%61%2D%7e", "/a-~"),
            ("/%c3%a9", "/%C3%A9"),
            ("/a%20b", "/a%20b"),
            ("/a%25", "/a%25"),
            ("/ok/%2e%2e/b", "/b"),
            ("//a//", "//a//"),
            ("/a;v=1/b", "/a;v=1/b"),
            ("/@scope%3Fx", "/@scope%3Fx"),
        ] {
            assert_eq!(canonical_path(path).as_deref(), Ok(canonical), "{path}");
        }
    }

    #[test]
    fn paths_that_hide_something() {
        use BadPath::{Above, Character, Hidden, NoSlash, Percent};
        for (path, why) in [
            ("", NoSlash),
            ("a", NoSlash),
            ("/..", Above),
            ("/a/../..", Above),
            ("/a%2fb", Hidden),
            ("/a%5Cb", Hidden),
            ("/a%00", Hidden),
            ("/a%0d%0a", Hidden),
            ("/%252e%252e/", Hidden),
            ("/a/..;x/b", Hidden),
            ("/a/.;/b", Hidden),
            ("/a%", Percent),
            ("/a%4", Percent),
            ("/a%zz", Percent),
            ("/a b", Character),
            ("/a\\b", Character),
            ("/a#b", Character),
            ("/a?b", Character),
            ("/\u{e9}", Character),
            ("/a\"", Character),
        ] {
            assert_eq!(canonical_path(path), Err(why), "{path}");
        }
    }

    #[test]
    fn globs() {
        let matches = |glob: &str, path: &str| Glob::parse(glob).unwrap().matches(path);
        assert!(matches("/a", "/a"));
        assert!(!matches("/a", "/a/"));
        assert!(matches("/a/*", "/a/b"));
        assert!(matches("/a/*", "/a/"));
        assert!(!matches("/a/*", "/a/b/c"));
        assert!(matches("/a/**", "/a/b/c"));
        assert!(!matches("/a/**", "/a"));
        assert!(!matches("/a/**", "/ab"));
        assert!(matches("/*/info/*", "/x/info/refs"));
        assert!(matches("/**/refs", "/x/y/refs"));
        assert!(matches("/**.tgz", "/x/y.tgz"));
        assert!(matches("/x*y", "/xaay"));
        assert!(!matches("/x*y", "/xa/ay"));
        for text in ["", "a", "/../a", "/a/./b", "/%61", "/a b", "/***"] {
            assert_eq!(Glob::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn canonical_is_canonical(path in "/[a-z./%;0-9A-F*-]{0,40}") {
            if let Ok(canonical) = canonical_path(&path) {
                prop_assert_eq!(canonical_path(&canonical), Ok(canonical.clone()));
                let climbs = canonical.split('/').any(|s| matches!(s, "." | ".."));
                prop_assert!(!climbs, "{}", canonical);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(path in any::<String>(), glob in any::<String>()) {
            let _ = canonical_path(&path);
            if let Some(glob) = Glob::parse(&glob) {
                glob.matches(&path);
            }
        }
    }
}
