//! Paths: made canonical once, then matched, recorded and forwarded in that one form.
//!
//! Two servers can read one path as two places; what they could disagree on is refused:
//! double encodings, encoded NUL and control characters, encoded backslashes, dot segments that
//! appear only behind `;` or an encoded slash. An encoded slash alone is kept as `%2F` (package
//! registries use it in names), and no wildcard ever matches it: see [`super::glob`].

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PathError {
    /// It is longer than any honest one.
    #[error("the path is longer than 32 KiB")]
    TooLong,
    /// It does not begin with a slash.
    #[error("the path does not begin with a slash")]
    NoSlash,
    /// It begins with two.
    #[error("the path begins with two slashes, which some read as a host")]
    Host,
    /// A `?` or `#`.
    #[error("the path has a query or a fragment")]
    Query,
    /// A backslash, plain or encoded.
    #[error("the path has a backslash, which some read as a slash")]
    Backslash,
    /// A control character or NUL, plain or encoded.
    #[error("the path has a control character")]
    Control,
    /// A space, or what is not ASCII.
    #[error("the path has a character that must be percent-encoded")]
    Unencoded,
    /// `%` without two hexadecimal digits.
    #[error("the path has a percent sign without two hexadecimal digits")]
    Percent,
    /// `%252e`
    #[error("the path is percent-encoded twice")]
    Double,
    /// `..` above the root.
    #[error("the path leads above the root")]
    AboveRoot,
    /// `..;x`, `..%2F`
    #[error("the path hides a dot segment behind `;` or an encoded slash")]
    HiddenDots,
}

/// No path of an honest client is longer.
const LONGEST: usize = 32 * 1024;

/// What an origin-form target names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The canonical path.
    pub path: String,
    /// The query as it came, without the `?`.
    pub query: Option<String>,
}

impl Target {
    /// The bytes to forward.
    pub fn forward(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

/// Reads `/path` or `/path?query`. A query's meaning is the server's: it is held to visible ASCII
/// without `#` and backslash, and otherwise left as it is.
pub fn canonical_target(target: &str) -> Result<Target, PathError> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    if target.len() > LONGEST {
        return Err(PathError::TooLong);
    }
    for byte in query.unwrap_or_default().bytes() {
        match byte {
            0..=31 | 127 => return Err(PathError::Control),
            b'\\' => return Err(PathError::Backslash),
            b'#' => return Err(PathError::Query),
            b'!'..=b'~' => {}
            _ => return Err(PathError::Unencoded),
        }
    }
    Ok(Target {
        path: canonical_path(path)?,
        query: query.map(str::to_owned),
    })
}

/// The one spelling of a path: what needs no encoding is decoded, what needs it is encoded in upper
/// case, dot segments are resolved. Empty segments and `;` parameters stay.
pub fn canonical_path(path: &str) -> Result<String, PathError> {
    if path.len() > LONGEST {
        return Err(PathError::TooLong);
    }
    let Some(rest) = path.strip_prefix('/') else {
        return Err(PathError::NoSlash);
    };
    let text = decoded(rest)?;
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = text.split('/').peekable();
    while let Some(segment) = parts.next() {
        if hides_dots(segment) {
            return Err(PathError::HiddenDots);
        }
        let last = parts.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                segments.pop().ok_or(PathError::AboveRoot)?;
            }
            segment => {
                segments.push(segment);
                continue;
            }
        }
        if last {
            segments.push("");
        }
    }
    let path = format!("/{}", segments.join("/"));
    if path.starts_with("//") {
        return Err(PathError::Host);
    }
    Ok(path)
}

/// Percent-encoding in its one form.
fn decoded(text: &str) -> Result<String, PathError> {
    let mut out = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                let pair = digit().zip(digit()).ok_or(PathError::Percent)?;
                let byte = u8::try_from(pair.0 * 16 + pair.1).map_err(|_| PathError::Percent)?;
                encoded(byte, &mut out)?;
            }
            b'?' | b'#' => return Err(PathError::Query),
            b'\\' => return Err(PathError::Backslash),
            0..=31 | 127 => return Err(PathError::Control),
            b' ' | 128.. => return Err(PathError::Unencoded),
            b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                escape(byte, &mut out);
            }
            byte => out.push(char::from(byte)),
        }
    }
    // Also what was put together of `%25` and digits that needed no encoding.
    let twice = out.match_indices("%25").any(|(at, _)| {
        let digits = out.as_bytes().get(at + 3..at + 5);
        digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit))
    });
    if twice {
        Err(PathError::Double)
    } else {
        Ok(out)
    }
}

