//! Content digests, always tagged with their algorithm in documents.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A document held a string that is no tagged digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a digest of the form {1}:<64 hex digits>")]
pub struct DigestError(String, &'static str);

fn parse(s: &str, tag: &'static str) -> Result<[u8; 32], DigestError> {
    let bad = || DigestError(s.to_owned(), tag);
    let hex = s
        .strip_prefix(tag)
        .and_then(|r| r.strip_prefix(':'))
        .filter(|h| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit()))
        .ok_or_else(bad)?;
    let mut out = [0; 32];
    for (i, o) in out.iter_mut().enumerate() {
        *o = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
    }
    Ok(out)
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $tag:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// Reads the tagged form.
            pub fn parse(s: &str) -> Result<Self, DigestError> {
                parse(s, $tag).map(Self)
            }
            /// The 64 hex digits without the tag.
            pub fn hex(&self) -> String {
                self.0.iter().fold(String::with_capacity(64), |mut s, b| {
                    use fmt::Write as _;
                    let _ = write!(s, "{b:02x}");
                    s
                })
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}", $tag, self.hex())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let s = String::deserialize(d)?;
                Self::parse(&s).map_err(serde::de::Error::custom)
            }
        }
        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": concat!("^", $tag, ":[0-9a-f]{64}$"),
                })
            }
        }
    };
}

digest!(
    /// SHA-256, the digest that evidence formats and registries want.
    Sha256,
    "sha256"
);
digest!(
    /// BLAKE3, the fast one, used for comparing.
    Blake3,
    "blake3"
);

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_and_length_are_checked() {
        let d = Sha256::of(b"");
        assert_eq!(
            d.to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(Sha256::parse(&d.to_string()), Ok(d));
        assert!(Blake3::parse(&d.to_string()).is_err());
        assert!(Sha256::parse("sha256:00").is_err());
    }
}
