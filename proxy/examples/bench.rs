//! For `scripts/bench.d/proxy`: the proxy with a supervisor that knows everybody, a destination, and
//! clients. Each is a process of its own, told by its arguments, and everything is in one namespace.
#![expect(clippy::exit, reason = "the proxy's code is the process's")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(clippy::print_stdout, reason = "a tool of the bench")]
#![expect(
    clippy::unwrap_used,
    reason = "a bench that can't go on has nothing to say"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use belljar_model::door::{FromProxy, ToProxy};
use belljar_model::{Policy, Rule, Tls};
use belljar_proxy::{Doors, Host, Role, Setup, prepare, serve};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, listen, recv, socketpair,
};

const ORIGIN: &str = "192.0.2.10:443";
const PIECE: usize = 256 * 1024;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["proxy", port] => proxy(port.parse().unwrap()),
        ["origin"] => origin(),
        ["stream", via, streams, bytes] => stream(via, number(streams), number(bytes)),
        ["setup", via, count, at_once] => setup(via, number(count), number(at_once)),
        ["idle", via, count] => idle(via, number(count)),
        _ => panic!("proxy PORT | origin | stream VIA N BYTES | setup VIA N AT_ONCE | idle VIA N"),
    }
}

fn number(word: &str) -> usize {
    word.parse().unwrap()
}

fn proxy(port: u16) {
    let any = || TcpListener::bind("127.0.0.1:0").unwrap();
    let http = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listen(&http, Backlog::MAXALLOWABLE).unwrap();
    let doors = Doors {
        dns_udp: UdpSocket::bind("127.0.0.1:0").unwrap(),
        dns_tcp: any(),
        http,
        socks: any(),
        ports: Vec::new(),
    };
    let mut policy = Policy::default();
    policy.limits.idle_ms = 600_000;
    policy.allow.push(Rule {
        host: "origin.test".into(),
        ports: vec![443],
        methods: vec!["GET".into()],
        paths: Vec::new(),
        addresses: vec!["192.0.2.10".into()],
        tls: Tls::Tunnel,
        raw: false,
        websocket: false,
        max_up: 1 << 40,
        max_down: None,
        reason: None,
    });
    let host = Host {
        hosts: b"192.0.2.10 origin.test\n".to_vec(),
        ..Host::default()
    };
    let setup = Setup {
        policy,
        role: Role::Live,
        host,
    };
    let prepared = prepare(setup).unwrap();
    let pair = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    );
    let (ours, theirs): (OwnedFd, OwnedFd) = pair.unwrap();
    let channel = UnixDatagram::from(ours);
    std::thread::spawn(move || {
        let mut bytes = vec![0; 65536];
        while let Ok(n @ 1..) = channel.recv(&mut bytes) {
            if let FromProxy::Arrived(arrival) = serde_json::from_slice(&bytes[..n]).unwrap() {
                let known = serde_json::to_vec(&ToProxy::Known(arrival.id)).unwrap();
                channel.send(&known).unwrap();
            }
        }
    });
    std::process::exit(serve(prepared, doors, UnixDatagram::from(theirs)).into());
}

/// After a hello: eight bytes say how many to send back; then the same again.
fn origin() {
    let listener = TcpListener::bind(ORIGIN).unwrap();
    listen(&listener, Backlog::MAXALLOWABLE).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let spawned = std::thread::Builder::new()
            .stack_size(512 * 1024)
            .spawn(move || {
                stream.set_nodelay(true).unwrap();
                let piece = vec![b'x'; PIECE];
                let mut hello = vec![0; hello().len()];
                if stream.read_exact(&mut hello).is_err() {
                    return;
                }
                let mut wanted = [0; 8];
                while stream.read_exact(&mut wanted).is_ok() {
                    let mut left = usize::from_be_bytes(wanted);
                    while left > 0 {
                        let Ok(n) = stream.write(&piece[..left.min(PIECE)]) else {
                            return;
                        };
                        left -= n;
                    }
                }
            });
        spawned.unwrap();
    }
}

/// A TLS hello for `origin.test`; nobody here goes on with TLS.
fn hello() -> Vec<u8> {
    let of = |bytes: &[u8]| {
        [
            &u16::try_from(bytes.len()).unwrap().to_be_bytes()[..],
            bytes,
        ]
        .concat()
    };
    let name = of(&[&[0][..], &of(b"origin.test")].concat());
    let extensions = [&[0, 0][..], &of(&name), &[0, 43], &of(&[2, 3, 4])].concat();
    let body = [
        &[3, 3][..],
        &[9; 32],
        &[0, 0, 2, 0x13, 1, 1, 0],
        &of(&extensions),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [
        &[22, 3, 1][..],
        &of(&[&[1][..], &length[1..], &body].concat()),
    ]
    .concat()
}

/// A connection to the destination; `direct`, or by the proxy at this address.
fn open(via: &str) -> TcpStream {
    if via == "direct" {
        let stream = TcpStream::connect(ORIGIN).unwrap();
        stream.set_nodelay(true).unwrap();
        return stream;
    }
    let mut stream = TcpStream::connect(via.parse::<SocketAddr>().unwrap()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
        .write_all(b"CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n")
        .unwrap();
    let mut head = Vec::new();
    let mut buffer = [0; 512];
    while !head.ends_with(b"\r\n\r\n") {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&head));
        head.extend_from_slice(&buffer[..n]);
    }
    assert_eq!(
        head.get(9..12),
        Some(&b"200"[..]),
        "{}",
        String::from_utf8_lossy(&head)
    );
    stream
}

fn ask(stream: &mut TcpStream, first: bool, bytes: usize) {
    let wanted = bytes.to_be_bytes();
    if first {
        stream.write_all(&[&hello()[..], &wanted].concat()).unwrap();
    } else {
        stream.write_all(&wanted).unwrap();
    }
    let mut buffer = vec![0; PIECE];
    let mut left = bytes;
    while left > 0 {
        // Thrown away in the kernel: the client must not be what is measured.
        let n = recv(stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC).unwrap();
        assert!(n > 0, "{left} bytes are missing");
        left -= n;
    }
}

/// GiB/s over all streams, after every one is open.
fn stream(via: &str, streams: usize, bytes: usize) {
    let mut open: Vec<_> = (0..streams).map(|_| open(via)).collect();
    for stream in &mut open {
        ask(stream, true, 1);
    }
    let since = Instant::now();
    std::thread::scope(|scope| {
        for stream in &mut open {
            scope.spawn(move || ask(stream, false, bytes / streams));
        }
    });
    let seconds = since.elapsed().as_secs_f64();
    println!("{}", bytes as f64 / f64::from(1 << 30) / seconds);
}

/// Connections set up in a second, and the middle and the 99th percentile of one, in microseconds:
/// from connect to the first byte of the destination.
fn setup(via: &str, count: usize, at_once: usize) {
    let next = AtomicUsize::new(0);
    let since = Instant::now();
    let mut times: Vec<f64> = std::thread::scope(|scope| {
        let work = || {
            let mut times = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < count {
                let since = Instant::now();
                let mut stream = open(via);
                ask(&mut stream, true, 1);
                times.push(since.elapsed().as_secs_f64() * 1e6);
            }
            times
        };
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect()
    });
    let seconds = since.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    println!("{} {} {}", times.len() as f64 / seconds, at(50), at(99));
}

/// Holds them open until its input ends.
fn idle(via: &str, count: usize) {
    let mut open: Vec<_> = (0..count).map(|_| open(via)).collect();
    for stream in &mut open {
        ask(stream, true, 1);
    }
    println!("open");
    let _ = std::io::stdin().read(&mut [0]);
}
