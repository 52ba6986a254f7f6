//! A socket address as a process handed it to the kernel: any bytes of any length.
//!
//! Pure. What the kernel would refuse (a length too short for the family) is read as far as it
//! goes, since the attempt is what is of interest; nothing here decides what it means.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use belljar_model::OsText;

/// The kernel takes no longer address (`struct sockaddr_storage`).
pub(crate) const LONGEST: usize = 128;

/// Who was addressed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Destination {
    /// An Internet address.
    Ip {
        /// As given: a mapped IPv4 address is still an IPv6 one.
        ip: IpAddr,
        /// The port.
        port: u16,
        /// The interface, where one is named.
        scope: u32,
    },
    /// A socket in the file system.
    UnixPath(OsText),
    /// A socket in the network namespace's own name space, without the leading NUL.
    UnixAbstract(OsText),
    /// A local address without a name.
    UnixUnnamed,
    /// Netlink: 0 is the kernel.
    Netlink {
        /// The receiver.
        port_id: u32,
        /// Multicast groups.
        groups: u32,
    },
    /// `AF_UNSPEC`: ends an association; some calls take it for IPv4 (see [`Destination::unspecified`]).
    Unspecified,
    /// Another family, with the bytes after it.
    Other {
        /// Its number.
        family: u16,
        /// The rest.
        bytes: Vec<u8>,
    },
    /// Too short to tell, or not readable.
    Unknown {
        /// The family, if that much could be read.
        family: Option<u16>,
    },
}

/// Reads an address. Bytes past [`LONGEST`] are not looked at.
pub(crate) fn parse(bytes: &[u8]) -> Destination {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let Some((family, rest)) = bytes.split_first_chunk::<2>() else {
        return Destination::Unknown { family: None };
    };
    let family = u16::from_ne_bytes(*family);
    let unknown = Destination::Unknown {
        family: Some(family),
    };
    match i32::from(family) {
        libc::AF_UNSPEC => Destination::Unspecified,
        libc::AF_INET => inet(rest).unwrap_or(unknown),
        libc::AF_INET6 => inet6(rest).unwrap_or(unknown),
        libc::AF_UNIX => unix(rest),
        libc::AF_NETLINK => netlink(rest).unwrap_or(unknown),
        _ => Destination::Other {
            family,
            bytes: rest.to_vec(),
        },
    }
}

/// The address of a datagram that says `AF_UNSPEC`, which `sendto` on an IPv4 socket takes for
/// `AF_INET`.
pub(crate) fn parse_as_inet(bytes: &[u8]) -> Destination {
    bytes
        .get(2..)
        .and_then(inet)
        .unwrap_or(Destination::Unknown { family: Some(0) })
}

fn inet(rest: &[u8]) -> Option<Destination> {
    let port = u16::from_be_bytes(*rest.first_chunk()?);
    let ip: [u8; 4] = *rest.get(2..)?.first_chunk()?;
    Some(Destination::Ip {
        ip: Ipv4Addr::from(ip).into(),
        port,
        scope: 0,
    })
}

fn inet6(rest: &[u8]) -> Option<Destination> {
    let port = u16::from_be_bytes(*rest.first_chunk()?);
    // Between port and address: four bytes of flow label.
    let ip: [u8; 16] = *rest.get(6..)?.first_chunk()?;
    // The kernel takes an address without the scope, as RFC 2133 had it.
    let scope = rest
        .get(22..)
        .and_then(|s| s.first_chunk())
        .map_or(0, |s| u32::from_ne_bytes(*s));
    Some(Destination::Ip {
        ip: Ipv6Addr::from(ip).into(),
        port,
        scope,
    })
}

fn unix(rest: &[u8]) -> Destination {
    match rest {
        [] => Destination::UnixUnnamed,
        // The whole length is the name, NULs included; trailing ones are padding to a reader.
        [0, name @ ..] => {
            let end = name.iter().rposition(|b| *b != 0).map_or(0, |n| n + 1);
            Destination::UnixAbstract(name[..end].into())
        }
        path => {
            let end = path.iter().position(|b| *b == 0).unwrap_or(path.len());
            Destination::UnixPath(path[..end].into())
        }
    }
}

fn netlink(rest: &[u8]) -> Option<Destination> {
    let rest = rest.get(2..)?;
    let (port_id, rest) = rest.split_first_chunk()?;
    Some(Destination::Netlink {
        port_id: u32::from_ne_bytes(*port_id),
        groups: u32::from_ne_bytes(*rest.first_chunk()?),
    })
}

/// The name of a socket family, or its number.
pub(crate) fn family_name(family: u16) -> String {
    let name = match i32::from(family) {
        libc::AF_UNSPEC => "unspec",
        libc::AF_UNIX => "unix",
        libc::AF_INET => "inet",
        libc::AF_INET6 => "inet6",
        libc::AF_NETLINK => "netlink",
        libc::AF_PACKET => "packet",
        libc::AF_VSOCK => "vsock",
        libc::AF_ALG => "alg",
        libc::AF_KEY => "key",
        libc::AF_RDS => "rds",
        libc::AF_TIPC => "tipc",
        libc::AF_BLUETOOTH => "bluetooth",
        libc::AF_CAN => "can",
        libc::AF_XDP => "xdp",
        other => return other.to_string(),
    };
    name.into()
}

