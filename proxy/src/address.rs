//! What kind of place an Internet address is: the table by which answers of the outside are judged.
//!
//! Pure. An address is public only if it lies in a block that is meant for the whole Internet; of
//! IPv6 that is 2000::/3 alone. Sources: the IANA special-purpose registries for IPv4 and IPv6 (RFC
//! 6890 and its updates), the IANA IPv6 address space, and the documents of the clouds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use belljar_model::Reason;

/// What kind of place an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// For the whole Internet.
    Public,
    /// `0.0.0.0/8`, `::`: this host, this network.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918, and unique local addresses of IPv6.
    Private,
    /// `100.64.0.0/10`: between a provider and its customers.
    Shared,
    /// `169.254.0.0/16`, `fe80::/10`, and the site-local addresses that came before.
    LinkLocal,
    /// Multicast and broadcast.
    Multicast,
    /// For documents and measurements.
    Documentation,
    /// Protocol assignments, discard prefixes, and everything that is not assigned.
    Reserved,
    /// An IPv6 address that carries an IPv4 address.
    Embedded,
    /// Where a cloud tells a machine its identity and secrets, also inside an IPv6 address.
    Metadata,
}

impl Kind {
    /// Why such an address is refused; nothing for a public one.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Public => None,
            Self::Metadata => Some(Reason::MetadataAddress),
            Self::Embedded => Some(Reason::EmbedV6),
            _ => Some(Reason::PrivateAddress),
        }
    }

    /// The name in texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::Shared => "shared",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Documentation => "documentation",
            Self::Reserved => "reserved",
            Self::Embedded => "embedded IPv4",
            Self::Metadata => "metadata",
        }
    }
}

/// What kind of place `ip` is.
pub fn classify(ip: IpAddr) -> Kind {
    match ip {
        IpAddr::V4(ip) => v4(ip),
        IpAddr::V6(ip) => v6(ip),
    }
}

const V4: &[(Ipv4Addr, u32, Kind)] = &[
    (Ipv4Addr::UNSPECIFIED, 8, Kind::Unspecified), // RFC 791, RFC 1122
    (Ipv4Addr::new(10, 0, 0, 0), 8, Kind::Private), // RFC 1918
    (Ipv4Addr::new(100, 64, 0, 0), 10, Kind::Shared), // RFC 6598
    (Ipv4Addr::new(127, 0, 0, 0), 8, Kind::Loopback), // RFC 1122
    (Ipv4Addr::new(169, 254, 0, 0), 16, Kind::LinkLocal), // RFC 3927
    (Ipv4Addr::new(172, 16, 0, 0), 12, Kind::Private), // RFC 1918
    (Ipv4Addr::new(192, 0, 0, 0), 24, Kind::Reserved), // RFC 6890: protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24, Kind::Documentation), // RFC 5737: TEST-NET-1
    (Ipv4Addr::new(192, 88, 99, 0), 24, Kind::Reserved), // RFC 7526: 6to4 relays, withdrawn
    (Ipv4Addr::new(192, 168, 0, 0), 16, Kind::Private), // RFC 1918
    (Ipv4Addr::new(198, 18, 0, 0), 15, Kind::Documentation), // RFC 2544: benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24, Kind::Documentation), // RFC 5737: TEST-NET-2
    (Ipv4Addr::new(203, 0, 113, 0), 24, Kind::Documentation), // RFC 5737: TEST-NET-3
    (Ipv4Addr::new(224, 0, 0, 0), 4, Kind::Multicast), // RFC 1112
    (Ipv4Addr::BROADCAST, 32, Kind::Multicast),    // RFC 919: broadcast
    (Ipv4Addr::new(240, 0, 0, 0), 4, Kind::Reserved), // RFC 1112
];

/// Inside 2000::/3, but for the first rows; what is in no row and outside it is reserved.
const V6: &[(Ipv6Addr, u32, Kind)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, Kind::Unspecified), // RFC 4291
    (Ipv6Addr::LOCALHOST, 128, Kind::Loopback),      // RFC 4291
    (net(0xfc00, 0, 0), 7, Kind::Private),           // RFC 4193: unique local
    (net(0xfe80, 0, 0), 10, Kind::LinkLocal),        // RFC 4291
    (net(0xfec0, 0, 0), 10, Kind::LinkLocal),        // RFC 3879: site-local
    (net(0xff00, 0, 0), 8, Kind::Multicast),         // RFC 4291
    (net(0x2001, 0xdb8, 0), 32, Kind::Documentation), // RFC 3849
    (net(0x3fff, 0, 0), 20, Kind::Documentation),    // RFC 9637
    (net(0x2001, 2, 0), 48, Kind::Documentation),    // RFC 5180: benchmarks
    (net(0x2001, 0, 0), 23, Kind::Reserved),         // RFC 2928: protocols, ORCHID (RFC 7343)
    (net(0x2000, 0, 0), 3, Kind::Public),            // IANA: global unicast
];

