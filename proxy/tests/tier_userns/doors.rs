//! What each door takes, what it denies, and how it says so.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::Ordering;

use belljar_model::door::Decision;
use belljar_model::{EgressVerdict, Reason};

use crate::world::{
    Echo, ORIGIN, Proxy, addresses, exactly, hello, host, inside, name_server, policy, rest, rule,
    talk,
};

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

fn connect(target: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
}

fn denied(reason: &str, rule: &str) -> String {
    let body = format!("belljar: denied ({reason}, rule {rule})\n");
    format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn world() -> (Proxy, Echo, Echo) {
    name_server(vec![
        ("a.test", addresses(&["192.0.2.10"])),
        ("b.test", addresses(&["192.0.2.10"])),
        ("raw.test", addresses(&["192.0.2.10"])),
    ]);
    let (tls, raw) = (Echo::at(ORIGIN, 443), Echo::at(ORIGIN, 22));
    let mut let_through = rule("raw.test", &[22], &["192.0.2.10"]);
    let_through.raw = true;
    let rules = vec![
        rule("a.test", &[80, 443, 8443], &["192.0.2.10"]),
        let_through,
        rule("192.0.2.10", &[443], &["192.0.2.10"]),
    ];
    (Proxy::start(policy(rules), host()), tls, raw)
}

#[test]
fn a_tunnel_passes_and_is_recorded() {
    if !inside("doors::a_tunnel_passes_and_is_recorded") {
        return;
    }
    let (proxy, origin, _) = world();
    let mut stream = TcpStream::connect(proxy.http).unwrap();
    stream.write_all(connect("A.test.:443").as_bytes()).unwrap();
    assert_eq!(exactly(&mut stream, ESTABLISHED.len()), ESTABLISHED);
    let hello = hello(Some("a.test"), &[]);
    // In pieces, each in a segment of its own.
    stream.set_nodelay(true).unwrap();
    for piece in hello.chunks(40) {
        stream.write_all(piece).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(exactly(&mut stream, hello.len()), hello);
    let long: Vec<u8> = (0..1_500_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let sent = long.clone();
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    assert!(rest(&mut stream) == long);
    writing.join().unwrap();
    let (decisions, dials) = {
        proxy.decisions(1);
        proxy.stop()
    };
    let [d] = decisions.as_slice() else {
        panic!("{decisions:?}")
    };
    assert_eq!(
        (d.verdict, d.reason),
        (EgressVerdict::Allow, Reason::Allowed)
    );
    assert_eq!((d.host.to_string().as_str(), d.port), ("a.test", 443));
    assert_eq!((d.event.as_str(), d.protocol.as_str()), ("connect", "tls"));
    assert_eq!(d.exchange.rule, Some(0));
    assert_eq!(d.exchange.sni.as_ref().unwrap().to_string(), "a.test");
    assert_eq!(d.exchange.alpn[0].to_string(), "http/1.1");
    let bytes = (hello.len() + long.len()) as u64;
    assert_eq!((d.up, d.down), (bytes, bytes));
    assert_eq!(d.dialled, Some((ORIGIN, 443).into()));
    assert_eq!((origin.connections.load(Ordering::SeqCst), dials), (1, 1));
}

/// Each row: what is sent, what comes back, why.
#[test]
fn the_http_door_denies() {
    if !inside("doors::the_http_door_denies") {
        return;
    }
    let (proxy, origin, _) = world();
    let tunnel = |bytes: &[u8]| [connect("a.test:443").as_bytes(), bytes].concat();
    let established = |alert: Option<u8>| {
        let alert = alert.map(|what| vec![21, 3, 3, 0, 2, 2, what]);
        [ESTABLISHED.to_vec(), alert.unwrap_or_default()].concat()
    };
    let refused = |reason: &str, rule: &str| denied(reason, rule).into_bytes();
    let none = |reason: &str| refused(reason, "none");
    let mut old = hello(Some("a.test"), &[]);
    let at = old.windows(3).position(|w| w == [2, 3, 4]).unwrap();
    old[at + 2] = 2;
    let rows: Vec<(&str, Vec<u8>, Vec<u8>, Reason)> = vec![
        ("another host", connect("evil.example:443").into(), none("host_not_allowed"), Reason::HostNotAllowed),
        ("a name that ends alike", connect("xa.test:443").into(), none("host_not_allowed"), Reason::HostNotAllowed),
        ("another port", connect("a.test:444").into(), refused("port_not_allowed", "0"), Reason::PortNotAllowed),
        ("an address", connect("198.51.100.7:443").into(), none("private_address"), Reason::PrivateAddress),
        ("no port", connect("a.test").into(), none("bad_request"), Reason::BadRequest),
        ("port 0", connect("a.test:0").into(), none("bad_request"), Reason::BadRequest),
        ("a user", connect("a.test@evil.example:443").into(), none("bad_request"), Reason::BadRequest),
        ("an octal address", connect("0177.0.0.1:443").into(), none("bad_request"), Reason::BadRequest),
        ("a percent sign", connect("%61.test:443").into(), none("bad_request"), Reason::BadRequest),
        ("another Host", b"CONNECT a.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n".into(), none("authority_mismatch"), Reason::AuthorityMismatch),
        ("another port in Host", b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:80\r\n\r\n".into(), none("authority_mismatch"), Reason::AuthorityMismatch),
        ("two Hosts", b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nHost: a.test:443\r\n\r\n".into(), none("smuggling_suspect"), Reason::SmugglingSuspect),
        ("a body", b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nContent-Length: 3\r\n\r\nabc".into(), none("bad_request"), Reason::BadRequest),
        ("an empty body", b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nContent-Length: 0\r\n\r\n".into(), none("bad_request"), Reason::BadRequest),
        ("a chunked body", b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), none("bad_request"), Reason::BadRequest),
        ("a bare line feed", b"CONNECT a.test:443 HTTP/1.1\nHost: a.test:443\n\n".into(), none("smuggling_suspect"), Reason::SmugglingSuspect),
        ("a NUL in the host", b"CONNECT evil\0.a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n".into(), none("smuggling_suspect"), Reason::SmugglingSuspect),
        ("an origin target", b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".into(), none("form_denied"), Reason::FormDenied),
        ("a SOCKS greeting", vec![5, 1, 0, 13, 10, 13, 10], none("bad_request"), Reason::SmugglingSuspect),
        ("SSH on 443", tunnel(b"SSH-2.0-x\r\n"), established(None), Reason::NotTls),
        ("HTTP on 443", tunnel(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"), established(None), Reason::NotTls),
        ("a TLS alert first", tunnel(&[21, 3, 3, 0, 2, 1, 0]), established(Some(49)), Reason::NotTls),
        ("SSL 2", tunnel(&[0x80, 46, 1, 0, 2]), established(Some(49)), Reason::TlsOld),
        ("TLS 1.1", tunnel(&old), established(Some(49)), Reason::TlsOld),
        ("no name", tunnel(&hello(None, &[])), established(Some(112)), Reason::SniMissing),
        ("another name", tunnel(&hello(Some("b.test"), &[])), established(Some(112)), Reason::SniMismatch),
        ("ECH", tunnel(&hello(Some("a.test"), &[(0xfe0d, &[0; 32])])), established(Some(49)), Reason::EchPresent),
        ("ESNI", tunnel(&hello(Some("a.test"), &[(0xffce, &[0; 32])])), established(Some(49)), Reason::EchPresent),
        ("a name for an address", [connect("192.0.2.10:443").as_bytes(), &hello(Some("a.test"), &[])].concat(), established(Some(112)), Reason::SniMismatch),
        ("binary elsewhere", [connect("a.test:8443").as_bytes(), &[0, 1, 2]].concat(), established(None), Reason::NotTls),
    ];
    for (n, (what, sent, back, reason)) in rows.iter().enumerate() {
        let got = talk(proxy.http, sent);
        let d = &proxy.decisions(n + 1)[n];
        assert_eq!(
            (d.verdict, d.reason),
            (EgressVerdict::Deny, *reason),
            "{what}: {d:?}"
        );
        if *what != "a SOCKS greeting" {
            assert_eq!(got, *back, "{what}: {}", String::from_utf8_lossy(&got));
        }
    }
    assert_eq!(origin.bytes.load(Ordering::SeqCst), 0, "something got out");
    let hint = proxy.decisions(1)[0].hint.clone().unwrap();
    assert_eq!(
        hint,
        "add [[egress.allow]] host = \"evil.example\", ports = [443]"
    );
    let (decisions, _) = proxy.stop();
    assert_eq!(decisions.len(), rows.len());
}

#[test]
fn the_socks_door_takes_connect_alone() {
    if !inside("doors::the_socks_door_takes_connect_alone") {
        return;
    }
    let (proxy, _, _) = world();
    let ask = |name: &[u8], port: u16| {
        let length = [u8::try_from(name.len()).unwrap()];
        [
            &[5, 1, 0, 5, 1, 0, 3][..],
            &length,
            name,
            &port.to_be_bytes(),
        ]
        .concat()
    };
    let reply = |code: u8| vec![5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0];
    let rows: Vec<(&str, Vec<u8>, Vec<u8>, Reason)> = vec![
        (
            "another host",
            ask(b"evil.example", 443),
            reply(2),
            Reason::HostNotAllowed,
        ),
        (
            "a NUL",
            ask(b"evil\0.a.test", 443),
            reply(2),
            Reason::BadRequest,
        ),
        (
            "an address in words",
            ask(b"2130706433", 443),
            reply(2),
            Reason::BadRequest,
        ),
        ("port 0", ask(b"a.test", 0), reply(2), Reason::BadRequest),
        (
            "BIND",
            vec![5, 1, 0, 5, 2, 0, 1, 192, 0, 2, 10, 1, 187],
            reply(7),
            Reason::FormDenied,
        ),
        (
            "UDP",
            vec![5, 1, 0, 5, 3, 0, 1, 192, 0, 2, 10, 1, 187],
            reply(7),
            Reason::FormDenied,
        ),
        (
            "another kind of address",
            vec![5, 1, 0, 5, 1, 0, 9, 1, 1],
            reply(8),
            Reason::BadRequest,
        ),
        (
            "an address",
            vec![5, 1, 0, 5, 1, 0, 1, 198, 51, 100, 7, 1, 187],
            reply(2),
            Reason::PrivateAddress,
        ),
        (
            "a mapped address",
            vec![
                5, 1, 0, 5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 5, 1, 187,
            ],
            reply(2),
            Reason::EmbedV6,
        ),
        (
            "SOCKS4",
            vec![4, 1, 1, 187, 192, 0, 2, 10, 0],
            vec![],
            Reason::FormDenied,
        ),
        ("GSSAPI", vec![5, 1, 1], vec![5, 255], Reason::FormDenied),
        (
            "a password",
            vec![5, 1, 2],
            vec![5, 255],
            Reason::FormDenied,
        ),
    ];
    for (n, (what, sent, back, reason)) in rows.iter().enumerate() {
        let got = talk(proxy.socks, sent);
        let d = &proxy.decisions(n + 1)[n];
        assert_eq!(
            (d.verdict, d.reason),
            (EgressVerdict::Deny, *reason),
            "{what}: {d:?}"
        );
        assert_eq!(got, *back, "{what}");
    }
    let good = [ask(b"a.test", 443), hello(Some("a.test"), &[])].concat();
    let mut stream = TcpStream::connect(proxy.socks).unwrap();
    stream.write_all(&good).unwrap();
    let hello = hello(Some("a.test"), &[]);
    assert_eq!(
        exactly(&mut stream, 12 + hello.len()),
        [reply(0), hello].concat()
    );
    drop(stream);
    let d = proxy.decisions(rows.len() + 1).pop().unwrap();
    assert_eq!(
        (d.verdict, d.event.as_str()),
        (EgressVerdict::Allow, "socks")
    );
    proxy.stop();
}

#[test]
fn a_raw_rule_lets_either_end_begin() {
    if !inside("doors::a_raw_rule_lets_either_end_begin") {
        return;
    }
    let (proxy, _, origin) = world();
    let mut stream = TcpStream::connect(proxy.http).unwrap();
    stream.write_all(connect("raw.test:22").as_bytes()).unwrap();
    assert_eq!(exactly(&mut stream, ESTABLISHED.len()), ESTABLISHED);
    // Dialled before the client said anything.
    crate::world::wait_for(
        || origin.connections.load(Ordering::SeqCst) == 1,
        "the dial",
    );
    stream.write_all(b"\0anything").unwrap();
    assert_eq!(exactly(&mut stream, 9), b"\0anything");
    drop(stream);
    let d: Decision = proxy.decisions(1).remove(0);
    assert_eq!((d.verdict, d.up, d.down), (EgressVerdict::Allow, 9, 9));
    proxy.stop();
}

#[test]
fn early_bytes_wait_for_the_verdict_and_then_pass() {
    if !inside("doors::early_bytes_wait_for_the_verdict_and_then_pass") {
        return;
    }
    let (proxy, _, _) = world();
    let hello = hello(Some("a.test"), &[]);
    let mut stream = TcpStream::connect(proxy.http).unwrap();
    stream
        .write_all(&[connect("a.test:443").as_bytes(), &hello].concat())
        .unwrap();
    let back = exactly(&mut stream, ESTABLISHED.len() + hello.len());
    assert_eq!(back, [ESTABLISHED, &hello].concat());
    proxy.stop();
}

#[test]
fn nobody_is_answered_before_its_process_is_known() {
    if !inside("doors::nobody_is_answered_before_its_process_is_known") {
        return;
    }
    let (proxy, _, _) = world();
    proxy.heard.silent.store(true, Ordering::SeqCst);
    let mut streams = Vec::new();
    for (door, bytes) in [
        (proxy.http, connect("a.test:443").into_bytes()),
        (proxy.http, connect("evil.example:443").into_bytes()),
        (proxy.http, b"nonsense\r\n\r\n".to_vec()),
        (proxy.socks, vec![5, 1, 0]),
        (proxy.socks, vec![4]),
    ] {
        let mut stream = TcpStream::connect(door).unwrap();
        stream.write_all(&bytes).unwrap();
        streams.push(stream);
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    for stream in &mut streams {
        stream.set_nonblocking(true).unwrap();
        let early = stream.peek(&mut [0; 1]).unwrap_err();
        assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
        stream.set_nonblocking(false).unwrap();
    }
    for arrival in proxy.heard.arrivals.lock().unwrap().iter() {
        proxy.known(arrival.id);
    }
    for stream in &mut streams {
        stream.set_read_timeout(Some(crate::world::LONG)).unwrap();
        stream.peek(&mut [0; 1]).unwrap();
    }
    proxy.stop();
}
