//! What a call that names a destination amounts to: its class, and why it was denied or let be.
//!
//! Pure. The rules describe what an empty network namespace makes of a call; they decide nothing.

use std::net::IpAddr;

use belljar_model::{Class, EgressVerdict, Reason};

use super::address::Destination;
use super::place::{Place, place};

/// What kind of call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Ties a socket to a destination; sends something only on a stream.
    Connect,
    /// Sends.
    Send,
    /// Names an own address.
    Bind,
}

/// What a socket speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Raw IP.
    Raw,
    /// ICMP by ping socket.
    Icmp,
    /// Another, by the kernel's name in lower case.
    Other(String),
    /// Not known.
    Unknown,
}

impl Protocol {
    /// From the kernel's name of a socket's protocol.
    pub(crate) fn from_kernel(name: &[u8]) -> Self {
        match name {
            b"TCP" | b"TCPv6" => Self::Tcp,
            b"UDP" | b"UDPv6" => Self::Udp,
            b"RAW" | b"RAWv6" => Self::Raw,
            b"PING" | b"PINGv6" => Self::Icmp,
            _ => Self::Other(String::from_utf8_lossy(name).to_ascii_lowercase()),
        }
    }

    /// The name in documents.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Raw => "raw",
            Self::Icmp => "icmp",
            Self::Other(name) => name,
            Self::Unknown => "unknown",
        }
    }
}

/// How a call counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Judged {
    /// Whether it gates.
    pub(crate) class: Class,
    /// Why.
    pub(crate) reason: Reason,
    /// What became of it.
    pub(crate) verdict: EgressVerdict,
}

const fn denied(class: Class, reason: Reason) -> Judged {
    Judged {
        class,
        reason,
        verdict: EgressVerdict::Deny,
    }
}

const fn inside(class: Class) -> Judged {
    Judged {
        class,
        reason: Reason::Inside,
        verdict: EgressVerdict::None,
    }
}

/// Judges a call; `None` where it names nobody. `exists` says whether a socket's path is there
/// inside the sandbox.
pub(crate) fn judge(
    act: Act,
    protocol: &Protocol,
    to: &Destination,
    exists: bool,
) -> Option<Judged> {
    match to {
        Destination::Ip { ip, .. } => internet(act, protocol, *ip),
        Destination::UnixPath(_) | Destination::UnixAbstract(_) | Destination::UnixUnnamed
            if act == Act::Bind =>
        {
            None
        }
        Destination::UnixPath(path) => Some(unix(path.as_bytes(), exists)),
        Destination::Netlink { .. } if act == Act::Bind => None,
        Destination::UnixAbstract(_) | Destination::UnixUnnamed | Destination::Netlink { .. } => {
            Some(inside(Class::LocalIpc))
        }
        // Ends an association, or asks for any port.
        Destination::Unspecified if act != Act::Send => None,
        Destination::Other { .. } => Some(denied(outward(act), Reason::AfDenied)),
        Destination::Unspecified | Destination::Unknown { .. } => {
            Some(denied(outward(act), Reason::Unknown))
        }
    }
}

/// A bind sends nothing, wherever it points.
fn outward(act: Act) -> Class {
    match act {
        Act::Bind => Class::Probe,
        Act::Connect | Act::Send => Class::External,
    }
}

fn internet(act: Act, protocol: &Protocol, ip: IpAddr) -> Option<Judged> {
    let place = place(ip);
    if place == Place::Loopback {
        return (act != Act::Bind).then(|| inside(Class::Loopback));
    }
    // Without a route a datagram socket can't be tied to anything, so nothing is sent by it later.
    let class = match (act, protocol) {
        (Act::Connect, Protocol::Udp) => Class::Probe,
        _ => outward(act),
    };
    let reason = match (place, protocol) {
        (_, Protocol::Raw) => Reason::RawSocket,
        (Place::Metadata, _) => Reason::MetadataAddress,
        (Place::Private, _) => Reason::PrivateAddress,
        (_, Protocol::Udp) => Reason::UdpNoRoute,
        _ => Reason::IpLiteral,
    };
    Some(denied(class, reason))
}