fn encoded(byte: u8, out: &mut String) -> Result<(), PathError> {
    match byte {
        b'\\' => return Err(PathError::Backslash),
        0..=31 | 127 => return Err(PathError::Control),
        b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
        byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
        byte => escape(byte, out),
    }
    Ok(())
}

fn escape(byte: u8, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

/// Whether a server that cuts `;` parameters off, or decodes slashes, finds a dot segment.
fn hides_dots(segment: &str) -> bool {
    let dots = |part: &str| matches!(part, "." | "..");
    !dots(segment)
        && segment.split("%2F").any(|part| {
            dots(part.split(';').next().unwrap_or_default())
                || dots(part.split("%3B").next().unwrap_or_default())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_spelling() {
        for (path, want) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/%61/%7Eb/%2d", "/a/~b/-"),
            ("/a/./b/../c", "/a/c"),
            ("/a/%2e%2E/c", "/c"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/a//b", "/a//b"),
            ("/a//../b", "/a/b"),
            ("/a;v=1/b;x", "/a;v=1/b;x"),
            ("/%c3%a4", "/%C3%A4"),
            ("/a%20b", "/a%20b"),
            ("/a{b}|c", "/a%7Bb%7D%7Cc"),
            ("/@scope%2fname", "/@scope%2Fname"),
            ("/100%25", "/100%25"),
            ("/a...b/...", "/a...b/..."),
        ] {
            assert_eq!(canonical_path(path).as_deref(), Ok(want), "{path}");
        }
    }

    #[test]
    fn refused() {
        for (path, want) in [
            ("", PathError::NoSlash),
            ("a", PathError::NoSlash),
            ("*", PathError::NoSlash),
            ("//a", PathError::Host),
            ("/.//a", PathError::Host),
            ("/a/..//b", PathError::Host),
            ("/a?b", PathError::Query),
            ("/a#b", PathError::Query),
            ("/a\\b", PathError::Backslash),
            ("/a%5cb", PathError::Backslash),
            ("/a%00", PathError::Control),
            ("/a%0d%0ab", PathError::Control),
            ("/a\nb", PathError::Control),
            ("/a b", PathError::Unencoded),
            ("/ä", PathError::Unencoded),
            ("/%", PathError::Percent),
            ("/%g0", PathError::Percent),
            ("/%2", PathError::Percent),
            ("/%+1", PathError::Percent),
            ("/%252e%252e/", PathError::Double),
            ("/%25%32%65", PathError::Double),
            ("/..", PathError::AboveRoot),
            ("/a/../../b", PathError::AboveRoot),
            ("/%2e%2e/", PathError::AboveRoot),
            ("/a/..;/b", PathError::HiddenDots),
            ("/a/..%3b/b", PathError::HiddenDots),
            ("/a/.;x=1/b", PathError::HiddenDots),
            ("/a/..%2fb", PathError::HiddenDots),
            ("/a/b%2F..%2fc", PathError::HiddenDots),
        ] {
            assert_eq!(canonical_path(path), Err(want), "{path}");
        }
        let long = format!("/{}", "a".repeat(LONGEST));
        assert_eq!(canonical_path(&long), Err(PathError::TooLong));
    }

    #[test]
    fn a_query_is_forwarded_as_it_came() {
        let target = canonical_target("/a/../b?x=%2e%2e&y=%zz?").unwrap();
        assert_eq!(target.forward(), "/b?x=%2e%2e&y=%zz?");
        assert_eq!(canonical_target("/a?b#c"), Err(PathError::Query));
        assert_eq!(canonical_target("/a?b c"), Err(PathError::Unencoded));
        assert_eq!(canonical_target("/a?b\r\nc"), Err(PathError::Control));
        assert_eq!(canonical_target("/a?").unwrap().forward(), "/a?");
    }

    proptest! {
        #[test]
        fn any_path_is_canonical_or_refused(path in "/([a-b./;*]|%[0-9a-fA-F]{2}|%2[fF]|\\PC){0,12}") {
            crate::check::path(path.as_bytes());
        }

        #[test]
        fn canonical_once_is_canonical(path in "/([a-c./;%]|%2[0-9a-f]|%[3-7][0-9A-F]|%25|\\.\\./){0,12}") {
            if let Ok(once) = canonical_path(&path) {
                prop_assert_eq!(canonical_path(&once), Ok(once.clone()));
                prop_assert!(once.starts_with('/') && !once.starts_with("//"));
                prop_assert!(!once.split('/').any(|s| matches!(s, "." | "..")));
            }
        }
    }
}
