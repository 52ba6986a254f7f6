//! Host names and authorities: the one strict parser for policy, requests, hellos, DNS and dials.
//!
//! What two readers could read as two hosts is refused here, so that nothing behind it ever
//! compares raw text. A [`Host`] is canonical: equal hosts are equal bytes. It must not know any
//! policy, and resolves nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// No name in any spelling is longer: 253 characters of four bytes each.
const LONGEST: usize = 1012;

/// A host in its one canonical spelling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name: lower-case A-labels, no trailing dot, never an address in disguise.
    Name(String),
    /// An address. A mapped IPv4 address stays the IPv6 address as which it came.
    Address(IpAddr),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authority {
    host: Host,
    port: u16,
}

/// Why some bytes are no host, or no authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HostError {
    /// Nothing is there.
    #[error("there is no host")]
    Empty,
    /// Longer than any name.
    #[error("the name, or a label of it, is longer than DNS allows")]
    TooLong,
    /// Two dots in a row, or one at the start.
    #[error("the name has an empty label")]
    EmptyLabel,
    /// NUL, CR, LF, TAB and the like.
    #[error("the host has a control character")]
    Control,
    /// A space.
    #[error("the host has a space")]
    Space,
    /// `user@host`.
    #[error("a user is named before the host")]
    Userinfo,
    /// `%61`, or the zone of an IPv6 address in a URL.
    #[error("the host has a percent sign")]
    Percent,
    /// `/`, `\`, `?` or `#`.
    #[error("the host has a character that ends or divides it for other readers")]
    Delimiter,
    /// `_`
    #[error("the name has an underscore, which no host name may have")]
    Underscore,
    /// Any other character that is none of letters, digits and hyphens.
    #[error("the name has a character that no host name may have")]
    Character,
    /// A hyphen where none may stand.
    #[error("a label of the name begins or ends with a hyphen, or has two of them in third place")]
    Hyphen,
    /// UTS 46 refuses it.
    #[error("the internationalised name is not valid")]
    Idna,
    /// `127.1`, `0x7f000001`, `2130706433`.
    #[error("the host is an IPv4 address in a spelling that readers disagree on")]
    Ipv4Spelling,
    /// Not an IPv6 address in brackets.
    #[error("what stands in the brackets is no IPv6 address")]
    Ipv6,
    /// Brackets that are not closed, or stand where none belong.
    #[error("an IPv6 address stands in one pair of brackets, and nothing else does")]
    Brackets,
    /// `fe80::1%eth0`
    #[error("the IPv6 address has a zone, which means nothing outside one machine")]
    Zone,
    /// No port, where one must stand.
    #[error("there is no port")]
    NoPort,
    /// Not 1 to 65535 in plain digits.
    #[error("the port is not a number from 1 to 65535 in plain digits")]
    Port,
}

impl Host {
    /// Reads a host: a name, an IPv4 address, or an IPv6 address without brackets.
    pub fn parse(bytes: &[u8]) -> Result<Self, HostError> {
        if bytes.is_empty() {
            return Err(HostError::Empty);
        }
        if bytes.len() > LONGEST {
            return Err(HostError::TooLong);
        }
        if bytes.contains(&b':') {
            return ipv6(bytes).map(|ip| Self::Address(ip.into()));
        }
        if let Some(ip) = ipv4(bytes) {
            return Ok(Self::Address(ip.into()));
        }
        name(bytes).map(Self::Name)
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
            Self::Address(ip) => Some(*ip),
        }
    }
}

/// As policies and records write it: IPv6 without brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(ip) => ip.fmt(f),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self::Address(ip)
    }
}

impl Authority {
    /// A host that was read already, and a port. No rule allows port 0.
    pub fn new(host: Host, port: u16) -> Self {
        Self { host, port }
    }

