//! From a client's port to the number of its socket, asked of the sandbox's network namespace.
//!
//! A `NETLINK_SOCK_DIAG` socket made inside answers for one connection at the cost of one look into
//! the kernel's table, however many there are; where the kernel has none, and for UDP, the
//! namespace's tables are read.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use belljar_model::door::{Arrival, Transport};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

use super::names::{LONGEST_TABLE, Row, parse_row, senders};

/// The tables, in the order in which they are handed over.
const TABLES: [&str; 4] = ["tcp", "tcp6", "udp", "udp6"];

/// What a network namespace tells of its sockets.
#[derive(Debug)]
pub struct Peers {
    tables: [OwnedFd; 4],
    diag: Option<OwnedFd>,
    /// Questions so far.
    asked: AtomicU32,
}

impl Peers {
    /// Opens it for the caller's network namespace. Needs `/proc`.
    pub fn open() -> io::Result<Self> {
        let table = |name| File::open(Path::new("/proc/thread-self/net").join(name));
        let [a, b, c, d] = TABLES.map(table);
        let diag = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        );
        Ok(Self {
            tables: [a?.into(), b?.into(), c?.into(), d?.into()],
            diag: diag.ok(),
            asked: AtomicU32::new(1),
        })
    }

    /// To hand over.
    pub fn as_fds(&self) -> Vec<BorrowedFd<'_>> {
        let tables = self.tables.iter();
        tables.chain(&self.diag).map(AsFd::as_fd).collect()
    }

    /// As handed over by [`Self::as_fds`].
    pub fn from_fds(mut fds: Vec<OwnedFd>) -> Option<Self> {
        let diag = (fds.len() == 5).then(|| fds.pop()).flatten();
        // An answer is there at once; a kernel that never gives one must hold nobody up.
        if let Some(diag) = &diag {
            setsockopt(diag, sockopt::ReceiveTimeout, &TimeVal::new(1, 0)).ok()?;
        }
        Some(Self {
            tables: fds.try_into().ok()?,
            diag,
            asked: AtomicU32::new(1),
        })
    }

    /// The numbers of the sockets that can be at the client's end: one, as a rule; none, where it is
    /// gone; several, where a datagram's sender can't be told from others with its port.
    pub(crate) fn sockets(&self, arrival: &Arrival) -> Vec<u64> {
        let (client, server) = (canonical(arrival.client), canonical(arrival.server));
        match arrival.transport {
            Transport::Tcp => {
                if let Some(diag) = &self.diag {
                    let number = self.asked.fetch_add(1, Ordering::Relaxed);
                    return ask(diag, number, client, server).into_iter().collect();
                }
                let rows = self.rows(0..2).into_iter();
                rows.filter(|row| row.local == client && row.peer == server && row.socket != 0)
                    .map(|row| row.socket)
                    .collect()
            }
            Transport::Udp => senders(self.rows(2..4), client),
        }
    }

    fn rows(&self, tables: std::ops::Range<usize>) -> Vec<Row> {
        let mut rows = Vec::new();
        for table in &self.tables[tables] {
            let mut text = String::new();
            let Ok(mut table) = table.try_clone().map(File::from) else {
                continue;
            };
            // Read anew from its start, the table is of now.
            if table.rewind().is_ok() {
                let _ = table.take(LONGEST_TABLE).read_to_string(&mut text);
            }
            rows.extend(text.lines().skip(1).filter_map(parse_row));
        }
        rows
    }
}

fn canonical(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip().to_canonical(), at.port())
}

const REQUEST: usize = 72;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INODE: usize = 84;

/// Answers to other questions that are passed over.
const MOST_STALE: usize = 16;

/// Asks for one connection by its two ends (sock_diag(7)).
fn ask(diag: &OwnedFd, number: u32, client: SocketAddr, server: SocketAddr) -> Option<u64> {
    let request = request(number, client, server);
    send(diag.as_raw_fd(), &request, MsgFlags::empty()).ok()?;
    let mut answer = [0; 1024];
    for _ in 0..MOST_STALE {
        let len = recv(diag.as_raw_fd(), &mut answer, MsgFlags::empty()).ok()?;
        let answer = answer.get(..len)?;
        // An answer that came too late for its own question is not this one's.
        if answer.get(8..12)? == number.to_ne_bytes() {
            return inode(answer, client.port(), server.port());
        }
    }
    None
}

