//! What kind of address it is: the registries of special-purpose addresses (RFC 6890 and IANA's
//! lists after it) and the metadata services of clouds, as one table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use belljar_model::Reason;

/// A network: its first address, and how many bits of it count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `address` or `address/bits`. Bits beyond the prefix have to be zero, so that a slip of
    /// the pen does not widen a rule.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let all: u8 = if address.is_ipv4() { 32 } else { 128 };
        let bits: u8 = match bits {
            Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?,
            Some(_) => return None,
            None => all,
        };
        let own = Self { address, bits };
        if bits > all {
            return None;
        }
        let whole = own
            .prefix(address)
            .checked_shl(u32::from(all - bits))
            .unwrap_or(0)
            == number(address);
        whole.then_some(own)
    }

    /// Whether it holds this address.
    pub fn holds(&self, address: IpAddr) -> bool {
        let family = address.is_ipv4() == self.address.is_ipv4();
        family && self.prefix(address) == self.prefix(self.address)
    }

    /// The bits that count.
    fn prefix(&self, address: IpAddr) -> u128 {
        let all: u8 = if address.is_ipv4() { 32 } else { 128 };
        number(address)
            .checked_shr(u32::from(all - self.bits))
            .unwrap_or(0)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u32::from(a).into(),
        IpAddr::V6(a) => a.into(),
    }
}

/// What kind of address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anybody's.
    Public,
    /// Not routed in public, for the named reason.
    Special(&'static str),
    /// A cloud's metadata service.
    Metadata,
    /// An IPv6 address that carries another one.
    Embedded(Ipv4Addr),
}

impl Kind {
    /// Why it is not let through; nothing where it is public.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Public => None,
            Self::Special(_) => Some(Reason::PrivateAddress),
            Self::Metadata => Some(Reason::MetadataAddress),
            Self::Embedded(_) => Some(Reason::EmbedV6),
        }
    }
}

/// Addresses of metadata services.
const METADATA: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Names of metadata services.
const METADATA_NAMES: &[&str] = &[
    "metadata.google.internal",
    "metadata",
    "instance-data",
    "metadata.azure.internal",
];

macro_rules! v4 {
    ($a:expr, $b:expr, $c:expr, $bits:expr, $name:expr) => {
        (
            Network {
                address: IpAddr::V4(Ipv4Addr::new($a, $b, $c, 0)),
                bits: $bits,
            },
            $name,
        )
    };
}
macro_rules! v6 {
    ($a:expr, $b:expr, $c:expr, $bits:expr, $name:expr) => {
        (
            Network {
                address: IpAddr::V6(Ipv6Addr::new($a, $b, $c, 0, 0, 0, 0, 0)),
                bits: $bits,
            },
            $name,
        )
    };
}

/// Everything that is not public.
const SPECIAL: &[(Network, &str)] = &[
    v4!(0, 0, 0, 8, "unspecified"),
    v4!(10, 0, 0, 8, "private"),
    v4!(100, 64, 0, 10, "shared"),
    v4!(127, 0, 0, 8, "loopback"),
    v4!(169, 254, 0, 16, "link-local"),
    v4!(172, 16, 0, 12, "private"),
    v4!(192, 0, 0, 24, "protocol assignments"),
    v4!(192, 0, 2, 24, "documentation"),
    v4!(192, 31, 196, 24, "AS112"),
    v4!(192, 52, 193, 24, "AMT"),
    v4!(192, 88, 99, 24, "6to4 relay"),
    v4!(192, 168, 0, 16, "private"),
    v4!(192, 175, 48, 24, "AS112"),
    v4!(198, 18, 0, 15, "benchmarking"),
    v4!(198, 51, 100, 24, "documentation"),
    v4!(203, 0, 113, 24, "documentation"),
    v4!(224, 0, 0, 4, "multicast"),
    v4!(240, 0, 0, 4, "reserved"),
    v6!(0, 0, 0, 96, "unspecified, loopback, IPv4-compatible"),
    v6!(0x0100, 0, 0, 64, "discard"),
    v6!(
        0x2001,
        0,
        0,
        23,
        "protocol assignments, Teredo, ORCHID, benchmarking"
    ),
    v6!(0x2001, 0xdb8, 0, 32, "documentation"),
    v6!(0x2620, 0x4f, 0x8000, 48, "AS112"),
    v6!(0x3fff, 0, 0, 20, "documentation"),
    v6!(0x5f00, 0, 0, 16, "segment routing"),
    v6!(0xfc00, 0, 0, 7, "unique local"),
    v6!(0xfe80, 0, 0, 10, "link-local"),
    v6!(0xfec0, 0, 0, 10, "site-local"),
    v6!(0xff00, 0, 0, 8, "multicast"),
];

