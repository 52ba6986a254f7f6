//! Attempts at the egress proxy's doors: what no rule names is refused at each of them.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use belljar_model::door::{HTTP_DOOR, SOCKS_DOOR};
use belljar_model::{Label, Probe};

use crate::observe::names::PORT;

/// A name that no rule names: its suffix is nobody's (RFC 2606).
const NAME: &str = "no-rule-names-this.belljar.invalid";
/// Where a cloud tells a machine its secrets: not public, so let through by nothing.
const METADATA: [u8; 4] = [169, 254, 169, 254];
/// A synthetic address that the name server has given to nobody.
const NOBODYS: Ipv4Addr = Ipv4Addr::new(127, 66, 255, 254);
const PATIENCE: Duration = Duration::from_secs(10);

/// Tries all doors. Where a policy is learned, every public name is let through: then only what is
/// not public is tried, and no name is looked up outside.
pub(super) fn all(run: Label, ports: &[u16], learns: bool) -> Vec<Probe> {
    let metadata = Ipv4Addr::from(METADATA).to_string();
    let host = if learns { &metadata } else { NAME };
    let mut probes = vec![
        probe(
            run,
            format!("CONNECT {host}:443"),
            connect(&format!("{host}:443")),
        ),
        probe(
            run,
            format!("CONNECT {metadata}:80"),
            connect(&format!("{metadata}:80")),
        ),
        probe(
            run,
            format!("GET http://{host}/ by the proxy"),
            get(HTTP_DOOR, &format!("http://{host}/"), host),
        ),
        probe(
            run,
            format!("SOCKS {metadata}:80"),
            socks(&[&[1][..], &METADATA, &[0, 80]].concat()),
        ),
    ];
    if learns {
        return probes;
    }
    let length = u8::try_from(NAME.len()).unwrap_or(0);
    let named = [&[3, length][..], NAME.as_bytes(), &[1, 187]].concat();
    probes.push(probe(run, format!("SOCKS {NAME}:443"), socks(&named)));
    probes.push(probe(run, format!("the address of {NAME}"), address()));
    for port in ports.iter().take(4) {
        let at = SocketAddr::from((NOBODYS, *port));
        probes.push(probe(
            run,
            format!("GET / of {NAME} at {at}"),
            get(at, "/", NAME),
        ));
    }
    probes
}

/// What was answered; `Err` holds the answer of a door that stays shut.
type Answer = Result<String, String>;

fn probe(run: Label, attempt: String, answer: io::Result<Answer>) -> Probe {
    let (denied, answer) = match answer {
        Ok(Err(answer)) => (true, answer),
        Ok(Ok(answer)) => (false, answer),
        Err(e) if is_shut(&e) => (true, format!("{:?}", e.kind())),
        // Whether it is open is not known: then it counts as open.
        Err(e) => (false, format!("{:?}", e.kind())),
    };
    Probe {
        run,
        attempt,
        denied,
        answer,
    }
}

fn is_shut(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, UnexpectedEof};
    matches!(
        e.kind(),
        ConnectionRefused | ConnectionReset | UnexpectedEof
    )
}

fn call(at: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn connect(target: &str) -> io::Result<Answer> {
    status(
        HTTP_DOOR,
        &format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"),
    )
}

fn get(at: SocketAddr, target: &str, host: &str) -> io::Result<Answer> {
    status(
        at,
        &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
    )
}

/// Sends a head and reads the status.
fn status(at: SocketAddr, head: &str) -> io::Result<Answer> {
    let mut stream = call(at)?;
    stream.write_all(head.as_bytes())?;
    let mut line = [0; 12];
    stream.read_exact(&mut line)?;
    let line = String::from_utf8_lossy(&line).into_owned();
    let refused = line.starts_with("HTTP/1.1 4") || line.starts_with("HTTP/1.1 5");
    Ok(if refused { Err(line) } else { Ok(line) })
}

/// A CONNECT to this address, type and port included (RFC 1928).
fn socks(to: &[u8]) -> io::Result<Answer> {
    let mut stream = call(SOCKS_DOOR)?;
    stream.write_all(&[5, 1, 0])?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen)?;
    if chosen != [5, 0] {
        return Ok(Err(format!("{chosen:?}")));
    }
    stream.write_all(&[&[5, 1, 0][..], to].concat())?;
    let mut reply = [0; 2];
    stream.read_exact(&mut reply)?;
    let text = format!("reply {}", reply[1]);
    Ok(if reply[1] == 0 { Ok(text) } else { Err(text) })
}

/// Asks the name server.
fn address() -> io::Result<Answer> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((Ipv4Addr::LOCALHOST, PORT))?;
    let mut query = vec![0, 66, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in NAME.split('.') {
        query.push(u8::try_from(label.len()).unwrap_or(0));
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    socket.send(&query)?;
    let mut answer = [0; 512];
    let len = socket.recv(&mut answer)?;
    let code = answer[3] & 15;
    let text = format!("code {code}");
    let none = len >= 12 && answer[6..8] == [0, 0];
    Ok(if none && code != 0 {
        Err(text)
    } else {
        Ok(text)
    })
}
