//! The name server in a network namespace of its own.

use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::WaitStatus;

use super::*;
use crate::sys::link::loopback_up;
use crate::sys::probe::in_child;

/// Runs `body` in a child with an empty network, where it may bind low ports; what it returned.
fn in_own_network(body: impl FnOnce() -> String) -> String {
    let (text, end) = in_child(|| {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).unwrap();
        loopback_up().unwrap();
        body()
    });
    assert!(matches!(end, WaitStatus::Exited(_, 0)), "{end:?}");
    text
}

fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut packet = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, kind.to_be_bytes()[1], 0, 1]);
    packet
}

fn client() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(("127.0.0.1", names::PORT)).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    client
}

fn lines(egress: &Egress) -> String {
    let log = egress.finish();
    let line = |r: &EgressRecord| {
        format!(
            "{:?} {} {} {} {}\n",
            r.layer,
            r.event,
            r.ask.host,
            r.class.name(),
            r.proc.attrib
        )
    };
    let lines: Vec<_> = log.records.iter().map(line).collect();
    format!("{}lost {}", lines.concat(), log.lost)
}

#[test]
fn queries_are_answered_and_recorded_with_their_process() {
    let text = in_own_network(|| {
        let egress = Egress::new(Label::A, None);
        egress.begin_command();
        egress.serve_names(NameSocket::open().unwrap()).unwrap();
        let (known, stranger) = (client(), client());
        // What the handler does when it sees the connect.
        let me = i32::try_from(std::process::id()).unwrap();
        let fd = u64::try_from(known.as_raw_fd()).unwrap();
        let named = Named {
            destination: Destination::Ip {
                ip: [127, 0, 0, 1].into(),
                port: names::PORT,
                scope: 0,
            },
            protocol: Protocol::Udp,
            socket: socket_number(me, fd),
            payload: Vec::new(),
            exists: true,
        };
        egress.saw("connect", Act::Connect, me, vec![named], || true);
        let mut room = [0; 512];
        for (from, name, kind) in [
            (&known, "Host.Example", A),
            (&known, "host.example", AAAA),
            (&known, "host.example", 16),
            (&known, "localhost", A),
            (&stranger, "other.example", A),
        ] {
            from.send(&query(name, kind)).unwrap();
            let len = from.recv(&mut room).unwrap();
            assert_eq!(
                (room[0], room[1], room[3] & 0xf),
                (0xab, 0xcd, 3),
                "NXDOMAIN"
            );
            assert!(len > 12);
        }
        stranger.send(b"no query").unwrap();
        lines(&egress)
    });
    let expected = [
        "Dns query host.example external notify",
        "Dns query-txt host.example external notify",
        "Dns query localhost loopback notify",
        "Dns query other.example external unknown",
        "Dns datagram 127.0.0.1 loopback unknown",
        "lost 0",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn queries_that_found_no_room_are_counted_as_lost() {
    let text = in_own_network(|| {
        let egress = Egress::new(Label::A, None);
        egress.begin_command();
        let socket = NameSocket::open().unwrap();
        let client = client();
        let sent = (0..5000)
            .filter(|_| client.send(&query("x.example", A)).is_ok())
            .count();
        egress.serve_names(socket).unwrap();
        let log = egress.finish();
        format!("{} {} {}", sent, log.records.len(), log.lost)
    });
    let numbers: Vec<u64> = text.split(' ').map(|n| n.parse().unwrap()).collect();
    let [sent, kept, lost] = numbers[..] else {
        panic!("{text}")
    };
    assert!(lost > 0 && kept > 0, "{text}");
    assert_eq!(sent, kept + lost, "{text}");
}

#[test]
fn nothing_is_recorded_before_the_command() {
    let egress = Egress::new(Label::A, None);
    assert_eq!(egress.rehearsed(), 0);
    assert!(!egress.is_recording());
    assert_eq!(egress.rehearsed(), 1);
    egress.begin_command();
    assert!(egress.is_recording());
    assert_eq!(egress.rehearsed(), 1);
    assert_eq!(egress.finish().records, []);
}