/// What kind of address it is. What an IPv6 address carries is looked at first: metadata is metadata
/// in any dress.
pub fn classify(address: IpAddr) -> Kind {
    if let IpAddr::V6(v6) = address
        && let Some(inner) = carried(v6)
    {
        return match classify(inner.into()) {
            Kind::Metadata => Kind::Metadata,
            _ => Kind::Embedded(inner),
        };
    }
    if METADATA.contains(&address) {
        return Kind::Metadata;
    }
    let special = SPECIAL.iter().find(|(network, _)| network.holds(address));
    match special {
        Some((_, name)) => Kind::Special(name),
        // What is not handed out to anybody is not public either.
        None if matches!(address, IpAddr::V6(v6) if v6.segments()[0] & 0xe000 != 0x2000) => {
            Kind::Special("not global unicast")
        }
        None => Kind::Public,
    }
}

/// Whether the name is that of a metadata service.
pub fn is_metadata_name(name: &str) -> bool {
    METADATA_NAMES.contains(&name)
}

/// The IPv4 address inside: mapped, compatible, translated (NAT64, RFC 6052 and 8215), 6to4, Teredo,
/// ISATAP.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let pair = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => Some(pair(high, low)),
        // `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(pair(high, low)),
        [0x2001, 0, .., high, low] => Some(pair(!high, !low)),
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(pair(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Kind {
        classify(text.parse().unwrap())
    }

    #[test]
    fn public_is_what_is_left() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2600::1",
            "2001:200::",
            "2a00::1",
            "3ffe::1",
        ] {
            assert_eq!(kind(text), Kind::Public, "{text}");
        }
    }

    #[test]
    fn special_addresses_are_not_public() {
        for text in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.1",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "100::1",
            "2001:1::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
            "1000::1",
        ] {
            assert!(
                matches!(kind(text), Kind::Special(_)),
                "{text}: {:?}",
                kind(text)
            );
        }
    }

    #[test]
    fn what_carries_another_address_is_seen_through() {
        for (text, inner) in [
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::ffff:0:10.0.0.1", "10.0.0.1"),
            ("::10.0.0.1", "10.0.0.1"),
            ("64:ff9b::10.0.0.1", "10.0.0.1"),
            ("64:ff9b:1::1.1.1.1", "1.1.1.1"),
            ("2002:a00:1::", "10.0.0.1"),
            ("2001::f5ff:fffe", "10.0.0.1"),
            ("2600::5efe:10.0.0.1", "10.0.0.1"),
            ("2600::200:5efe:10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(kind(text), Kind::Embedded(inner.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn metadata_is_metadata_in_any_dress() {
        for text in [
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "::169.254.169.254",
        ] {
            assert_eq!(kind(text), Kind::Metadata, "{text}");
        }
    }

    #[test]
    fn networks_are_read_strictly() {
        let holds = |net: &str, address: &str| {
            Network::parse(net).is_some_and(|n| n.holds(address.parse().unwrap()))
        };
        assert!(holds("10.0.0.0/8", "10.1.2.3"));
        assert!(!holds("10.0.0.0/8", "11.1.2.3"));
        assert!(holds("192.0.2.1", "192.0.2.1"));
        assert!(!holds("192.0.2.1", "192.0.2.2"));
        assert!(holds("0.0.0.0/0", "192.0.2.2"));
        assert!(!holds("0.0.0.0/0", "::1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::"));
        for text in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "x",
            "10/8",
            "2001:db8::/129",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
