//! Who is meant: the one strict parser of hosts and authorities. Policy, dial, log and recording take
//! nothing else, so no two of them can read one text differently.
//!
//! A name is canonical here: IDNA A-labels in lower case (UTS 46, strict), no trailing dot. What is
//! neither a name by those rules nor an address in its usual spelling is an error: `127.1`,
//! `0x7f000001` and `2130706433` are addresses to some readers and names to others, and nobody's here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of the longest name (RFC 1035, without the root's dot).
const LONGEST_NAME: usize = 253;
/// Bytes of the longest label.
const LONGEST_LABEL: usize = 63;

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name, canonical.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Authority {
    host: Host,
    port: u16,
}

/// What is wrong with a text that should name a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing there.
    #[error("the host is empty")]
    Empty,
    /// Over 253 bytes, or a label over 63.
    #[error("the host, or a part of it, is too long")]
    TooLong,
    /// Two dots in a row, or one in front.
    #[error("a part of the host is empty")]
    EmptyLabel,
    /// A byte that no host has.
    #[error("the host has a character that no host has")]
    Character,
    /// Not a name by IDNA.
    #[error("the host is no valid international name")]
    Idna,
    /// A last label that is a number makes it an address, and it is not spelled as one.
    #[error("the host looks like an address and is not spelled as one")]
    Number,
    /// Brackets hold an IPv6 address, and only they do.
    #[error("an IPv6 address stands in brackets, and nothing else does")]
    Brackets,
    /// `%zone`.
    #[error("an address with a zone means nothing outside its own machine")]
    Zone,
    /// No port, where one is needed.
    #[error("the port is missing")]
    NoPort,
    /// Not 1 to 65535 in plain decimal.
    #[error("the port is not a plain number from 1 to 65535")]
    Port,
}

impl Host {
    /// Reads a host; an IPv6 address may stand in brackets here, and has to in an [`Authority`].
    pub fn parse(text: &[u8]) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if let Some(inner) = text.strip_prefix(b"[") {
            let inner = inner.strip_suffix(b"]").ok_or(HostError::Brackets)?;
            return v6(inner);
        }
        if text.contains(&b':') {
            return v6(text);
        }
        let text = std::str::from_utf8(text).map_err(|_| HostError::Character)?;
        if text.bytes().any(|b| b.is_ascii() && !is_plain(b)) {
            return Err(HostError::Character);
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        name(text).map(Self::Name)
    }

    /// The name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Address(_) => None,
        }
    }

    /// The address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::Address(address) => Some(*address),
        }
    }
}

/// Letters, digits, hyphen and dot.
fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')
}

fn v6(text: &[u8]) -> Result<Host, HostError> {
    if text.contains(&b'%') {
        return Err(HostError::Zone);
    }
    let text = std::str::from_utf8(text).map_err(|_| HostError::Character)?;
    let address: Ipv6Addr = text.parse().map_err(|_| HostError::Brackets)?;
    Ok(Host::Address(address.into()))
}

fn name(text: &str) -> Result<String, HostError> {
    // Long before IDNA has work to do; an A-label takes at most a few bytes for each of a U-label.
    if text.len() > 4 * LONGEST_NAME {
        return Err(HostError::TooLong);
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Err(HostError::Empty);
    }
    let ascii = if text.is_ascii() && !has_ace(text) {
        text.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii_strict(text).map_err(|_| HostError::Idna)?
    };
    if ascii.len() > LONGEST_NAME {
        return Err(HostError::TooLong);
    }
    for label in ascii.split('.') {
        match label.len() {
            0 => return Err(HostError::EmptyLabel),
            1..=LONGEST_LABEL => {}
            _ => return Err(HostError::TooLong),
        }
        let hyphen = label.starts_with('-') || label.ends_with('-');
        if hyphen || !label.bytes().all(|b| b != b'.' && is_plain(b)) {
            return Err(HostError::Character);
        }
    }
    let last = ascii.rsplit('.').next().unwrap_or_default();
    if is_number(last) {
        return Err(HostError::Number);
    }
    Ok(ascii)
}

fn has_ace(text: &str) -> bool {
    text.split('.').any(|label| {
        label
            .get(..4)
            .is_some_and(|p| p.eq_ignore_ascii_case("xn--"))
    })
}