/// Where the C library and NSS modules ask for users and hosts before they look at files.
const NAME_SERVICES: [&[u8]; 7] = [
    b"/run/nscd/",
    b"/var/run/nscd/",
    b"/run/systemd/",
    b"/var/run/systemd/",
    b"/var/lib/sss/",
    b"/run/avahi-daemon/",
    b"/var/run/avahi-daemon/",
];

fn unix(path: &[u8], exists: bool) -> Judged {
    if exists {
        return inside(Class::LocalIpc);
    }
    let class = if NAME_SERVICES.iter().any(|s| path.starts_with(s)) {
        Class::Probe
    } else {
        Class::LocalIpc
    };
    denied(class, Reason::UnixSocketDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Destination {
        Destination::Ip {
            ip: text.parse().unwrap(),
            port: 443,
            scope: 0,
        }
    }

    fn says(act: Act, protocol: &Protocol, to: &Destination) -> Option<(Class, Reason)> {
        judge(act, protocol, to, false).map(|j| (j.class, j.reason))
    }

    #[test]
    fn internet_calls() {
        let (public, loopback, metadata) =
            (ip("192.0.2.1"), ip("127.0.0.1"), ip("169.254.169.254"));
        let table = [
            (
                Act::Connect,
                Protocol::Tcp,
                &public,
                Some((Class::External, Reason::IpLiteral)),
            ),
            (
                Act::Connect,
                Protocol::Udp,
                &public,
                Some((Class::Probe, Reason::UdpNoRoute)),
            ),
            (
                Act::Send,
                Protocol::Udp,
                &public,
                Some((Class::External, Reason::UdpNoRoute)),
            ),
            (
                Act::Send,
                Protocol::Raw,
                &public,
                Some((Class::External, Reason::RawSocket)),
            ),
            // TCP fast open.
            (
                Act::Send,
                Protocol::Tcp,
                &public,
                Some((Class::External, Reason::IpLiteral)),
            ),
            (
                Act::Connect,
                Protocol::Unknown,
                &public,
                Some((Class::External, Reason::IpLiteral)),
            ),
            (
                Act::Connect,
                Protocol::Tcp,
                &metadata,
                Some((Class::External, Reason::MetadataAddress)),
            ),
            (
                Act::Connect,
                Protocol::Udp,
                &metadata,
                Some((Class::Probe, Reason::MetadataAddress)),
            ),
            (
                Act::Connect,
                Protocol::Tcp,
                &loopback,
                Some((Class::Loopback, Reason::Inside)),
            ),
            (Act::Bind, Protocol::Tcp, &loopback, None),
            (
                Act::Bind,
                Protocol::Tcp,
                &public,
                Some((Class::Probe, Reason::IpLiteral)),
            ),
        ];
        for (act, protocol, to, expected) in table {
            assert_eq!(
                says(act, &protocol, to),
                expected,
                "{act:?} {protocol:?} {to:?}"
            );
        }
    }

    #[test]
    fn other_calls() {
        let any = Protocol::Unknown;
        let path = |p: &str| Destination::UnixPath(p.into());
        assert_eq!(
            says(Act::Connect, &any, &path("/run/nscd/socket")),
            Some((Class::Probe, Reason::UnixSocketDenied))
        );
        assert_eq!(
            says(Act::Connect, &any, &path("/run/docker.sock")),
            Some((Class::LocalIpc, Reason::UnixSocketDenied))
        );
        let there = judge(Act::Connect, &any, &path("/tmp/s"), true).unwrap();
        assert_eq!(
            (there.class, there.reason, there.verdict),
            (Class::LocalIpc, Reason::Inside, EgressVerdict::None)
        );
        assert_eq!(says(Act::Bind, &any, &path("/tmp/s")), None);
        let kernel = Destination::Netlink {
            port_id: 0,
            groups: 0,
        };
        assert_eq!(
            says(Act::Send, &any, &kernel),
            Some((Class::LocalIpc, Reason::Inside))
        );
        assert_eq!(says(Act::Connect, &any, &Destination::Unspecified), None);
        let vsock = Destination::Other {
            family: 40,
            bytes: vec![],
        };
        assert_eq!(
            says(Act::Connect, &any, &vsock),
            Some((Class::External, Reason::AfDenied))
        );
        let unknown = Destination::Unknown { family: None };
        assert_eq!(
            says(Act::Connect, &any, &unknown),
            Some((Class::External, Reason::Unknown))
        );
    }
}
