//! An address or a network, as rules name those that are not public.

use std::fmt;
use std::net::IpAddr;

use super::error::Fault;

/// A network; an address is one of full length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Net {
    ip: IpAddr,
    bits: u32,
}

impl Net {
    /// Reads `10.1.2.3` or `10.1.0.0/16`.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = || Fault::Network(text.into());
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        let (full, least) = if ip.is_ipv4() { (32, 8) } else { (128, 32) };
        let bits = match bits {
            None => full,
            Some(digits) => number(digits).filter(|n| *n <= full).ok_or_else(wrong)?,
        };
        if bits < least {
            return Err(Fault::Wide(text.into()));
        }
        let net = Self { ip, bits };
        if net.masked(ip) != to_bits(ip) {
            return Err(Fault::HostBits(text.into()));
        }
        Ok(net)
    }

    /// Whether an address is in it. An IPv4 network holds no IPv6 address that carries one.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        self.ip.is_ipv4() == ip.is_ipv4() && self.masked(ip) == to_bits(self.ip)
    }

    /// The length is never 0.
    fn masked(&self, ip: IpAddr) -> u128 {
        let full = if ip.is_ipv4() { 32 } else { 128 };
        let host = full - self.bits.min(full);
        to_bits(ip)
            .checked_shr(host)
            .and_then(|n| n.checked_shl(host))
            .unwrap_or(0)
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = if self.ip.is_ipv4() { 32 } else { 128 };
        if self.bits == full {
            return self.ip.fmt(f);
        }
        write!(f, "{}/{}", self.ip, self.bits)
    }
}

fn to_bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// Digits alone, without leading zeros.
fn number(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let zeros = digits.len() > 1 && digits.starts_with('0');
    (plain && !zeros).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (text, inside, outside) in [
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.1.0.0/16", "10.1.255.255", "10.2.0.0"),
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("fd00:1::/32", "fd00:1:ffff::1", "fd00:2::"),
            ("fd00::1", "fd00::1", "fd00::2"),
            ("10.1.0.0/16", "10.1.0.0", "::ffff:10.1.0.0"),
            ("::ffff:10.1.0.0/112", "::ffff:10.1.0.9", "10.1.0.9"),
        ] {
            let net = Net::parse(text).unwrap();
            assert!(net.contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(!net.contains(outside.parse().unwrap()), "{text} {outside}");
            assert_eq!(net.to_string(), text);
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "x",
            "10.1",
            "10.1.2.3/",
            "10.1.2.3/33",
            "10.1.2.3/08",
            "10.1.2.3/+8",
            "010.1.2.3",
            "[fd00::1]",
            "fd00::1%lo",
            "10.1.2.3/16",
            "0.0.0.0/0",
            "::/0",
            "fc00::/7",
            "10.0.0.0/7",
            " 10.1.2.3",
        ] {
            assert!(Net::parse(text).is_err(), "{text}");
        }
    }
}
