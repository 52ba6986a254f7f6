//! Reads the calls that name a destination out of the caller's memory.
//!
//! Every read is bounded and none waits. Whatever a call holds, it is let through: the network
//! namespace is the wall, and a caller that changes its memory meanwhile changes a record, nothing
//! else.

use std::ffi::CString;
use std::mem::offset_of;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::{Answer, Call, Handler, Target};
use crate::observe::{
    Act, Destination, Egress, LONGEST, LONGEST_QUERY, Named, Protocol, parse, parse_as_inet,
    socket_number,
};
use crate::sys::net::protocol_name;

/// The kernel takes no more messages in one `sendmmsg` (`UIO_MAXIOV`).
const MOST_MESSAGES: usize = 1024;
/// Different destinations of one call that are looked at; the rest is counted as lost.
const MOST_DESTINATIONS: usize = 64;
/// `struct mmsghdr`, which begins with its `struct msghdr`.
const MMSGHDR: usize = size_of::<libc::mmsghdr>();

impl Handler for Egress {
    fn wants(&self, nr: i32) -> bool {
        kind(nr).is_some()
    }

    fn handle(&self, call: &Call, target: &Target<'_>) -> Answer {
        if let Some((event, act)) = kind(call.nr)
            && self.is_recording()
        {
            let (messages, more) = messages(event, call, target);
            if !messages.is_empty() {
                let socket = Socket::of(target.tid(), call.args[0], &messages);
                let named = messages
                    .into_iter()
                    .map(|m| socket.named(m, target))
                    .collect();
                let confirm = || target.confirm().is_ok();
                self.saw(event.name(), act, target.tid(), named, confirm);
            }
            if more > 0 {
                self.lose(more);
            }
        }
        Answer::Continue
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Connect,
    Bind,
    SendTo,
    SendMessage,
    SendMessages,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Bind => "bind",
            Self::SendTo => "sendto",
            Self::SendMessage => "sendmsg",
            Self::SendMessages => "sendmmsg",
        }
    }
}

fn kind(nr: i32) -> Option<(Event, Act)> {
    Some(match libc::c_long::from(nr) {
        libc::SYS_connect => (Event::Connect, Act::Connect),
        libc::SYS_bind => (Event::Bind, Act::Bind),
        libc::SYS_sendto => (Event::SendTo, Act::Send),
        libc::SYS_sendmsg => (Event::SendMessage, Act::Send),
        libc::SYS_sendmmsg => (Event::SendMessages, Act::Send),
        _ => return None,
    })
}

/// What one call, or one message of it, is addressed to, and the first bytes that it sends.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    address: Vec<u8>,
    payload: Vec<u8>,
}

/// The addressed messages of a call, and how many were not looked at.
fn messages(event: Event, call: &Call, target: &Target<'_>) -> (Vec<Message>, u64) {
    let [_, second, third, _, fifth, sixth] = call.args;
    let one = |m: Option<Message>| (m.into_iter().collect(), 0);
    match event {
        // The length is an int: the kernel looks at its low half.
        Event::Connect | Event::Bind => one(Some(Message {
            address: address(target, second, third),
            payload: Vec::new(),
        })),
        Event::SendTo if fifth == 0 => one(None),
        Event::SendTo => one(Some(Message {
            address: address(target, fifth, sixth),
            payload: payload(target, second, third),
        })),
        Event::SendMessage => one(header(target, second)),
        Event::SendMessages => many(target, second, third),
    }
}

/// Reads an address. One that can't be read is as good as one without bytes: unknown.
fn address(target: &Target<'_>, at: u64, len: u64) -> Vec<u8> {
    let len = usize::try_from(len & 0xffff_ffff).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len.min(LONGEST)];
    match target.read(at, &mut bytes) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

fn payload(target: &Target<'_>, at: u64, len: u64) -> Vec<u8> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len.min(LONGEST_QUERY)];
    match target.read(at, &mut bytes) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// Reads one `struct msghdr`; `None` if it has no address.
fn header(target: &Target<'_>, at: u64) -> Option<Message> {
    let mut bytes = [0; size_of::<libc::msghdr>()];
    // What the kernel can't read either names nobody.
    target.read(at, &mut bytes).ok()?;
    parse_header(&bytes).map(|h| h.message(target))
}

/// Where a message's address and its first piece are.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Header {
    name: u64,
    name_len: u64,
    parts: u64,
    parts_len: u64,
}

