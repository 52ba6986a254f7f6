//! Path globs of a rule.
//!
//! A glob is a canonical path in which, segment by segment:
//! - `*` stands for any characters of one segment; a segment that is `*` alone is not empty;
//! - `**`, alone in its segment, stands for any number of whole segments, none included; at the end
//!   it stands for at least one, so that `/a/**` is `/a/` and all below it, and not `/a`.
//!
//! Everything else is itself, in its case. An encoded slash (`%2F`) is matched only by itself: no
//! wildcard spans what a server may read as two segments. Neither form of matching backtracks
//! further than its last wildcard, so the time is at most the product of the lengths.

use super::path::{PathError, canonical_path};

/// A compiled glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    text: String,
}

impl Glob {
    /// Reads a glob; `None` where a `**` is not alone in its segment.
    pub fn parse(text: &str) -> Result<Option<Self>, PathError> {
        let text = canonical_path(text)?;
        let odd = text.split('/').any(|s| s != "**" && s.contains("**"));
        Ok((!odd).then_some(Self { text }))
    }

    /// Its canonical text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a canonical path matches.
    pub fn matches(&self, path: &str) -> bool {
        let mut glob: Vec<_> = self.text.split('/').collect();
        let path: Vec<_> = path.split('/').collect();
        if glob.last() == Some(&"**") {
            glob.push(ONE);
        }
        sequence(
            &glob,
            &path,
            |g| *g == "**",
            |p| !p.contains(SLASH),
            segment,
        )
    }
}

/// One segment, whatever it is: what a `**` at the end asks for. No segment of a glob has a slash.
const ONE: &str = "/";

/// An encoded slash in a canonical path.
const SLASH: &str = "%2F";

/// The pieces between encoded slashes match one by one.
fn segment(glob: &&str, text: &&str) -> bool {
    match *glob {
        ONE => return !text.contains(SLASH),
        "*" if text.is_empty() => return false,
        _ => {}
    }
    let (globs, texts) = (glob.split(SLASH), text.split(SLASH));
    globs.clone().count() == texts.clone().count()
        && globs.zip(texts).all(|(glob, text)| {
            let any = |b: &u8| *b == b'*';
            sequence(
                glob.as_bytes(),
                text.as_bytes(),
                any,
                |_| true,
                |a, b| a == b,
            )
        })
}

