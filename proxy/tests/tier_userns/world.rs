//! A small world: a namespace, a proxy in it, a supervisor, destinations and a name server.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use belljar_model::door::{Arrival, Decision, FromProxy, ToProxy};
use belljar_model::{Policy, Rule, Tls};
use belljar_proxy::{Doors, Extras, Host, Role, Setup, prepare_with, serve};
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{RData, Record, rdata};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, socketpair};

pub(crate) const LONG: Duration = Duration::from_secs(20);
/// Where destinations are.
pub(crate) const ORIGIN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
const INSIDE: &str = "BELLJAR_PROXY_TEST_INSIDE";

/// Runs the rest of the test in a namespace of its own: `true` inside.
pub(crate) fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let prepare = "set -e; ip link set lo up
        for a in 192.0.2.10 192.0.2.11 192.0.2.53 198.51.100.7 203.0.113.9 10.0.0.5 169.254.169.254; do ip addr add $a/32 dev lo; done
        ip -6 addr add 2001:db8::10/128 dev lo nodad
        ulimit -n 16384 || true
        exec \"$@\"";
    let status = Command::new("unshare")
        .args(["-Urn", "--", "sh", "-c", prepare, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test}: {status}");
    false
}

pub(crate) fn rule(host: &str, ports: &[u16], addresses: &[&str]) -> Rule {
    Rule {
        host: host.into(),
        ports: ports.to_vec(),
        methods: vec!["GET".into(), "HEAD".into()],
        paths: Vec::new(),
        addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
        tls: Tls::Tunnel,
        raw: false,
        websocket: false,
        max_up: 4 << 20,
        max_down: None,
        reason: None,
    }
}

pub(crate) fn policy(allow: Vec<Rule>) -> Policy {
    Policy {
        allow,
        ..Policy::default()
    }
}

/// The host that the proxy sees; names come from the name server of the test.
pub(crate) fn host() -> Host {
    Host {
        resolv_conf: format!("nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n")
            .into_bytes(),
        ..Host::default()
    }
}

pub(crate) struct Proxy {
    pub(crate) http: SocketAddr,
    pub(crate) socks: SocketAddr,
    pub(crate) dns: SocketAddr,
    pub(crate) heard: Arc<Heard>,
    channel: Arc<UnixDatagram>,
    served: JoinHandle<u8>,
    hearing: JoinHandle<Option<(u64, u64, u64)>>,
}

/// What a supervisor hears.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) arrivals: Mutex<Vec<Arrival>>,
    pub(crate) decisions: Mutex<Vec<Decision>>,
    /// Processes are not looked for.
    pub(crate) silent: AtomicBool,
}

impl Proxy {
    pub(crate) fn start(policy: Policy, host: Host) -> Self {
        Self::start_as(policy, host, Role::Live, Extras::default())
    }

    pub(crate) fn start_as(policy: Policy, host: Host, role: Role, extras: Extras) -> Self {
        let any = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            nix::sys::socket::listen(&listener, Backlog::MAXALLOWABLE).unwrap();
            listener
        };
        let mut numbers: Vec<u16> = policy.allow.iter().flat_map(|r| r.ports.clone()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let ports = numbers
            .iter()
            .map(|port| (*port, TcpListener::bind(("127.66.1.0", *port)).unwrap()));
        let doors = Doors {
            dns_udp: UdpSocket::bind("127.0.0.1:53").unwrap(),
            dns_tcp: TcpListener::bind("127.0.0.1:53").unwrap(),
            http: any(),
            socks: any(),
            ports: ports.collect(),
        };
        let (http, socks) = (
            doors.http.local_addr().unwrap(),
            doors.socks.local_addr().unwrap(),
        );
        let setup = Setup { policy, role, host };
        let prepared = prepare_with(setup, extras).unwrap();
        let pair = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        );
        let (ours, theirs): (OwnedFd, OwnedFd) = pair.unwrap();
        let served = std::thread::spawn(move || serve(prepared, doors, UnixDatagram::from(theirs)));
        let channel = Arc::new(UnixDatagram::from(ours));
        let heard = Arc::new(Heard::default());
        let hearing = {
            let (channel, heard) = (Arc::clone(&channel), Arc::clone(&heard));
            std::thread::spawn(move || hear(&channel, &heard))
        };
        Self {
            http,
            socks,
            dns: "127.0.0.1:53".parse().unwrap(),
            heard,
            channel,
            served,
            hearing,
        }
    }

    pub(crate) fn known(&self, id: u64) {
        tell(&self.channel, ToProxy::Known(id));
    }

    /// The decisions, once there are so many.
    pub(crate) fn decisions(&self, count: usize) -> Vec<Decision> {
        wait_for(
            || self.heard.decisions.lock().unwrap().len() >= count,
            "decisions",
        );
        self.heard.decisions.lock().unwrap().clone()
    }

    /// Stops it: its decisions, and the number of connections it made.
    pub(crate) fn stop(self) -> (Vec<Decision>, u64) {
        tell(&self.channel, ToProxy::Stop);
        assert_eq!(self.served.join().unwrap(), 0);
        let (said, lost, dials) = self.hearing.join().unwrap().expect("a last word");
        let decisions = self.heard.decisions.lock().unwrap().clone();
        assert_eq!((said, lost), (decisions.len() as u64, 0));
        for (n, decision) in decisions.iter().enumerate() {
            assert_eq!(decision.seq, n as u64, "a gap");
        }
        (decisions, dials)
    }
}