impl Destination {
    /// The family's name, or its number, or `unknown`.
    pub(crate) fn family(&self) -> String {
        match self {
            Self::Ip {
                ip: IpAddr::V4(_), ..
            } => "inet".into(),
            Self::Ip { .. } => "inet6".into(),
            Self::UnixPath(_) | Self::UnixAbstract(_) | Self::UnixUnnamed => "unix".into(),
            Self::Netlink { .. } => "netlink".into(),
            Self::Unspecified => "unspec".into(),
            Self::Other { family, .. }
            | Self::Unknown {
                family: Some(family),
            } => family_name(*family),
            Self::Unknown { family: None } => "unknown".into(),
        }
    }

    /// What documents name as the host.
    pub(crate) fn host(&self) -> OsText {
        match self {
            Self::Ip { ip, scope: 0, .. } => ip.to_canonical().to_string().into(),
            Self::Ip { ip, scope, .. } => format!("{ip}%{scope}").into(),
            Self::UnixPath(path) => path.clone(),
            Self::UnixAbstract(name) => [b"@", name.as_bytes()].concat().into(),
            Self::UnixUnnamed => "unnamed".into(),
            Self::Netlink { port_id: 0, .. } => "kernel".into(),
            Self::Netlink { port_id, .. } => format!("port {port_id}").into(),
            Self::Unspecified => "unspecified".into(),
            Self::Other { bytes, .. } => {
                let shown: Vec<_> = bytes.iter().take(32).map(|b| format!("{b:02x}")).collect();
                shown.concat().into()
            }
            Self::Unknown { .. } => "unknown".into(),
        }
    }

    /// The port, 0 where there is none.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Ip { port, .. } => *port,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(family: i32, rest: &[u8]) -> Vec<u8> {
        let mut out = u16::try_from(family).unwrap().to_ne_bytes().to_vec();
        out.extend_from_slice(rest);
        out
    }

    fn shown(bytes: &[u8]) -> (String, String, u16) {
        let d = parse(bytes);
        (d.family(), d.host().to_string(), d.port())
    }

    fn is(family: &str, host: &str, port: u16) -> (String, String, u16) {
        (family.into(), host.into(), port)
    }

    #[test]
    fn internet_addresses_whole_and_cut() {
        let v4 = bytes(
            libc::AF_INET,
            &[1, 187, 192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0],
        );
        assert_eq!(shown(&v4), is("inet", "192.0.2.7", 443));
        assert_eq!(shown(&v4[..8]), is("inet", "192.0.2.7", 443));
        assert_eq!(shown(&v4[..7]), is("inet", "unknown", 0));
        let mut v6 = vec![0, 80, 0, 0, 0, 0];
        v6.extend_from_slice(&"fe80::1".parse::<Ipv6Addr>().unwrap().octets());
        v6.extend_from_slice(&3u32.to_ne_bytes());
        let v6 = bytes(libc::AF_INET6, &v6);
        assert_eq!(shown(&v6), is("inet6", "fe80::1%3", 80));
        assert_eq!(shown(&v6[..24]), is("inet6", "fe80::1", 80));
        assert_eq!(shown(&v6[..23]), is("inet6", "unknown", 0));
    }

    #[test]
    fn a_mapped_address_is_shown_as_what_it_reaches() {
        let mut v6 = vec![0, 80, 0, 0, 0, 0];
        v6.extend_from_slice(&"::ffff:192.0.2.7".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(
            shown(&bytes(libc::AF_INET6, &v6)),
            is("inet6", "192.0.2.7", 80)
        );
    }

    #[test]
    fn local_names() {
        assert_eq!(shown(&bytes(libc::AF_UNIX, b"")), is("unix", "unnamed", 0));
        assert_eq!(
            shown(&bytes(libc::AF_UNIX, b"/run/x\0junk")),
            is("unix", "/run/x", 0)
        );
        assert_eq!(
            shown(&bytes(libc::AF_UNIX, b"/run/x")),
            is("unix", "/run/x", 0)
        );
        assert_eq!(
            shown(&bytes(libc::AF_UNIX, b"\0na\0me\0\0")),
            is("unix", "@na\\x00me", 0)
        );
        assert_eq!(shown(&bytes(libc::AF_UNIX, b"\0")), is("unix", "@", 0));
    }

    #[test]
    fn other_families_and_nothing_at_all() {
        let nl = bytes(libc::AF_NETLINK, &[0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(shown(&nl), is("netlink", "kernel", 0));
        assert_eq!(
            parse(&nl),
            Destination::Netlink {
                port_id: 0,
                groups: 1
            }
        );
        assert_eq!(
            shown(&bytes(libc::AF_VSOCK, &[0, 0, 2])),
            is("vsock", "000002", 0)
        );
        assert_eq!(shown(&bytes(99, &[])), is("99", "", 0));
        assert_eq!(shown(&[]), is("unknown", "unknown", 0));
        assert_eq!(shown(&[2]), is("unknown", "unknown", 0));
        assert_eq!(
            parse(&bytes(libc::AF_UNSPEC, &[0; 14])),
            Destination::Unspecified
        );
        let d = parse_as_inet(&bytes(libc::AF_UNSPEC, &[0, 53, 192, 0, 2, 1]));
        assert_eq!((d.host().to_string(), d.port()), ("192.0.2.1".into(), 53));
    }

    proptest! {
        #[test]
        fn any_bytes_are_some_destination(family in 0u16..45, rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let d = parse(&bytes(i32::from(family), &rest));
            prop_assert!(d.host().as_bytes().len() <= LONGEST);
            let _ = (d.family(), d.port(), parse_as_inet(&rest));
        }
    }
}
