//! Two requests to the kernel's routing, which a build must be refused, and the answer to them.

use std::os::fd::{AsFd, AsRawFd};

use nix::Result;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use crate::sys::net;

const HEADER: usize = 16;
/// Kinds of attributes (linux/if_link.h, linux/rtnetlink.h), which libc has in part.
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const RTA_OIF: u16 = 4;
const LOOPBACK_INDEX: u32 = 1;

/// Asks for an interface of the kind `veth`.
pub(super) fn new_link() -> Vec<u8> {
    let kind = attribute(IFLA_INFO_KIND, b"veth");
    // `struct ifinfomsg`, all zero: the kernel chooses name and number.
    let body = [&[0; 16][..], &attribute(IFLA_LINKINFO, &kind)].concat();
    request(libc::RTM_NEWLINK, &body)
}

/// Asks for a default route by loopback.
pub(super) fn new_default_route() -> Vec<u8> {
    // `struct rtmsg`: everything of IPv4 to the main table, by the administrator, link scope.
    let ipv4 = libc::AF_INET.to_le_bytes()[0];
    let body = [
        ipv4,
        0,
        0,
        0,
        libc::RT_TABLE_MAIN,
        libc::RTPROT_STATIC,
        libc::RT_SCOPE_LINK,
        libc::RTN_UNICAST,
        0,
        0,
        0,
        0,
    ];
    let device = attribute(RTA_OIF, &LOOPBACK_INDEX.to_ne_bytes());
    request(libc::RTM_NEWROUTE, &[&body[..], &device].concat())
}

/// A request that is answered, and makes something new or fails.
fn request(kind: u16, body: &[u8]) -> Vec<u8> {
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut out = length.to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(u16::try_from(flags).unwrap_or(0).to_ne_bytes());
    // Sequence number and own port.
    out.extend([0; 8]);
    out.extend_from_slice(body);
    out
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut out = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// Sends a request to the kernel; its answer, which comes before the send is over.
pub(super) fn ask(request: &[u8]) -> Result<()> {
    let socket = net::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    nix::unistd::write(&socket, request)?;
    let mut answer = [0; 1024];
    let len = recv(
        socket.as_fd().as_raw_fd(),
        &mut answer,
        MsgFlags::MSG_DONTWAIT,
    )?;
    let errno = answer[..len].get(HEADER..).and_then(|a| a.first_chunk());
    match errno.map(|e| i32::from_ne_bytes(*e)) {
        Some(0) => Ok(()),
        Some(errno) => Err(Errno::from_raw(-errno)),
        None => Err(Errno::EBADMSG),
    }
}
