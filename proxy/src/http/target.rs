//! The four forms of a request's target. Authorities and paths are only cut out here, and held to the
//! bytes that may stand in them; what they mean is said by `Authority` and the policy.

use super::{BadHead, Fault};

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `/path?query`.
    Origin(String),
    /// `http://authority/path?query`.
    Absolute {
        /// Host and port as they came.
        authority: String,
        /// Path and query as they came; `/` where there was none.
        path: String,
    },
    /// `host:port`, of `CONNECT`.
    Authority(String),
    /// `*`, of `OPTIONS`.
    Asterisk,
}

impl Target {
    /// Reads a target, which begins at `at` in its head, by the form that the method asks for.
    pub(super) fn parse(method: &str, target: &[u8], at: usize) -> Result<Self, BadHead> {
        let fault = |fault, offset: usize| Err(BadHead::new(fault, at + offset));
        for (offset, byte) in target.iter().enumerate() {
            match byte {
                b'\\' => return fault(Fault::Backslash, offset),
                b'#' => return fault(Fault::Fragment, offset),
                b'!'..=b'~' => {}
                _ => return fault(Fault::Target, offset),
            }
        }
        let Ok(text) = std::str::from_utf8(target) else {
            return fault(Fault::Target, 0);
        };
        if method == "CONNECT" {
            authority(text, at)?;
            return Ok(Self::Authority(text.into()));
        }
        if text == "*" {
            return if method == "OPTIONS" {
                Ok(Self::Asterisk)
            } else {
                fault(Fault::Target, 0)
            };
        }
        if text.starts_with('/') {
            // `//host/path` is read as a host by some, as a path by others.
            return if text.starts_with("//") {
                fault(Fault::Target, 1)
            } else {
                Ok(Self::Origin(text.into()))
            };
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return fault(Fault::Target, 0);
        };
        if !scheme.eq_ignore_ascii_case("http") {
            return fault(Fault::Scheme, 0);
        }
        let Some(rest) = rest.strip_prefix("//") else {
            return fault(Fault::Target, scheme.len());
        };
        let begin = at + scheme.len() + 3;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        authority(&rest[..end], begin)?;
        let path = match &rest[end..] {
            "" => "/".into(),
            path if path.starts_with('/') => path.to_owned(),
            query => format!("/{query}"),
        };
        if path.starts_with("//") {
            return Err(BadHead::new(Fault::Target, begin + end + 1));
        }
        Ok(Self::Absolute {
            authority: rest[..end].into(),
            path,
        })
    }

    /// Path and query, where the form has them.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Origin(path) | Self::Absolute { path, .. } => Some(path),
            Self::Authority(_) | Self::Asterisk => None,
        }
    }

    /// The authority, where the form has one.
    pub fn authority(&self) -> Option<&str> {
        match self {
            Self::Absolute { authority, .. } | Self::Authority(authority) => Some(authority),
            Self::Origin(_) | Self::Asterisk => None,
        }
    }
}

/// Holds an authority to the bytes that may stand in one.
pub(super) fn authority(text: &str, at: usize) -> Result<(), BadHead> {
    if text.is_empty() {
        return Err(BadHead::new(Fault::Target, at));
    }
    for (offset, byte) in text.bytes().enumerate() {
        let fault = match byte {
            b'@' => Fault::Userinfo,
            b'%' => Fault::PercentInHost,
            byte if byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte) => continue,
            _ => Fault::Target,
        };
        return Err(BadHead::new(fault, at + offset));
    }
    Ok(())
}