const fn net(a: u16, b: u16, c: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)
}

/// Link-local but for three; some clouds give them to customers alone, none to the world.
const METADATA_V4: &[Ipv4Addr] = &[
    Ipv4Addr::new(169, 254, 169, 254), // nearly all
    Ipv4Addr::new(169, 254, 170, 2),   // container credentials
    Ipv4Addr::new(169, 254, 170, 23),  // pod identity
    Ipv4Addr::new(169, 254, 42, 42),
    Ipv4Addr::new(168, 63, 129, 16), // "wire server"
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

const METADATA_V6: &[Ipv6Addr] = &[
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];

fn v4(ip: Ipv4Addr) -> Kind {
    if METADATA_V4.contains(&ip) {
        return Kind::Metadata;
    }
    let row = V4.iter().find(|(net, bits, _)| {
        let mask = u32::MAX << (32 - bits);
        ip.to_bits() & mask == net.to_bits()
    });
    row.map_or(Kind::Public, |(.., kind)| *kind)
}

fn v6(ip: Ipv6Addr) -> Kind {
    if METADATA_V6.contains(&ip) {
        return Kind::Metadata;
    }
    let carried = embedded(ip);
    if carried.iter().any(|ip| METADATA_V4.contains(ip)) {
        return Kind::Metadata;
    }
    if !carried.is_empty() {
        return Kind::Embedded;
    }
    let row = V6.iter().find(|(net, bits, _)| {
        let mask = u128::MAX << (128 - bits);
        ip.to_bits() & mask == net.to_bits()
    });
    row.map_or(Kind::Reserved, |(.., kind)| *kind)
}

/// The IPv4 addresses that an IPv6 address leads to, or might.
pub fn embedded(ip: Ipv6Addr) -> Vec<Ipv4Addr> {
    let o = ip.octets();
    let at = |places: [usize; 4]| Ipv4Addr::from(places.map(|i| o[i]));
    let low = at([12, 13, 14, 15]);
    match ip.segments() {
        // Mapped (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..] => vec![low],
        // `::` and `::1` are IPv6's own; the rest is compatible (RFC 4291).
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => vec![low],
        // NAT64 of one network (RFC 8215): where the address lies depends on the prefix in use.
        [0x64, 0xff9b, 1, ..] => vec![
            low,
            at([6, 7, 9, 10]),
            at([7, 9, 10, 11]),
            at([9, 10, 11, 12]),
        ],
        // 6to4 (RFC 3056).
        [0x2002, ..] => vec![at([2, 3, 4, 5])],
        // Teredo (RFC 4380): the server, and the client with its bits turned over.
        [0x2001, 0, ..] => vec![at([4, 5, 6, 7]), Ipv4Addr::from_bits(!low.to_bits())],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind(ip: &str) -> Kind {
        classify(ip.parse().unwrap())
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table")]
    fn every_block_at_both_ends_and_next_to_them() {
        for (first, last, before, after, want) in [
            ("0.0.0.0", "0.255.255.255", "", "1.0.0.0", Kind::Unspecified),
            (
                "10.0.0.0",
                "10.255.255.255",
                "9.255.255.255",
                "11.0.0.0",
                Kind::Private,
            ),
            (
                "100.64.0.0",
                "100.127.255.255",
                "100.63.255.255",
                "100.128.0.0",
                Kind::Shared,
            ),
            (
                "127.0.0.0",
                "127.255.255.255",
                "126.255.255.255",
                "128.0.0.0",
                Kind::Loopback,
            ),
            (
                "169.254.0.0",
                "169.254.255.255",
                "169.253.255.255",
                "169.255.0.0",
                Kind::LinkLocal,
            ),
            (
                "172.16.0.0",
                "172.31.255.255",
                "172.15.255.255",
                "172.32.0.0",
                Kind::Private,
            ),
            (
                "192.0.0.0",
                "192.0.0.255",
                "191.255.255.255",
                "192.0.1.0",
                Kind::Reserved,
            ),
            (
                "192.0.2.0",
                "192.0.2.255",
                "192.0.1.255",
                "192.0.3.0",
                Kind::Documentation,
            ),
            (
                "192.88.99.0",
                "192.88.99.255",
                "192.88.98.255",
                "192.88.100.0",
                Kind::Reserved,
            ),
            (
                "192.168.0.0",
                "192.168.255.255",
                "192.167.255.255",
                "192.169.0.0",
                Kind::Private,
            ),
            (
                "198.18.0.0",
                "198.19.255.255",
                "198.17.255.255",
                "198.20.0.0",
                Kind::Documentation,
            ),
            (
                "198.51.100.0",
                "198.51.100.255",
                "198.51.99.255",
                "198.51.101.0",
                Kind::Documentation,
            ),
            (
                "203.0.113.0",
                "203.0.113.255",
                "203.0.112.255",
                "203.0.114.0",
                Kind::Documentation,
            ),
            (
                "224.0.0.0",
                "239.255.255.255",
                "223.255.255.255",
                "",
                Kind::Multicast,
            ),
            ("240.0.0.0", "255.255.255.254", "", "", Kind::Reserved),
            (
                "255.255.255.255",
                "255.255.255.255",
                "",
                "",
                Kind::Multicast,
            ),
            (
                "fc00::",
                "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "",
                "",
                Kind::Private,
            ),
            ("fe80::", "febf::ffff", "", "", Kind::LinkLocal),
            ("fec0::", "feff::ffff", "", "", Kind::LinkLocal),
            ("ff00::", "ffff::ffff", "", "", Kind::Multicast),
            (
                "2001:db8::",
                "2001:db8:ffff:ffff::1",
                "2001:db7:ffff::",
                "2001:db9::",
                Kind::Documentation,
            ),
            (
                "3fff::",
                "3fff:fff:ffff::1",
                "3ffe:ffff::",
                "3fff:1000::",
                Kind::Documentation,
            ),
            ("2001:2::", "2001:2:0:ffff::1", "", "", Kind::Documentation),
            ("2001:10::", "2001:1f:ffff::1", "", "", Kind::Reserved),
            (
                "2001:20::",
                "2001:1ff:ffff::1",
                "",
                "2001:200::",
                Kind::Reserved,
            ),
            ("100::", "100::ffff:ffff:ffff:ffff", "", "", Kind::Reserved),
            ("5f00::", "5f00:ffff::1", "", "", Kind::Reserved),
            ("::", "::", "", "", Kind::Unspecified),
            ("::1", "::1", "", "", Kind::Loopback),
            ("4000::", "fbff::1", "3ffe::1", "", Kind::Reserved),
        ] {
            assert_eq!((kind(first), kind(last)), (want, want), "{first}");
            for next in [before, after].into_iter().filter(|ip| !ip.is_empty()) {
                assert_eq!(kind(next), Kind::Public, "{next}");
            }
        }
    }

    #[test]
    fn metadata_in_every_coat() {
        for ip in [
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "::ffff:0:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:a9:fe:a9fe::",
            "64:ff9b:1::a9:fea9:fe00:0",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::1",
            "2001:0:102:304:0:0:5601:5601",
        ] {
            assert_eq!(kind(ip), Kind::Metadata, "{ip}");
            assert_eq!(
                classify(ip.parse().unwrap()).reason(),
                Some(Reason::MetadataAddress)
            );
        }
    }

    #[test]
    fn what_carries_an_ipv4_address_is_never_public() {
        for ip in [
            "::ffff:8.8.8.8",
            "::ffff:10.0.0.1",
            "::8.8.8.8",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::8.8.8.8",
            "2002:808:808::1",
            "2001::1",
        ] {
            assert_eq!(kind(ip), Kind::Embedded, "{ip}");
        }
        assert_eq!(Kind::Embedded.reason(), Some(Reason::EmbedV6));
    }

    proptest! {
        #[test]
        fn public_ipv4_is_what_the_standard_library_calls_none_of(ip: u32) {
            let ip = Ipv4Addr::from_bits(ip);
            if classify(ip.into()) == Kind::Public {
                prop_assert!(!ip.is_private() && !ip.is_loopback() && !ip.is_link_local());
                prop_assert!(!ip.is_multicast() && !ip.is_broadcast() && !ip.is_documentation());
                prop_assert!(!ip.is_unspecified());
            }
        }

        #[test]
        fn no_ipv4_address_is_public_inside_ipv6(ip: u32, form in 0usize..5) {
            let (high, low) = ((ip >> 16) as u16, (ip & 0xffff) as u16);
            prop_assume!(high != 0);
            let ip = [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, high, low, 0, 0, 0, 1),
            ][form];
            prop_assert!(classify(ip.into()).reason().is_some());
        }
    }
}
