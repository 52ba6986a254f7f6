//! Ways out that walls other than the empty namespace deny: seccomp, capabilities, the mounts.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use nix::Result;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;

use super::outward::{How, is_unreachable, reach};
use crate::observe::netlink;
use crate::sys::net;

pub(super) type Try = fn() -> Result<()>;

/// What walls other than the empty namespace deny.
pub(super) const WALLS: [(&str, Try); 43] = [
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
    ("bind a privileged port", || {
        reach(How::Bind, "127.0.0.1:80")
    }),
];

/// What walls answer. "No such file" and "refused" are for local sockets, whose other end is not there.
pub(super) fn is_wall(errno: Errno) -> bool {
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

pub(super) fn local(name: &[u8]) -> Result<()> {
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
