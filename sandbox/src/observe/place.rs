//! What kind of place an Internet address is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The sandbox's own loopback; an unspecified address reaches it too.
    Loopback,
    /// Where a cloud tells a machine its identity and secrets.
    Metadata,
    /// Private, link-local, multicast or reserved.
    Private,
    /// Anything else. The documentation ranges count here: they look like any public address.
    Public,
}

/// Where `ip` is. IPv6 forms that carry an IPv4 address count as that address.
pub(crate) fn place(ip: IpAddr) -> Place {
    match ip {
        IpAddr::V4(ip) => place_v4(ip),
        IpAddr::V6(ip) => embedded(ip).map_or_else(|| place_v6(ip), place_v4),
    }
}

/// The IPv4 address in a mapped, compatible or NAT64 (RFC 6052) address.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [prefix @ .., high, low] = ip.segments();
    let v4 = Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match prefix {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(v4),
        // `::` and `::1` are IPv6's own.
        [0, 0, 0, 0, 0, 0] if high != 0 => Some(v4),
        _ => None,
    }
}

fn place_v4(ip: Ipv4Addr) -> Place {
    match ip.octets() {
        [127, ..] | [0, 0, 0, 0] => Place::Loopback,
        [169, 254, 169, 254] | [169, 254, 170, 2] | [168, 63, 129, 16] | [100, 100, 100, 200] => {
            Place::Metadata
        }
        [0 | 10 | 224..=255, ..]
        | [100, 64..=127, ..]
        | [169, 254, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [192, 0, 0, _]
        | [198, 18..=19, ..] => Place::Private,
        _ => Place::Public,
    }
}

fn place_v6(ip: Ipv6Addr) -> Place {
    const METADATA: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    ];
    if ip.is_loopback() || ip.is_unspecified() {
        Place::Loopback
    } else if METADATA.contains(&ip) {
        Place::Metadata
    } else if ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_multicast() {
        Place::Private
    } else {
        Place::Public
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str) -> Place {
        place(ip.parse().unwrap())
    }

    #[test]
    fn places() {
        let table = [
            (
                Place::Loopback,
                "127.0.0.1 127.255.255.254 0.0.0.0 ::1 :: ::ffff:127.0.0.1 ::ffff:0.0.0.0 64:ff9b::127.0.0.1",
            ),
            (
                Place::Metadata,
                "169.254.169.254 169.254.170.2 168.63.129.16 100.100.100.200 fd00:ec2::254 fd20:ce::254 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe",
            ),
            (
                Place::Private,
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 169.254.1.1 0.1.2.3 192.0.0.8 198.18.0.1 198.19.9.9 224.0.0.251 239.1.1.1 240.0.0.1 255.255.255.255 fc00::1 fd12::1 fe80::1 ff02::fb ::10.0.0.1",
            ),
            (
                Place::Public,
                "192.0.2.1 198.51.100.1 203.0.113.1 172.32.0.1 172.15.0.1 100.63.0.1 100.128.0.1 198.20.0.1 192.0.1.1 223.255.255.1 2001:db8::1 ::ffff:192.0.2.1 64:ff9b:1::1",
            ),
        ];
        for (place, ips) in table {
            for ip in ips.split(' ') {
                assert_eq!(at(ip), place, "{ip}");
            }
        }
    }
}
