//! The self-test: tries every way out from inside the finished walls, before the command starts.
//!
//! Runs in the build's own process, single-threaded, under every wall; the filter that observes,
//! which is none, comes after all but the last of them. Nothing waits: sockets are
//! non-blocking, and "in progress" is a hole. Addresses are those set aside for documentation;
//! those that a real network might answer (link-local, metadata, multicast, broadcast) are tried
//! only once the network namespace has shown that it holds nothing but loopback. The self-test
//! says what it found; what a hole means is for the caller to say.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use belljar_model::{Label, Probe};
use nix::Result;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;

use super::netlink;
use crate::sys::net;

/// Tries everything.
pub(super) fn all(run: Label) -> Vec<Probe> {
    let empty = only_loopback();
    let mut probes = vec![Probe {
        run,
        attempt: "an interface other than loopback".into(),
        denied: empty,
        answer: if empty { "none" } else { "there is one" }.into(),
    }];
    probes.extend(OUTWARD.iter().map(|(how, to)| outward(run, *how, to)));
    probes.extend(IF_EMPTY.iter().map(|(how, to)| {
        if empty {
            return outward(run, *how, to);
        }
        Probe {
            run,
            attempt: how.attempt(to),
            denied: false,
            answer: "not tried: the network namespace is not empty".into(),
        }
    }));
    probes.extend(WALLS.iter().map(|(attempt, try_it)| {
        let answer = try_it();
        probe(run, (*attempt).into(), answer, is_wall)
    }));
    probes
}

/// What can only be tried once every filter stands and the descriptor table is the build's own;
/// the call that goes through the listener shows that it is served.
pub(super) fn last(run: Label) -> Vec<Probe> {
    let kept = probe(
        run,
        "a descriptor kept over exec".into(),
        kept_descriptor(),
        is_wall,
    );
    vec![outward(run, How::TcpConnect, "192.0.2.254:443"), kept]
}

fn probe(run: Label, attempt: String, result: Result<()>, denies: fn(Errno) -> bool) -> Probe {
    Probe {
        run,
        attempt,
        denied: result.is_err_and(denies),
        answer: result.map_or_else(|e| format!("{e:?}"), |()| "it worked".into()),
    }
}

/// Whether the network namespace has no interface but `lo`; false where that can't be read.
fn only_loopback() -> bool {
    let Ok(table) = std::fs::read_to_string("/proc/thread-self/net/dev") else {
        return false;
    };
    // Two lines of headings, then one an interface: `  lo: 0 0 ...`.
    let mut names = table.lines().skip(2).filter_map(|l| l.split_once(':'));
    names.all(|(name, _)| name.trim() == "lo")
}

/// A way to reach an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
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
const OUTWARD: [(How, &str); 18] = [
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
const IF_EMPTY: [(How, &str); 10] = [
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
    fn attempt(self, to: &str) -> String {
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

fn outward(run: Label, how: How, to: &str) -> Probe {
    probe(run, how.attempt(to), reach(how, to), is_unreachable)
}

/// What an empty network namespace, or a wall before it, answers.
fn is_unreachable(errno: Errno) -> bool {
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

fn reach(how: How, to: &str) -> Result<()> {
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

type Try = fn() -> Result<()>;

/// What walls other than the empty namespace deny.
const WALLS: [(&str, Try); 43] = [
    ("raw socket, icmp", || {
        open_socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)
    }),
    ("raw socket, tcp", || {
        open_socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_TCP)
    }),
    ("raw socket, icmpv6", || {
        open_socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)
    }),
    ("ping socket", || {
        open_socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP)
    }),
    ("packet socket, raw", || {
        open_socket(libc::AF_PACKET, libc::SOCK_RAW, 0)
    }),
    ("packet socket, cooked", || {
        open_socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0)
    }),
    ("sctp socket", || {
        open_socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP)
    }),
    ("sctp socket, one to many", || {
        open_socket(libc::AF_INET, libc::SOCK_SEQPACKET, libc::IPPROTO_SCTP)
    }),
    ("mptcp socket", || {
        open_socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP)
    }),
    ("udplite socket", || {
        open_socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE)
    }),
    ("dccp socket", || {
        open_socket(libc::AF_INET, libc::SOCK_DCCP, libc::IPPROTO_DCCP)
    }),
    ("vsock socket", || {
        open_socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)
    }),
    ("alg socket", || {
        open_socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)
    }),
    ("key socket", || {
        open_socket(libc::AF_KEY, libc::SOCK_RAW, 2)
    }),
    ("rds socket", || {
        open_socket(libc::AF_RDS, libc::SOCK_SEQPACKET, 0)
    }),
    ("tipc socket", || {
        open_socket(libc::AF_TIPC, libc::SOCK_RDM, 0)
    }),
    ("can socket", || {
        open_socket(libc::AF_CAN, libc::SOCK_RAW, 1)
    }),
    ("bluetooth socket", || {
        open_socket(libc::AF_BLUETOOTH, libc::SOCK_RAW, 1)
    }),
    ("smc socket", || open_socket(AF_SMC, libc::SOCK_STREAM, 0)),
    ("xdp socket", || {
        open_socket(libc::AF_XDP, libc::SOCK_RAW, 0)
    }),
    ("netlink socket, xfrm", || {
        netlink_socket(libc::NETLINK_XFRM)
    }),
    ("netlink socket, audit", || {
        netlink_socket(libc::NETLINK_AUDIT)
    }),
    ("netlink socket, netfilter", || {
        netlink_socket(libc::NETLINK_NETFILTER)
    }),
    ("netlink socket, kernel events", || {
        netlink_socket(libc::NETLINK_KOBJECT_UEVENT)
    }),
    ("netlink socket, generic", || {
        netlink_socket(libc::NETLINK_GENERIC)
    }),
    ("netlink socket, crypto", || {
        netlink_socket(libc::NETLINK_CRYPTO)
    }),
    ("netlink: make an interface", || {
        netlink::ask(&netlink::new_link())
    }),
    ("netlink: add a route", || {
        netlink::ask(&netlink::new_default_route())
    }),
    ("io_uring", net::io_uring),
    ("unshare the network namespace", || {
        unshare(CloneFlags::CLONE_NEWNET)
    }),
    ("unshare the user namespace", || {
        unshare(CloneFlags::CLONE_NEWUSER)
    }),
    ("enter init's network namespace", enter_inits_network),
    ("take a descriptor of init", take_a_descriptor_of_init),
    ("open the tun device", || open_file("/dev/net/tun")),
    ("open the vhost device", || open_file("/dev/vhost-net")),
    ("local socket /run/docker.sock", || {
        local(b"/run/docker.sock")
    }),
    ("local socket /var/run/docker.sock", || {
        local(b"/var/run/docker.sock")
    }),
    ("local socket /run/containerd/containerd.sock", || {
        local(b"/run/containerd/containerd.sock")
    }),
    ("local socket /run/dbus/system_bus_socket", || {
        local(b"/run/dbus/system_bus_socket")
    }),
    ("local socket /run/systemd/private", || {
        local(b"/run/systemd/private")
    }),
    ("abstract socket of an X server", || {
        local(b"\0/tmp/.X11-unix/X0")
    }),
    ("abstract socket of a session bus", || {
        local(b"\0/tmp/dbus-session")
    }),
    ("bind a privileged port", || reach(Bind, "127.0.0.1:80")),
];

