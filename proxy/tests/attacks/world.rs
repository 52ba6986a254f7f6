//! A network of the test's own: a name server with hostile answers, an origin that counts what
//! reaches it, the doors, and whoever stands behind them.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use belljar_model::door::{HTTP_DOOR, SOCKS_DOOR};
use belljar_proxy::Doors;

/// The only address that a rule names.
pub(crate) const ORIGIN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Where the proxy asks for names.
pub(crate) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
/// An address of the machine that the proxy runs on.
pub(crate) const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);
/// Ports at which the origin listens; every one that any row names.
pub(crate) const ORIGIN_PORTS: [u16; 8] = [22, 80, 443, 853, 7000, 8080, 9418, 3128];
/// Ports of the policy's rules.
pub(crate) const DOOR_PORTS: [u16; 3] = [80, 443, 7000];

/// Runs the named test again in a user and a network namespace of its own.
pub(crate) fn inside(test: &str) -> bool {
    if std::env::var_os("BELLJAR_INSIDE").is_some() {
        prepare();
        return true;
    }
    let exe = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--kill-child", "--"])
        .arg(exe)
        .args(["--exact", test, "--nocapture"])
        .env("BELLJAR_INSIDE", "1")
        .status()
        .unwrap();
    assert!(status.success(), "see above");
    false
}

fn prepare() {
    let ip = |args: &[&str]| assert!(Command::new("ip").args(args).status().unwrap().success());
    ip(&["link", "set", "lo", "up"]);
    for address in [ORIGIN, NAME_SERVER, OWN] {
        ip(&["addr", "add", &format!("{address}/32"), "dev", "lo"]);
    }
}

/// Leaves the outside: this thread, and those it starts, are in an empty network from now on, as a
/// build is.
pub(crate) fn enter_sandbox() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(up.unwrap().success());
}

/// The doors as init makes them.
pub(crate) fn doors() -> Doors {
    let any = Ipv4Addr::UNSPECIFIED;
    let local = (Ipv4Addr::LOCALHOST, 53);
    Doors {
        dns_udp: UdpSocket::bind(local).unwrap(),
        dns_tcp: TcpListener::bind(local).unwrap(),
        http: TcpListener::bind(HTTP_DOOR).unwrap(),
        socks: TcpListener::bind(SOCKS_DOOR).unwrap(),
        ports: DOOR_PORTS
            .iter()
            .map(|port| (*port, TcpListener::bind((any, *port)).unwrap()))
            .collect(),
    }
}

/// What reached the origin.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// Bytes of any client.
    pub bytes: AtomicU64,
}

impl Origin {
    /// Starts it on every port.
    pub(crate) fn start() -> Arc<Self> {
        let origin = Arc::new(Self::default());
        for port in ORIGIN_PORTS {
            let listener = TcpListener::bind((ORIGIN, port)).unwrap();
            let origin = Arc::clone(&origin);
            thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    let origin = Arc::clone(&origin);
                    thread::spawn(move || origin.serve(client));
                }
            });
        }
        origin
    }

    /// Answers whatever comes with one short page.
    fn serve(&self, mut client: TcpStream) {
        let mut buf = [0; 4096];
        while let Ok(n @ 1..) = client.read(&mut buf) {
            self.bytes.fetch_add(n as u64, Ordering::SeqCst);
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin");
        }
    }
}

/// What a name resolves to, as the outside has it.
fn resolve(name: &str) -> Vec<IpAddr> {
    let v4 = |s: &str| vec![s.parse().unwrap()];
    match name {
        "private.example" | "alias-of-private.example" => v4("10.1.2.3"),
        "loopback.example" => v4("127.0.0.1"),
        "unspecified.example" => v4("0.0.0.0"),
        "metadata.example" | "insists.example" => v4("169.254.169.254"),
        "mixed.example" => vec![ORIGIN.into(), "10.1.2.3".parse().unwrap()],
        "mapped.example" => v4("::ffff:127.0.0.1"),
        "nat64.example" => v4("64:ff9b::a9fe:a9fe"),
        "self.example" => vec![OWN.into()],
        "multicast.example" => v4("224.0.0.1"),
        "nothing.example" => vec![],
        _ => vec![ORIGIN.into()],
    }
}

/// Starts the name server of the outside.
pub(crate) fn start_name_server() {
    let socket = UdpSocket::bind((NAME_SERVER, 53)).unwrap();
    thread::spawn(move || {
        let mut buf = [0; 1500];
        while let Ok((n, from)) = socket.recv_from(&mut buf) {
            if let Some(reply) = reply(&buf[..n], resolve) {
                let _ = socket.send_to(&reply, from);
            }
        }
    });
}

/// Answers a query of one question.
pub(crate) fn reply(query: &[u8], resolve: impl Fn(&str) -> Vec<IpAddr>) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels = Vec::new();
    while let Some(n @ 1..) = query.get(at).map(|n| usize::from(*n)) {
        labels.push(String::from_utf8_lossy(query.get(at + 1..at + 1 + n)?).to_lowercase());
        at += n + 1;
    }
    let question = query.get(12..at + 5)?;
    let kind = u16::from_be_bytes([*query.get(at + 1)?, *query.get(at + 2)?]);
    let name = labels.join(".");
    let mut records = Vec::new();
    if name == "alias.example" {
        let target = b"\x10alias-of-private\x07example\0";
        records.push(
            [
                &b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0"[..],
                &[u8::try_from(target.len()).ok()?],
                target,
            ]
            .concat(),
        );
        records.push(
            b"\x10alias-of-private\x07example\0\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x01\x02\x03"
                .to_vec(),
        );
    } else {
        for address in resolve(&name) {
            let (own, raw) = match address {
                IpAddr::V4(a) => (1u8, a.octets().to_vec()),
                IpAddr::V6(a) => (28, a.octets().to_vec()),
            };
            if u16::from(own) == kind {
                records.push(
                    [
                        &b"\xc0\x0c\0"[..],
                        &[own],
                        b"\0\x01\0\0\0\x3c\0",
                        &[u8::try_from(raw.len()).ok()?],
                        &raw,
                    ]
                    .concat(),
                );
            }
        }
    }
    let code = if name == "nothing.example" { 3 } else { 0 };
    let mut reply = query.get(..2)?.to_vec();
    reply.extend([
        0x81,
        0x80 | code,
        0,
        1,
        0,
        u8::try_from(records.len()).ok()?,
        0,
        0,
        0,
        0,
    ]);
    reply.extend(question);
    reply.extend(records.concat());
    Some(reply)
}

/// Waits for a connection to be taken.
pub(crate) fn dial(to: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    Some(stream)
}
