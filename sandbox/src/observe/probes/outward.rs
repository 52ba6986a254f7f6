//! Destinations outside, which the empty network namespace denies.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use nix::Result;
use nix::errno::Errno;

use crate::sys::net;

/// A way to reach an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    TcpConnect,
    /// The first data in the handshake's first packet.
    TcpFastOpen,
    UdpConnect,
    UdpSendTo,
    /// With `AF_UNSPEC` in the address, which an IPv4 socket takes for `AF_INET`.
    UdpSendToUnspecified,
    UdpSendMessage,
    UdpSendMessages,
    UdpBroadcast,
    Bind,
}

use How::{
    Bind, TcpConnect, TcpFastOpen, UdpBroadcast, UdpConnect, UdpSendMessage, UdpSendMessages,
    UdpSendTo, UdpSendToUnspecified,
};

/// Addresses set aside for documentation (RFC 5737, RFC 3849): nobody has them.
pub(super) const OUTWARD: [(How, &str); 18] = [
    (TcpConnect, "192.0.2.1:443"),
    (TcpConnect, "198.51.100.1:80"),
    (TcpConnect, "203.0.113.1:22"),
    (TcpConnect, "192.0.2.53:53"),
    (TcpConnect, "192.0.2.53:853"),
    (TcpFastOpen, "192.0.2.1:443"),
    (UdpConnect, "192.0.2.1:443"),
    (UdpSendTo, "192.0.2.53:53"),
    (UdpSendToUnspecified, "192.0.2.53:53"),
    (UdpSendMessage, "198.51.100.1:123"),
    (UdpSendMessages, "203.0.113.1:443"),
    (TcpConnect, "[2001:db8::1]:443"),
    (UdpConnect, "[2001:db8::1]:443"),
    (UdpSendTo, "[2001:db8::53]:53"),
    (TcpConnect, "[::ffff:192.0.2.1]:443"),
    (UdpSendTo, "[::ffff:192.0.2.53]:53"),
    (UdpSendMessage, "[2001:db8::1]:123"),
    (Bind, "192.0.2.1:8080"),
];

/// Addresses that a network may answer.
pub(super) const IF_EMPTY: [(How, &str); 10] = [
    (TcpConnect, "169.254.169.254:80"),
    (TcpConnect, "169.254.170.2:80"),
    (TcpConnect, "[fd00:ec2::254]:80"),
    (TcpConnect, "[64:ff9b::c000:201]:443"),
    (UdpSendTo, "169.254.1.1:7"),
    (UdpSendTo, "[fe80::1%1]:7"),
    (UdpSendTo, "224.0.0.251:5353"),
    (UdpSendTo, "[ff02::fb%1]:5353"),
    (UdpSendMessage, "239.255.255.250:1900"),
    (UdpBroadcast, "255.255.255.255:67"),
];

impl How {
    pub(super) fn attempt(self, to: &str) -> String {
        let how = match self {
            TcpConnect => "tcp connect",
            TcpFastOpen => "tcp fast open",
            UdpConnect => "udp connect",
            UdpSendTo => "udp sendto",
            UdpSendToUnspecified => "udp sendto, family unspecified",
            UdpSendMessage => "udp sendmsg",
            UdpSendMessages => "udp sendmmsg",
            UdpBroadcast => "udp broadcast",
            Bind => "bind",
        };
        format!("{how} {to}")
    }
}

/// What an empty network namespace, or a wall before it, answers.
pub(super) fn is_unreachable(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ENETUNREACH
            | Errno::EADDRNOTAVAIL
            | Errno::EPERM
            | Errno::EACCES
            | Errno::EAFNOSUPPORT
            | Errno::EPROTONOSUPPORT
    )
}

pub(super) fn reach(how: How, to: &str) -> Result<()> {
    const DATA: &[u8] = b"belljar";
    let to: SocketAddr = to.parse().map_err(|_| Errno::EINVAL)?;
    let mut address = bytes(to);
    let family = if to.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let kind = match how {
        TcpConnect | TcpFastOpen | Bind => libc::SOCK_STREAM,
        _ => libc::SOCK_DGRAM,
    };
    let socket = net::socket(family, kind, 0)?;
    let socket = socket.as_fd();
    match how {
        TcpConnect | UdpConnect => net::connect(socket, &address),
        TcpFastOpen => net::send_to(socket, DATA, libc::MSG_FASTOPEN, &address),
        UdpSendTo => net::send_to(socket, DATA, 0, &address),
        UdpSendToUnspecified => {
            address[..2].fill(0);
            net::send_to(socket, DATA, 0, &address)
        }
        UdpSendMessage => net::send_message(socket, DATA, &address),
        UdpSendMessages => net::send_messages(socket, DATA, &address),
        UdpBroadcast => {
            net::allow_broadcast(socket)?;
            net::send_to(socket, DATA, 0, &address)
        }
        Bind => net::bind(socket, &address),
    }
}

/// As `struct sockaddr_in` or `sockaddr_in6`.
fn bytes(to: SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(28);
    let family = |f: i32| u16::try_from(f).unwrap_or(0).to_ne_bytes();
    match to.ip() {
        IpAddr::V4(ip) => {
            out.extend(family(libc::AF_INET));
            out.extend(to.port().to_be_bytes());
            out.extend(ip.octets());
            out.extend([0; 8]);
        }
        IpAddr::V6(ip) => {
            let scope = match to {
                SocketAddr::V6(to) => to.scope_id(),
                SocketAddr::V4(_) => 0,
            };
            out.extend(family(libc::AF_INET6));
            out.extend(to.port().to_be_bytes());
            out.extend([0; 4]);
            out.extend(ip.octets());
            out.extend(scope.to_ne_bytes());
        }
    }
    out
}