/// What walls answer. "No such file" and "refused" are for local sockets, whose other end is not there.
fn is_wall(errno: Errno) -> bool {
    is_unreachable(errno)
        || matches!(
            errno,
            Errno::ENOSYS
                | Errno::ENOENT
                | Errno::ECONNREFUSED
                | Errno::ESOCKTNOSUPPORT
                | Errno::ENODEV
                | Errno::ENXIO
                | Errno::ENOTDIR
        )
}

/// `AF_SMC`, which libc lacks.
const AF_SMC: i32 = 43;

fn open_socket(family: i32, kind: i32, protocol: i32) -> Result<()> {
    net::socket(family, kind, protocol).map(drop)
}

fn netlink_socket(protocol: i32) -> Result<()> {
    open_socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol)
}

fn open_file(path: &str) -> Result<()> {
    open(
        path,
        OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK,
        Mode::empty(),
    )
    .map(drop)
}

fn enter_inits_network() -> Result<()> {
    let file = File::open("/proc/1/ns/net");
    let file = file.map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    setns(OwnedFd::from(file), CloneFlags::CLONE_NEWNET)
}

fn take_a_descriptor_of_init() -> Result<()> {
    let init = crate::sys::process::pidfd_open(nix::unistd::Pid::from_raw(1))?;
    crate::sys::pidfd::copy_descriptor(init.as_fd(), 0).map(drop)
}

fn local(name: &[u8]) -> Result<()> {
    let mut address = u16::try_from(libc::AF_UNIX)
        .unwrap_or(0)
        .to_ne_bytes()
        .to_vec();
    address.extend_from_slice(name);
    if name.first() != Some(&0) {
        address.push(0);
    }
    // A datagram socket has another type than most servers': the answer would be EPROTOTYPE, which is
    // a hole too.
    let socket = net::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
    net::connect(socket.as_fd(), &address)
}

/// Looks for a descriptor, other than the three streams, that the command would get.
fn kept_descriptor() -> Result<()> {
    let unreadable = |e: std::io::Error| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    for entry in std::fs::read_dir("/proc/self/fdinfo").map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let number = entry.file_name().to_string_lossy().parse::<u32>();
        let info = std::fs::read_to_string(entry.path());
        // Closed meanwhile: the listing's own.
        let (Ok(3..), Ok(info)) = (number, info) else {
            continue;
        };
        if !closes_on_exec(&info) {
            return Ok(());
        }
    }
    Err(Errno::ENOENT)
}

/// `flags:\t02100002`, in octal.
fn closes_on_exec(info: &str) -> bool {
    let flags = info.lines().find_map(|l| l.strip_prefix("flags:"));
    let flags = flags.and_then(|f| i32::from_str_radix(f.trim(), 8).ok());
    flags.is_some_and(|f| f & libc::O_CLOEXEC != 0)
}

#[cfg(test)]
mod tier_userns;