fn request(number: u32, client: SocketAddr, server: SocketAddr) -> [u8; REQUEST] {
    let mut m = [0; REQUEST];
    m[0..4].copy_from_slice(&72u32.to_ne_bytes());
    m[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    m[6..8].copy_from_slice(&1u16.to_ne_bytes()); // NLM_F_REQUEST
    m[8..12].copy_from_slice(&number.to_ne_bytes());
    let (family, protocol) = match client.ip() {
        IpAddr::V4(_) => (libc::AF_INET, libc::IPPROTO_TCP),
        IpAddr::V6(_) => (libc::AF_INET6, libc::IPPROTO_TCP),
    };
    m[16] = u8::try_from(family).unwrap_or(0);
    m[17] = u8::try_from(protocol).unwrap_or(0);
    m[20..24].fill(0xff); // in any state
    m[24..26].copy_from_slice(&client.port().to_be_bytes());
    m[26..28].copy_from_slice(&server.port().to_be_bytes());
    put(&mut m[28..44], client.ip());
    put(&mut m[44..60], server.ip());
    m[64..72].fill(0xff); // INET_DIAG_NOCOOKIE
    m
}

fn put(place: &mut [u8], ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => place[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => place.copy_from_slice(&ip.octets()),
    }
}

fn inode(answer: &[u8], client: u16, server: u16) -> Option<u64> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let inode = u32::from_ne_bytes(answer.get(INODE..INODE + 4)?.try_into().ok()?);
    // Where there is no such connection the kernel looks for whoever listens at the client's port.
    let ends = answer.get(20..24)? == [client.to_be_bytes(), server.to_be_bytes()].concat();
    // 0: a socket that no descriptor leads to any more.
    (kind == SOCK_DIAG_BY_FAMILY && ends && inode != 0).then_some(u64::from(inode))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::fs::MetadataExt as _;

    use proptest::prelude::*;

    use super::*;

    fn number(fd: &impl AsFd) -> u64 {
        let fd = fd.as_fd().try_clone_to_owned().unwrap();
        File::from(fd).metadata().unwrap().ino()
    }

    #[test]
    fn the_socket_of_a_client_is_found_either_way() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_accepted, from) = listener.accept().unwrap();
        let arrival = Arrival {
            id: 1,
            transport: Transport::Tcp,
            client: from,
            server: listener.local_addr().unwrap(),
        };
        let mut peers = Peers::open().unwrap();
        assert!(peers.diag.is_some(), "this kernel has no sock_diag");
        assert_eq!(peers.sockets(&arrival), [number(&client)]);
        peers.diag = None;
        assert_eq!(peers.sockets(&arrival), [number(&client)]);
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let arrival = Arrival {
            transport: Transport::Udp,
            client: udp.local_addr().unwrap(),
            ..arrival
        };
        assert_eq!(peers.sockets(&arrival), [number(&udp)]);
    }

    #[test]
    fn a_client_that_is_gone_is_not_who_listens_at_its_port() {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let victim = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peers = Peers::open().unwrap();
        let arrival = Arrival {
            id: 1,
            transport: Transport::Tcp,
            client: victim.local_addr().unwrap(),
            server: door.local_addr().unwrap(),
        };
        assert_eq!(peers.sockets(&arrival), [0; 0]);
        peers.diag = None;
        assert_eq!(peers.sockets(&arrival), [0; 0]);
    }

    #[test]
    fn equal_ports_of_two_addresses_are_told_apart_or_not_at_all() {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = UdpSocket::bind("127.0.0.2:0").unwrap();
        let port = one.local_addr().unwrap().port();
        let two = UdpSocket::bind(("127.0.0.3", port)).unwrap();
        let peers = Peers::open().unwrap();
        let arrival = Arrival {
            id: 1,
            transport: Transport::Udp,
            client: two.local_addr().unwrap(),
            server: door.local_addr().unwrap(),
        };
        let mut both = [number(&one), number(&two)];
        both.sort_unstable();
        let mut found = peers.sockets(&arrival);
        found.sort_unstable();
        assert_eq!(found, both);
        drop(two);
        assert_eq!(peers.sockets(&arrival), [0; 0]);
    }

    proptest! {
        #[test]
        fn any_answer_is_taken(answer in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = inode(&answer, 1, 2);
        }
    }
}
