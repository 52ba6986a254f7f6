//! The name server of the sandbox: it knows no name, and who asked for which is a record.
//!
//! A resolver sends its query by whatever call it likes (`sendmmsg` in glibc, `sendto` in musl,
//! `write` in Go), on a socket that is tied to a server before. So the names are read where all of
//! them arrive: at a socket bound to the sandbox's own 127.0.0.1:53, made inside the network
//! namespace and served from outside. Each query is answered with "no such name" at once, so that
//! no client waits, and nothing is ever passed on.
//!
//! The process is the one whose `connect` or addressed `sendto` named that port: the call was
//! trapped and its socket's number kept, and the port of the query leads to the number by the
//! namespace's own table of sockets.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::dns::{LONGEST_QUERY, Question, question};
use super::identify::Known;
use crate::SetupError;

/// The port that names are asked of.
pub(crate) const PORT: u16 = 53;
/// A namespace's table of UDP sockets is not read further.
pub(super) const LONGEST_TABLE: u64 = 4 << 20;
/// Sockets whose process is kept at the least.
const MAX_ASKERS: usize = 16_384;

/// The bound socket, and the namespace's tables of UDP sockets, which stay readable from outside.
#[derive(Debug)]
pub struct NameSocket {
    socket: OwnedFd,
    tables: [OwnedFd; 2],
}

impl NameSocket {
    /// Opens them in the caller's network namespace, whose loopback is up. Needs the right to bind
    /// a low port there, and `/proc`.
    pub fn open() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, PORT))?;
        socket.set_nonblocking(true)?;
        let table = |name| File::open(Path::new("/proc/thread-self/net").join(name));
        Ok(Self {
            socket: socket.into(),
            tables: [table("udp")?.into(), table("udp6")?.into()],
        })
    }

    /// To hand over.
    pub fn as_fds(&self) -> [BorrowedFd<'_>; 3] {
        [
            self.socket.as_fd(),
            self.tables[0].as_fd(),
            self.tables[1].as_fd(),
        ]
    }

    /// The socket, and the tables.
    pub fn into_parts(self) -> (OwnedFd, [OwnedFd; 2]) {
        (self.socket, self.tables)
    }

    /// As handed over by [`Self::as_fds`].
    pub fn from_fds(fds: Vec<OwnedFd>) -> Option<Self> {
        let [socket, udp, udp6] = fds.try_into().ok()?;
        Some(Self {
            socket,
            tables: [udp, udp6],
        })
    }
}

/// Who is told of each query: the question, or nothing where the packet was none, and the process.
pub(crate) type Heard = dyn Fn(Option<&Question>, Option<&Arc<Known>>) + Send + Sync;

/// The running server.
#[derive(Debug)]
pub(crate) struct Names {
    stop: Arc<EventFd>,
    thread: JoinHandle<u64>,
}

/// Which process asks by which socket.
#[derive(Debug, Default)]
pub(crate) struct Shared(Mutex<Askers>);

/// In two generations, so that those who came last are never forgotten.
#[derive(Debug, Default)]
struct Askers {
    new: HashMap<u64, Arc<Known>>,
    old: HashMap<u64, Arc<Known>>,
}

impl Shared {
    /// Keeps that this socket's process asks.
    pub(crate) fn asks(&self, socket: u64, known: Arc<Known>) {
        let mut askers = self.lock();
        if askers.new.len() >= MAX_ASKERS {
            askers.old = std::mem::take(&mut askers.new);
        }
        askers.new.insert(socket, known);
    }

    /// The process that was seen to ask by this socket.
    pub(crate) fn asker(&self, socket: u64) -> Option<Arc<Known>> {
        let askers = self.lock();
        let found = askers.new.get(&socket).or_else(|| askers.old.get(&socket));
        found.cloned()
    }

    /// The process that was seen to ask by these sockets; none where they are several processes'.
    pub(crate) fn only_asker(&self, sockets: &[u64]) -> Option<Arc<Known>> {
        let (first, others) = sockets.split_first()?;
        let known = self.asker(*first)?;
        let same = |socket: &u64| self.asker(*socket).is_some_and(|k| Arc::ptr_eq(&k, &known));
        others.iter().all(same).then_some(known)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Askers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    /// Serves the socket from a thread of its own.
    pub(crate) fn serve(
        socket: NameSocket,
        shared: Arc<Shared>,
        heard: Box<Heard>,
    ) -> Result<Self, SetupError> {
        let failed = |errno| SetupError::new("serve the sandbox's name socket", errno);
        let stop =
            EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(failed)?;
        let stop = Arc::new(stop);
        let server = Server {
            socket: UdpSocket::from(socket.socket),
            tables: socket.tables.map(File::from),
            shared,
            heard,
        };
        let ended = Arc::clone(&stop);
        let thread = super::quiet_thread("names", move || server.run(&ended))
            .map_err(|e| failed(e.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw)))?;
        Ok(Self { stop, thread })
    }

    /// Answers what is already there and ends; how many queries the kernel dropped.
    pub(crate) fn stop(self) -> u64 {
        // The only error is a full counter, which also wakes.
        let _ = self.stop.write(1);
        self.thread.join().unwrap_or(1)
    }
}

struct Server {
    socket: UdpSocket,
    tables: [File; 2],
    shared: Arc<Shared>,
    heard: Box<Heard>,
}