fn tell(channel: &UnixDatagram, what: ToProxy) {
    channel.send(&serde_json::to_vec(&what).unwrap()).unwrap();
}

fn hear(channel: &UnixDatagram, heard: &Heard) -> Option<(u64, u64, u64)> {
    let mut bytes = vec![0; 65536];
    loop {
        let n = channel.recv(&mut bytes).ok().filter(|n| *n > 0)?;
        match serde_json::from_slice(&bytes[..n]).unwrap() {
            FromProxy::Arrived(arrival) => {
                heard.arrivals.lock().unwrap().push(arrival);
                if !heard.silent.load(Ordering::Relaxed) {
                    tell(channel, ToProxy::Known(arrival.id));
                }
            }
            FromProxy::Decided(decision) => heard.decisions.lock().unwrap().push(*decision),
            FromProxy::Done {
                decisions,
                lost,
                dials,
            } => return Some((decisions, lost, dials)),
        }
    }
}

pub(crate) fn wait_for(what: impl Fn() -> bool, name: &str) {
    let since = Instant::now();
    while !what() {
        assert!(since.elapsed() < LONG, "waited too long for {name}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A destination that answers everything with itself.
pub(crate) struct Echo {
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) bytes: Arc<AtomicUsize>,
}

impl Echo {
    pub(crate) fn at(ip: impl Into<IpAddr>, port: u16) -> Self {
        let listener = TcpListener::bind((ip.into(), port)).unwrap();
        let echo = Self {
            connections: Arc::default(),
            bytes: Arc::default(),
        };
        let (connections, bytes) = (Arc::clone(&echo.connections), Arc::clone(&echo.bytes));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (mut stream, bytes) = (stream.unwrap(), Arc::clone(&bytes));
                std::thread::spawn(move || {
                    let mut buffer = vec![0; 65536];
                    while let Ok(n) = stream.read(&mut buffer) {
                        bytes.fetch_add(n, Ordering::SeqCst);
                        if n == 0 || stream.write_all(&buffer[..n]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        echo
    }
}

/// What the name server says of a name.
#[derive(Clone)]
pub(crate) enum Say {
    Addresses(Vec<IpAddr>),
    /// An alias, and the addresses of what it stands for.
    Alias(&'static str, Vec<IpAddr>),
    Nothing,
    WrongId(Vec<IpAddr>),
}

pub(crate) fn addresses(list: &[&str]) -> Say {
    Say::Addresses(list.iter().map(|ip| ip.parse().unwrap()).collect())
}

/// A name server on UDP and TCP; the questions that it was asked.
pub(crate) fn name_server(names: Vec<(&'static str, Say)>) -> Arc<Mutex<Vec<String>>> {
    let names: Arc<HashMap<_, _>> = Arc::new(names.into_iter().collect());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let socket = UdpSocket::bind((NAME_SERVER, 53)).unwrap();
    let listener = TcpListener::bind((NAME_SERVER, 53)).unwrap();
    let (names2, asked2) = (Arc::clone(&names), Arc::clone(&asked));
    let all = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut packet = [0; 4096];
        while let Ok((n, from)) = socket.recv_from(&mut packet) {
            let reply = reply(&names, &asked, &packet[..n]);
            let reply = if reply.len() > 1200 {
                let mut cut = Message::from_vec(&reply).unwrap();
                cut.answers.clear();
                cut.metadata.truncation = true;
                cut.to_vec().unwrap()
            } else {
                reply
            };
            socket.send_to(&reply, from).unwrap();
        }
    });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 2];
            while stream.read_exact(&mut length).is_ok() {
                let mut packet = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut packet).unwrap();
                let reply = reply(&names2, &asked2, &packet);
                let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
                stream.write_all(&[&length[..], &reply].concat()).unwrap();
            }
        }
    });
    all
}

fn reply(names: &HashMap<&'static str, Say>, asked: &Mutex<Vec<String>>, packet: &[u8]) -> Vec<u8> {
    let query = Message::from_vec(packet).unwrap();
    let question = query.queries[0].clone();
    let name = question.name().to_ascii().to_ascii_lowercase();
    asked.lock().unwrap().push(name.clone());
    let mut id = query.metadata.id;
    let mut records = Vec::new();
    let mut code = ResponseCode::NoError;
    let owner = question.name().clone();
    let mut add = |owner: &hickory_proto::rr::Name, ips: &[IpAddr]| {
        for ip in ips {
            let data = RData::from(*ip);
            if data.record_type() == question.query_type() {
                records.push(Record::from_rdata(owner.clone(), 60, data));
            }
        }
    };
    match names.get(name.trim_end_matches('.')) {
        None | Some(Say::Nothing) => code = ResponseCode::NXDomain,
        Some(Say::Addresses(ips)) => add(&owner, ips),
        Some(Say::WrongId(ips)) => {
            id = id.wrapping_add(1);
            add(&owner, ips);
        }
        Some(Say::Alias(to, ips)) => {
            let to: hickory_proto::rr::Name = to.parse().unwrap();
            add(&to, ips);
            let alias = RData::CNAME(rdata::CNAME(to.clone()));
            records.insert(0, Record::from_rdata(owner.clone(), 60, alias));
        }
    }
    let mut reply = Message::new(id, MessageType::Response, OpCode::Query);
    reply.metadata.response_code = code;
    reply.metadata.recursion_desired = true;
    reply.metadata.recursion_available = true;
    reply.add_query(question);
    reply.add_answers(records);
    reply.to_vec().unwrap()
}

/// Sends all of it, and reads until the other end is done or nothing comes any more.
pub(crate) fn talk(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).unwrap();
    let _ = stream.write_all(bytes);
    rest(&mut stream)
}