fn parse_header(bytes: &[u8]) -> Option<Header> {
    let word = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let half = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let header = Header {
        name: word(offset_of!(libc::msghdr, msg_name))?,
        name_len: half(offset_of!(libc::msghdr, msg_namelen))?.into(),
        parts: word(offset_of!(libc::msghdr, msg_iov))?,
        parts_len: word(offset_of!(libc::msghdr, msg_iovlen))?,
    };
    (header.name != 0 && header.name_len != 0).then_some(header)
}

impl Header {
    fn message(self, target: &Target<'_>) -> Message {
        let mut part = [0; size_of::<libc::iovec>()];
        let has_part = self.parts_len > 0 && target.read(self.parts, &mut part).is_ok();
        let word = |at: usize| {
            part[at..]
                .first_chunk()
                .map_or(0, |w| u64::from_ne_bytes(*w))
        };
        Message {
            address: address(target, self.name, self.name_len),
            payload: if has_part {
                payload(target, word(0), word(8))
            } else {
                Vec::new()
            },
        }
    }
}

/// Reads the messages of a `sendmmsg`, each destination once.
fn many(target: &Target<'_>, at: u64, count: u64) -> (Vec<Message>, u64) {
    let count = usize::try_from(count & 0xffff_ffff).unwrap_or(usize::MAX);
    let mut bytes = vec![0; count.min(MOST_MESSAGES) * MMSGHDR];
    if target.read(at, &mut bytes).is_err() {
        // The kernel sends those that can be read: so are those looked at, one by one.
        bytes.truncate(readable(target, at, bytes.len()));
    }
    let mut seen = Vec::new();
    let mut more = 0;
    for header in bytes.chunks_exact(MMSGHDR).filter_map(parse_header) {
        if seen.len() == MOST_DESTINATIONS {
            more += 1;
            continue;
        }
        let message = header.message(target);
        if !seen.contains(&message) {
            seen.push(message);
        }
    }
    (seen, more)
}

/// How many of `len` bytes can be read, by whole headers.
fn readable(target: &Target<'_>, at: u64, len: usize) -> usize {
    let mut header = [0; MMSGHDR];
    let mut whole = 0;
    while whole < len
        && target
            .read(at.saturating_add(whole as u64), &mut header)
            .is_ok()
    {
        whole += MMSGHDR;
    }
    whole
}

/// The socket of a call.
struct Socket {
    protocol: Protocol,
    number: Option<u64>,
}

impl Socket {
    fn of(tid: i32, fd: u64, messages: &[Message]) -> Self {
        // The descriptor is an int, too.
        let fd = fd & 0xffff_ffff;
        let internet = messages.iter().any(|m| {
            matches!(
                parse(&m.address),
                Destination::Ip { .. } | Destination::Unspecified | Destination::Unknown { .. }
            )
        });
        Self {
            protocol: CString::new(format!("/proc/{tid}/fd/{fd}"))
                .ok()
                .and_then(|path| {
                    protocol_name(&path, &mut [0; 32])
                        .ok()
                        .map(Protocol::from_kernel)
                })
                .unwrap_or(Protocol::Unknown),
            number: internet.then(|| socket_number(tid, fd)).flatten(),
        }
    }

    fn named(&self, message: Message, target: &Target<'_>) -> Named {
        let mut destination = parse(&message.address);
        let internet = matches!(
            self.protocol,
            Protocol::Udp | Protocol::Raw | Protocol::Icmp
        );
        if destination == Destination::Unspecified && internet && !message.payload.is_empty() {
            destination = parse_as_inet(&message.address);
        }
        let exists = match &destination {
            Destination::UnixPath(path) => is_there(target.tid(), path.as_path()),
            _ => true,
        };
        Named {
            exists,
            destination,
            protocol: self.protocol.clone(),
            socket: self.number,
            payload: message.payload,
        }
    }
}

/// Whether a path leads to something inside the task's own root. A path below the working folder
/// counts as there: nothing outside has one.
fn is_there(tid: i32, path: &std::path::Path) -> bool {
    if !path.is_absolute() {
        return true;
    }
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let Ok(root) = nix::fcntl::open(
        format!("/proc/{tid}/root").as_str(),
        flags | OFlag::O_DIRECTORY,
        nix::sys::stat::Mode::empty(),
    ) else {
        return true;
    };
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(&root, path, how).is_ok()
}

#[cfg(test)]
mod tier_userns;