/// What the readers of URLs take for a number (the "ends in a number" check of the URL standard).
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x");
    label.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl Authority {
    /// From its parts.
    pub fn new(host: Host, port: u16) -> Self {
        Self { host, port }
    }

    /// Reads `host:port` or `[address]:port`; without a port only where there is a default.
    pub fn parse(text: &[u8], default_port: Option<u16>) -> Result<Self, HostError> {
        let end = if text.starts_with(b"[") {
            let close = text.iter().position(|b| *b == b']');
            close.ok_or(HostError::Brackets)? + 1
        } else {
            text.iter().position(|b| *b == b':').unwrap_or(text.len())
        };
        let (host, rest) = text.split_at(end);
        let port = match rest {
            [] => default_port.ok_or(HostError::NoPort)?,
            [b':', digits @ ..] => port(digits)?,
            _ => return Err(HostError::Brackets),
        };
        Ok(Self {
            host: Host::parse(host)?,
            port,
        })
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn port(digits: &[u8]) -> Result<u16, HostError> {
    let plain = matches!(digits, [b'1'..=b'9', ..]) && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| plain);
    text.and_then(|t| t.parse().ok()).ok_or(HostError::Port)
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(text: &str) -> Result<Host, HostError> {
        Host::parse(text.as_bytes())
    }

    #[test]
    fn names_are_canonical() {
        for (text, canonical) in [
            ("files.example", "files.example"),
            ("FILES.Example", "files.example"),
            ("files.example.", "files.example"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("files\u{3002}example", "files.example"),
            ("0x7g.example", "0x7g.example"),
            ("1.example", "1.example"),
            ("a", "a"),
        ] {
            assert_eq!(named(text), Ok(Host::Name(canonical.into())), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        use HostError::{Brackets, Character, Empty, EmptyLabel, Idna, Number, TooLong, Zone};
        let long = "a".repeat(64);
        for (text, why) in [
            ("", Empty),
            (".", Empty),
            ("a..b", EmptyLabel),
            (".a", EmptyLabel),
            ("a.example..", EmptyLabel),
            (&long, TooLong),
            (&"abcdefg.".repeat(32), TooLong),
            ("a_b.example", Character),
            ("-a.example", Character),
            ("a-.example", Character),
            ("*.example", Character),
            ("a%2eb", Character),
            ("a\0b", Character),
            ("a b", Character),
            ("u@h", Character),
            ("a/b", Character),
            ("a\\b", Character),
            ("a#b", Character),
            ("a?b", Character),
            ("xn--9.example", Idna),
            ("allo\u{200b}wed.example\u{ad}\u{378}", Idna),
            ("127.1", Number),
            ("0x7f000001", Number),
            ("0177.0.0.1", Number),
            ("2130706433", Number),
            ("1.2.3.4.5", Number),
            ("256.1.1.1", Number),
            ("a.0x", Number),
            ("\u{ff11}\u{ff12}\u{ff17}.1", Number),
            ("[192.0.2.1]", Brackets),
            ("[2001:db8::1", Brackets),
            ("2001:db8::g", Brackets),
            ("[fe80::1%25eth0]", Zone),
            ("fe80::1%eth0", Zone),
        ] {
            assert_eq!(named(text), Err(why), "{text:?}");
        }
        assert_eq!(Host::parse(b"\xff.example"), Err(Character));
    }

    #[test]
    fn authorities_are_read_strictly() {
        let read = |text: &str| Authority::parse(text.as_bytes(), None).map(|a| a.to_string());
        assert_eq!(read("A.example:443").unwrap(), "a.example:443");
        assert_eq!(read("192.0.2.1:80").unwrap(), "192.0.2.1:80");
        assert_eq!(read("[2001:DB8:0::1]:80").unwrap(), "[2001:db8::1]:80");
        for (text, why) in [
            ("a.example", HostError::NoPort),
            ("a.example:", HostError::Port),
            ("a.example:0", HostError::Port),
            ("a.example:0443", HostError::Port),
            ("a.example:+443", HostError::Port),
            ("a.example:65536", HostError::Port),
            ("a.example:443:443", HostError::Port),
            ("a.example:443/", HostError::Port),
            (":443", HostError::Empty),
            ("2001:db8::1:443", HostError::Port),
            ("[2001:db8::1]443", HostError::Brackets),
            ("u:p@a.example:443", HostError::Port),
        ] {
            assert_eq!(Authority::parse(text.as_bytes(), None), Err(why), "{text}");
        }
        let default = Authority::parse(b"a.example", Some(80)).unwrap();
        assert_eq!(default.port(), 80);
    }

    proptest! {
        #[test]
        fn reading_again_changes_nothing(text in any::<Vec<u8>>()) {
            if let Ok(authority) = Authority::parse(&text, Some(1)) {
                let shown = authority.to_string();
                prop_assert_eq!(Authority::parse(shown.as_bytes(), None), Ok(authority));
            }
        }

        #[test]
        fn names_are_stable(text in "[a-zA-Z0-9.\u{e0}-\u{ff}\u{3002}-]{1,80}") {
            if let Ok(Host::Name(name)) = named(&text) {
                prop_assert_eq!(named(&name), Ok(Host::Name(name.clone())));
                prop_assert_eq!(named(&name.to_ascii_uppercase()), Ok(Host::Name(name.clone())));
                prop_assert_eq!(named(&format!("{name}.")), Ok(Host::Name(name)));
            }
        }

        #[test]
        fn no_spelling_of_an_address_is_a_name(a in any::<u32>(), form in 0..7) {
            let o = a.to_be_bytes();
            let text = match form {
                0 => a.to_string(),
                1 => format!("{a:#x}"),
                2 => format!("0{:o}.{}.{}.{}", o[0], o[1], o[2], o[3]),
                3 => format!("{:#x}.{}.{}.{:#x}", o[0], o[1], o[2], o[3]),
                4 => format!("{}.{}", o[0], a & 0xff_ffff),
                5 => format!("{}.{}.{}.{}.", o[0], o[1], o[2], o[3]),
                _ => format!("{}.{}.{}.{}", o[0], o[1], o[2], o[3]),
            };
            prop_assert!(!matches!(named(&text), Ok(Host::Name(_))), "{}", text);
        }
    }
}