pub(crate) fn rest(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut got = Vec::new();
    let mut buffer = vec![0; 65536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return got,
            Ok(n) => got.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return got,
            Err(e) => panic!("{e} after {got:?}"),
        }
    }
}

/// Reads exactly so many bytes.
pub(crate) fn exactly(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut got = vec![0; count];
    stream.read_exact(&mut got).unwrap();
    got
}

/// A TLS hello with this name and these further extensions.
pub(crate) fn hello(name: Option<&str>, more: &[(u16, &[u8])]) -> Vec<u8> {
    let of = |bytes: &[u8]| {
        [
            &u16::try_from(bytes.len()).unwrap().to_be_bytes()[..],
            bytes,
        ]
        .concat()
    };
    let mut extensions = Vec::new();
    let mut add = |kind: u16, data: &[u8]| {
        extensions.extend_from_slice(&kind.to_be_bytes());
        extensions.extend(of(data));
    };
    if let Some(name) = name {
        add(0, &of(&[&[0][..], &of(name.as_bytes())].concat()));
    }
    add(43, &[2, 3, 4]);
    add(16, &of(b"\x08http/1.1"));
    for (kind, data) in more {
        add(*kind, data);
    }
    let mut body = vec![3, 3];
    body.extend_from_slice(&[9; 32]);
    body.extend_from_slice(&[0, 0, 2, 0x13, 1, 1, 0]);
    body.extend(of(&extensions));
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    [&[22, 3, 1][..], &of(&message)].concat()
}