impl Server {
    fn run(mut self, stop: &EventFd) -> u64 {
        loop {
            let mut fds = [
                PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
                PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                // Nobody is heard any more: that is a loss.
                Err(_) => return 1,
            }
            let ended = fds[1].any() == Some(true);
            self.answer_all();
            if ended {
                return self.dropped();
            }
        }
    }

    fn answer_all(&mut self) {
        let mut packet = [0; LONGEST_QUERY];
        // An error is an empty queue, or a client that is gone.
        while let Ok((len, from)) = self.socket.recv_from(&mut packet) {
            let packet = &packet[..len];
            let question = question(packet);
            let asker = self.asker(from);
            // Before the answer, so that the record is there when the client goes on.
            (self.heard)(question.as_ref(), asker.as_ref());
            if let Some(question) = question {
                let _ = self.socket.send_to(&question.no_such_name(packet), from);
            }
        }
    }

    fn asker(&mut self, from: SocketAddr) -> Option<Arc<Known>> {
        let shared = Arc::clone(&self.shared);
        shared.only_asker(&senders(self.rows(), from))
    }

    /// Queries that found the socket's queue full; one where that is not known.
    fn dropped(&self) -> u64 {
        crate::sys::net::dropped(self.socket.as_fd()).map_or(1, u64::from)
    }

    fn rows(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for table in &mut self.tables {
            let mut text = String::new();
            // Read anew from its start, the table is of now.
            if table.rewind().is_ok() {
                let _ = table.take(LONGEST_TABLE).read_to_string(&mut text);
            }
            rows.extend(text.lines().skip(1).filter_map(parse_row));
        }
        rows
    }
}

/// A line of `/proc/net/udp` or another of its kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The socket's own end.
    pub(super) local: SocketAddr,
    /// The other end, zeros where there is none.
    pub(super) peer: SocketAddr,
    /// The socket's number.
    pub(super) socket: u64,
}

pub(super) fn parse_row(line: &str) -> Option<Row> {
    let fields: Vec<_> = line.split_ascii_whitespace().collect();
    Some(Row {
        local: end(fields.get(1)?)?,
        peer: end(fields.get(2)?)?,
        socket: fields.get(9)?.parse().ok()?,
    })
}

/// An address as the kernel prints it: words of the machine's order, then the port.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let mut bytes = Vec::with_capacity(16);
    for word in address.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    let ip: IpAddr = match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok()?.into(),
        _ => <[u8; 16]>::try_from(bytes).ok()?.into(),
    };
    Some((ip.to_canonical(), u16::from_str_radix(port, 16).ok()?).into())
}

/// The sockets that a datagram from there can be of. One of another address with the same port counts
/// too: a sender may choose which of the loopback's addresses its datagrams come from.
pub(super) fn senders(rows: Vec<Row>, from: SocketAddr) -> Vec<u64> {
    let rows = rows
        .into_iter()
        .filter(|row| row.local.port() == from.port());
    let (mut found, mut own) = (Vec::new(), false);
    for row in rows.filter(|row| row.socket != 0) {
        let ip = row.local.ip();
        own |= ip.is_unspecified() || ip == from.ip().to_canonical();
        found.push(row.socket);
    }
    if !own {
        found.clear();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_kernels_table() {
        let line = " 3027: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 188198 2 00000000c6b2b6b8 5";
        let row = parse_row(line).unwrap();
        assert_eq!(row.local, "127.0.0.1:53".parse().unwrap());
        assert_eq!(row.socket, 188_198);
        let six = "  1: 00000000000000000000000001000000:14E9 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 42 2 0 0";
        let row = parse_row(six).unwrap();
        assert_eq!(row.local, "[::1]:5353".parse().unwrap());
        assert_eq!(row.socket, 42);
        let mapped = six.replace(
            "00000000000000000000000001000000",
            "0000000000000000FFFF00000200007F",
        );
        let row = parse_row(&mapped).unwrap();
        assert_eq!(row.local, "127.0.0.2:5353".parse().unwrap());
        assert_eq!(parse_row("sl local_address"), None);
    }

    #[test]
    fn a_port_that_several_sockets_share_is_nobodys() {
        let row = |local: &str, socket| Row {
            local: local.parse().unwrap(),
            peer: "0.0.0.0:0".parse().unwrap(),
            socket,
        };
        let from = |rows: &[(&str, u64)], from: &str| {
            let rows = rows.iter().map(|(local, socket)| row(local, *socket));
            senders(rows.collect(), from.parse().unwrap())
        };
        let two = [("127.0.0.2:99", 1), ("127.0.0.3:99", 2)];
        assert_eq!(from(&two, "127.0.0.3:99"), [1, 2]);
        assert_eq!(from(&two[..1], "127.0.0.2:99"), [1]);
        assert_eq!(from(&[("0.0.0.0:99", 3)], "127.0.0.1:99"), [3]);
        // Its own is gone; the one that is there is another's.
        assert_eq!(from(&two[..1], "127.0.0.3:99"), [0; 0]);
        assert_eq!(from(&two, "127.0.0.2:98"), [0; 0]);
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert_eq!(crate::sys::net::dropped(socket.as_fd()), Ok(0));
        let to = socket.local_addr().unwrap();
        // More than any default receive buffer takes.
        for _ in 0..2000 {
            sender.send_to(&[0; 1400], to).unwrap();
        }
        assert!(crate::sys::net::dropped(socket.as_fd()).unwrap() > 0);
    }
}