/// Whether `items` are what `pattern` says, in which the `any` ones stand for any number of items
/// that they may `eat`. What an `any` may not eat is matched only by a pattern that names it, so it
/// is enough to move the last wildcard on.
fn sequence<P, T>(
    pattern: &[P],
    items: &[T],
    any: impl Fn(&P) -> bool,
    eat: impl Fn(&T) -> bool,
    same: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut p, mut i) = (0, 0);
    // Where the last wildcard stands, and what it has not eaten yet.
    let mut last: Option<(usize, usize)> = None;
    while i < items.len() {
        match pattern.get(p) {
            Some(wild) if any(wild) => {
                last = Some((p, i));
                p += 1;
            }
            Some(one) if same(one, &items[i]) => {
                p += 1;
                i += 1;
            }
            _ => match last {
                Some((at, from)) if eat(&items[from]) => {
                    last = Some((at, from + 1));
                    (p, i) = (at + 1, from + 1);
                }
                _ => return false,
            },
        }
    }
    pattern[p..].iter().all(any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glob(text: &str) -> Glob {
        Glob::parse(text).unwrap().unwrap()
    }

    #[test]
    fn what_matches() {
        for (text, yes, no) in [
            ("/a", &["/a"][..], &["/", "/a/", "/b", "/A", "/a/b"][..]),
            (
                "/a/*",
                &["/a/b", "/a/b.c"],
                &["/a", "/a/", "/a/b/", "/a/b/c", "/a/b%2Fc"],
            ),
            (
                "/a/**",
                &["/a/", "/a/b", "/a/b/c", "/a//b"],
                &["/a", "/ab", "/b/a", "/a/b%2Fc"],
            ),
            ("/**", &["/", "/a", "/a/b/"], &["/a%2Fb"]),
            (
                "/**/x",
                &["/x", "/a/x", "/a/b/x", "/x/x"],
                &["/x/", "/ax", "/a%2Fb/x"],
            ),
            (
                "/a/**/b/**",
                &["/a/b/", "/a/x/b/y", "/a/b/b/b"],
                &["/a/b", "/a/x/y"],
            ),
            (
                "/*.tar.gz",
                &["/x.tar.gz", "/.tar.gz", "/a.tar.gz.tar.gz"],
                &["/x/y.tar.gz", "/x.tar.gz.sig"],
            ),
            ("/a*b*c", &["/abc", "/aXbYc", "/abbcc"], &["/acb", "/ab/c"]),
            ("/@s%2fn", &["/@s%2Fn"], &["/@s/n", "/@s%2Fm"]),
            (
                "/@*%2f*",
                &["/@s%2Fn", "/@s%2F"],
                &["/@s/n", "/@s%2Fn%2Fo", "/@s"],
            ),
            ("/a//b", &["/a//b"], &["/a/b"]),
            ("/a/*/b", &["/a/x/b"], &["/a//b", "/a/b"]),
        ] {
            for path in yes {
                assert!(glob(text).matches(path), "{text} {path}");
            }
            for path in no {
                assert!(!glob(text).matches(path), "{text} {path}");
            }
        }
        assert_eq!(Glob::parse("/a**"), Ok(None));
        assert_eq!(Glob::parse("/***"), Ok(None));
        assert_eq!(Glob::parse("a"), Err(PathError::NoSlash));
        assert_eq!(Glob::parse("/a?"), Err(PathError::Query));
    }

    #[test]
    fn many_wildcards_end_in_time() {
        let long = format!("/{}", "a/".repeat(8000));
        assert!(!glob(&format!("/{}b", "**/a/".repeat(500))).matches(&long));
        let long = format!("/{}", "a".repeat(16_000));
        assert!(!glob(&format!("/{}b", "*a".repeat(500))).matches(&long));
    }

    /// The same by trying everything.
    fn slow(glob: &[&str], path: &[&str]) -> bool {
        match (glob, path) {
            ([], []) => true,
            (["**"], path) => !path.is_empty() && path.iter().all(|p| !p.contains(SLASH)),
            (["**", rest @ ..], path) => (0..=path.len())
                .any(|n| path[..n].iter().all(|p| !p.contains(SLASH)) && slow(rest, &path[n..])),
            ([g, glob @ ..], [p, path @ ..]) => one(g, p) && slow(glob, path),
            _ => false,
        }
    }

    fn one(g: &str, p: &str) -> bool {
        fn bytes(g: &[u8], p: &[u8]) -> bool {
            match (g, p) {
                ([], []) => true,
                ([b'*', g @ ..], p) => {
                    (0..=p.len()).any(|n| !p[..n].contains(&b'%') && bytes(g, &p[n..]))
                }
                ([a, g @ ..], [b, p @ ..]) => a == b && bytes(g, p),
                _ => false,
            }
        }
        // `%2F` as one character.
        let (g, p) = (g.replace(SLASH, "%"), p.replace(SLASH, "%"));
        (g != "*" || !p.is_empty()) && bytes(g.as_bytes(), p.as_bytes())
    }

    proptest! {
        #[test]
        fn agrees_with_trying_everything(
            text in "(/(a|b|\\*|\\*\\*|a\\*|a%2Fb|\\*%2F\\*)){1,5}/?",
            path in "(/(a|b|ab|a%2Fb|b%2Fa)){1,6}/?",
        ) {
            let (g, p): (Vec<_>, Vec<_>) = (text.split('/').collect(), path.split('/').collect());
            prop_assert_eq!(glob(&text).matches(&path), slow(&g, &p));
        }
    }
}