    /// Reads `host:port` or `[v6]:port`. Without a port the default stands, where there is one.
    pub fn parse(bytes: &[u8], default_port: Option<u16>) -> Result<Self, HostError> {
        let (host, port) = split(bytes)?;
        let port = match port {
            Some(digits) => self::port(digits)?,
            None => default_port.ok_or(HostError::NoPort)?,
        };
        Ok(Self::new(host, port))
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

/// As an authority is written: IPv6 in brackets, the port always there.
impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

fn split(bytes: &[u8]) -> Result<(Host, Option<&[u8]>), HostError> {
    if let Some(inner) = bytes.strip_prefix(b"[") {
        let end = inner.iter().position(|b| *b == b']');
        let end = end.ok_or(HostError::Brackets)?;
        let (ip, rest) = (&inner[..end], &inner[end + 1..]);
        let host = Host::Address(ipv6(ip)?.into());
        return match rest {
            [] => Ok((host, None)),
            [b':', port @ ..] => Ok((host, Some(port))),
            _ => Err(HostError::Brackets),
        };
    }
    let mut parts = bytes.splitn(3, |b| *b == b':');
    let (host, port) = (parts.next().unwrap_or_default(), parts.next());
    if host.contains(&b'@') || bytes.contains(&b'@') {
        return Err(HostError::Userinfo);
    }
    if parts.next().is_some() {
        return Err(HostError::Brackets);
    }
    Ok((Host::parse(host)?, port))
}

/// No sign, no leading zero, no zero, nothing else.
fn port(digits: &[u8]) -> Result<u16, HostError> {
    if digits.first() == Some(&b'0') || !digits.iter().all(u8::is_ascii_digit) {
        return Err(HostError::Port);
    }
    let text = std::str::from_utf8(digits).map_err(|_| HostError::Port)?;
    text.parse().map_err(|_| HostError::Port)
}

/// Four decimal numbers without leading zeros: the one spelling on which all readers agree.
fn ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn ipv6(bytes: &[u8]) -> Result<Ipv6Addr, HostError> {
    if let Some(why) = bytes.iter().find_map(|b| forbidden(*b)) {
        return Err(match why {
            HostError::Percent => HostError::Zone,
            why => why,
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| HostError::Ipv6)?;
    text.parse().map_err(|_| HostError::Ipv6)
}

/// What must not stand in any host, told apart so that a record says what was tried.
fn forbidden(byte: u8) -> Option<HostError> {
    match byte {
        b' ' => Some(HostError::Space),
        0..=31 | 127 => Some(HostError::Control),
        b'@' => Some(HostError::Userinfo),
        b'%' => Some(HostError::Percent),
        b'/' | b'\\' | b'?' | b'#' => Some(HostError::Delimiter),
        b'[' | b']' => Some(HostError::Brackets),
        b'_' => Some(HostError::Underscore),
        _ => None,
    }
}

fn name(bytes: &[u8]) -> Result<String, HostError> {
    if let Some(why) = bytes.iter().find_map(|b| forbidden(*b)) {
        return Err(why);
    }
    let ascii = bytes.is_ascii();
    let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
    if bytes.is_empty() || bytes.split(|b| *b == b'.').any(<[u8]>::is_empty) {
        return Err(HostError::EmptyLabel);
    }
    let mapped = Uts46::new()
        .to_ascii(
            bytes,
            AsciiDenyList::STD3,
            Hyphens::Check,
            DnsLength::Ignore,
        )
        .map_err(|_| {
            if ascii {
                why_ascii(bytes)
            } else {
                HostError::Idna
            }
        })?;
    // Mapping may have made dots of other characters.
    let name = mapped.as_ref();
    let labels: Vec<_> = name.split('.').collect();
    if labels.iter().any(|label| label.is_empty()) {
        return Err(HostError::EmptyLabel);
    }
    if name.len() > 253 || labels.iter().any(|label| label.len() > 63) {
        return Err(HostError::TooLong);
    }
    if labels.last().is_some_and(|last| is_number(last)) {
        return Err(HostError::Ipv4Spelling);
    }
    Ok(name.to_owned())
}

/// UTS 46 says only that a name is not valid.
fn why_ascii(bytes: &[u8]) -> HostError {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    if !bytes.iter().all(|b| known(*b)) {
        return HostError::Character;
    }
    let labels = || bytes.split(|b| *b == b'.');
    if labels().any(|l| l.get(..4).is_some_and(|p| p.eq_ignore_ascii_case(b"xn--"))) {
        HostError::Idna
    } else {
        HostError::Hyphen
    }
}

/// Whether a C library takes a host with this last label for an IPv4 address.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x");
    label.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests;
