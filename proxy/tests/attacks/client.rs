//! The attacker: takes a row's steps, and tells what came back.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use belljar_model::door::{HTTP_DOOR, SOCKS_DOOR};

use crate::policy::HEAD_MS;
use crate::row::{Door, Reply, Row, Step};
use crate::world::dial;

/// What came of a row.
#[derive(Debug)]
pub(crate) struct Came {
    /// The client's end, by which the record is found.
    pub from: Option<SocketAddr>,
    /// What came back after the last step.
    pub back: Vec<u8>,
    /// The door ended it.
    pub ended: bool,
}

/// Takes the steps; `patience` is how long the last reply may take.
pub(crate) fn attack(row: &Row, patience: Duration) -> Came {
    match row.door {
        Door::Udp => datagram(row, patience),
        Door::Tcp => stream(row, patience, (Ipv4Addr::LOCALHOST, 53).into()),
        Door::Http => stream(row, patience, HTTP_DOOR),
        Door::Socks => stream(row, patience, SOCKS_DOOR),
        Door::Bare(port) => stream(row, patience, (Ipv4Addr::LOCALHOST, port).into()),
        Door::Port(name, port) => {
            let address = address_of(name).unwrap_or(Ipv4Addr::LOCALHOST);
            stream(row, patience, (address, port).into())
        }
    }
}

/// Asks the sandbox's name server.
pub(crate) fn address_of(name: &str) -> Option<Ipv4Addr> {
    let mut query = b"\x56\x78\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).ok()?);
        query.extend(label.as_bytes());
    }
    query.extend(b"\0\0\x01\0\x01");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    socket.send_to(&query, (Ipv4Addr::LOCALHOST, 53)).ok()?;
    let mut buf = [0; 1500];
    let n = socket.recv(&mut buf).ok()?;
    let answers = u16::from_be_bytes([buf[6], buf[7]]);
    let last: [u8; 4] = buf[n.checked_sub(4)?..n].try_into().ok()?;
    (answers == 1).then(|| last.into())
}

fn datagram(row: &Row, patience: Duration) -> Came {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    for step in &row.steps {
        if let Step::Send(bytes) = step {
            let _ = socket.send_to(bytes, (Ipv4Addr::LOCALHOST, 53));
        }
    }
    let mut buf = [0; 1500];
    let n = socket.recv(&mut buf).unwrap_or(0);
    Came {
        from: socket.local_addr().ok(),
        back: buf[..n].to_vec(),
        ended: true,
    }
}

fn stream(row: &Row, patience: Duration, to: SocketAddr) -> Came {
    let Some(mut stream) = dial(to) else {
        return Came {
            from: None,
            back: Vec::new(),
            ended: true,
        };
    };
    let from = stream.local_addr().ok();
    for step in &row.steps {
        match step {
            Step::Send(bytes) => {
                let _ = stream.write_all(bytes);
            }
            Step::Hear => hear(&mut stream),
            // The door's patience is shorter than this client's.
            Step::Wait => std::thread::sleep(Duration::from_millis(2 * HEAD_MS)),
        }
    }
    // An open door would keep the connection; a closed one has nothing more to say.
    let _ = stream.set_read_timeout(Some(patience));
    let mut back = Vec::new();
    let ended = match stream.take(1 << 20).read_to_end(&mut back) {
        Ok(_) => true,
        Err(e) => e.kind() == ErrorKind::ConnectionReset,
    };
    Came { from, back, ended }
}

/// Reads one reply: a head, or what comes in one piece.
fn hear(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut buf = [0; 1];
    loop {
        if !matches!(stream.read(&mut buf), Ok(1)) {
            return;
        }
        seen.push(buf[0]);
        let socks = seen[0] == 5 && (seen.len() == 2 || seen.len() == 10);
        if seen.ends_with(b"\r\n\r\n") || (socks && !more(stream)) {
            return;
        }
    }
}

fn more(stream: &TcpStream) -> bool {
    std::thread::sleep(Duration::from_millis(20));
    stream.set_nonblocking(true).unwrap();
    let more = stream.peek(&mut [0; 1]).is_ok();
    stream.set_nonblocking(false).unwrap();
    more
}

/// Whether that is the reply that the row wants.
pub(crate) fn is(row: &Row, came: &Came) -> bool {
    let back = came.back.as_slice();
    match row.reply {
        Reply::Denied => {
            let text = String::from_utf8_lossy(back);
            let own = text.starts_with("HTTP/1.1 403 ") || text.starts_with("HTTP/1.1 502 ");
            own && text.contains("\r\n\r\nbelljar: ")
        }
        Reply::Socks(code) => back.starts_with(&[5, 0, 5, code]) || back.starts_with(&[5, code]),
        Reply::SocksMethod => back == [5, 0xff],
        // An alert, and never what the origin says.
        Reply::Closed => {
            let said =
                back.is_empty() || back.starts_with(&[0x15]) || back.starts_with(b"HTTP/1.1 408 ");
            came.ended && said
        }
        Reply::Dns(code) => {
            let back = if row.door == Door::Tcp {
                back.get(2..).unwrap_or(&[])
            } else {
                back
            };
            back.len() >= 12 && back[3] & 0xf == code && back[6..8] == [0, 0]
        }
        Reply::Silence => back.is_empty(),
    }
}
