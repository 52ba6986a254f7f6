//! What names resolve to, and whom the proxy dials because of it.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;

use belljar_model::{EgressVerdict, Reason};

use crate::world::{
    Echo, ORIGIN, Proxy, Say, addresses, exactly, hello, host, inside, name_server, policy, rest,
    rule,
};

fn ask(proxy: &Proxy, name: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(proxy.http).unwrap();
    write!(
        stream,
        "CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n"
    )
    .unwrap();
    stream.write_all(&hello(Some(name), &[])).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    rest(&mut stream)
}

#[test]
fn one_bad_address_refuses_the_answer() {
    if !inside("outside::one_bad_address_refuses_the_answer") {
        return;
    }
    let ips =
        |list: &[&str]| -> Vec<IpAddr> { list.iter().map(|ip| ip.parse().unwrap()).collect() };
    let many: Vec<String> = (0..300).map(|n| format!("192.0.2.{}", n % 250)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let rows: Vec<(&'static str, Say, Reason)> = vec![
        (
            "private.test",
            addresses(&["10.0.0.5"]),
            Reason::PrivateAddress,
        ),
        (
            "mixed.test",
            addresses(&["192.0.2.10", "10.0.0.5"]),
            Reason::PrivateAddress,
        ),
        (
            "alias.test",
            Say::Alias("inner.test.", ips(&["10.0.0.5"])),
            Reason::PrivateAddress,
        ),
        (
            "loopback.test",
            addresses(&["127.0.0.1"]),
            Reason::PrivateAddress,
        ),
        (
            "metadata.test",
            addresses(&["169.254.169.254"]),
            Reason::MetadataAddress,
        ),
        (
            "mapped.test",
            addresses(&["192.0.2.10", "::ffff:10.0.0.5"]),
            Reason::EmbedV6,
        ),
        (
            "nat64.test",
            addresses(&["64:ff9b::a00:5"]),
            Reason::EmbedV6,
        ),
        (
            "sixtofour.test",
            addresses(&["2002:a00:5::1"]),
            Reason::EmbedV6,
        ),
        (
            "self.test",
            addresses(&["203.0.113.9"]),
            Reason::SelfAddress,
        ),
        ("nothing.test", Say::Nothing, Reason::NoAnswer),
        ("empty.test", addresses(&[]), Reason::NoAnswer),
        ("many.test", addresses(&many), Reason::NoAnswer),
        (
            "spoofed.test",
            Say::WrongId(ips(&["192.0.2.10"])),
            Reason::NoAnswer,
        ),
        (
            "closed.test",
            addresses(&["192.0.2.11"]),
            Reason::Unreachable,
        ),
    ];
    let all: Vec<Echo> = ["192.0.2.10", "10.0.0.5", "169.254.169.254", "203.0.113.9"]
        .iter()
        .map(|ip| Echo::at(ip.parse::<IpAddr>().unwrap(), 443))
        .collect();
    let allowed = ["192.0.2.10", "192.0.2.11", "169.254.169.254"];
    let rules = rows
        .iter()
        .map(|(name, ..)| rule(name, &[443], &allowed))
        .collect();
    name_server(
        rows.iter()
            .map(|(name, say, _)| (*name, say.clone()))
            .collect(),
    );
    let mut host = host();
    host.own = ips(&["127.0.0.1", "203.0.113.9"]);
    let proxy = Proxy::start(policy(rules), host);
    for (n, (name, _, reason)) in rows.iter().enumerate() {
        let got = ask(&proxy, name);
        let d = &proxy.decisions(n + 1)[n];
        assert_eq!(
            (d.verdict, d.reason),
            (EgressVerdict::Deny, *reason),
            "{name}: {d:?}"
        );
        let said = format!("belljar: denied ({}, rule {n})\n", reason.name());
        assert!(
            got.starts_with(b"HTTP/1.1 403 ") && got.ends_with(said.as_bytes()),
            "{name}"
        );
    }
    for echo in &all {
        assert_eq!(echo.connections.load(Ordering::SeqCst), 0);
    }
    let (_, dials) = proxy.stop();
    assert_eq!(dials, 1, "only the closed one");
}

#[test]
fn the_search_list_is_not_used_and_the_hosts_file_is() {
    if !inside("outside::the_search_list_is_not_used_and_the_hosts_file_is") {
        return;
    }
    let asked = name_server(vec![("b.test.corp.test", addresses(&["192.0.2.10"]))]);
    let _origin = Echo::at(ORIGIN, 443);
    let mut host = host();
    host.resolv_conf
        .extend_from_slice(b"search corp.test\noptions ndots:5\n");
    host.hosts = b"192.0.2.10 a.test other\n".to_vec();
    let rules = vec![
        rule("a.test", &[443], &["192.0.2.10"]),
        rule("b.test", &[443], &["192.0.2.10"]),
    ];
    let proxy = Proxy::start(policy(rules), host);
    assert!(ask(&proxy, "a.test").starts_with(b"HTTP/1.1 200 "));
    assert!(asked.lock().unwrap().is_empty());
    assert!(ask(&proxy, "b.test").starts_with(b"HTTP/1.1 403 "));
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|name| name == "b.test."), "{asked:?}");
    proxy.stop();
}

#[test]
fn a_dead_address_is_passed_over() {
    if !inside("outside::a_dead_address_is_passed_over") {
        return;
    }
    name_server(vec![("a.test", addresses(&["192.0.2.11", "192.0.2.10"]))]);
    let _origin = Echo::at(ORIGIN, 443);
    let rules = vec![rule("a.test", &[443], &["192.0.2.10", "192.0.2.11"])];
    let proxy = Proxy::start(policy(rules), host());
    assert!(ask(&proxy, "a.test").starts_with(b"HTTP/1.1 200 "));
    let d = proxy.decisions(1).remove(0);
    assert_eq!(d.dialled, Some((ORIGIN, 443).into()));
    assert_eq!(d.answers.len(), 2);
    proxy.stop();
}

#[test]
fn the_hosts_own_proxy_is_asked_by_name() {
    if !inside("outside::the_hosts_own_proxy_is_asked_by_name") {
        return;
    }
    let asked = name_server(vec![("direct.test", addresses(&["192.0.2.10"]))]);
    let _origin = Echo::at(ORIGIN, 443);
    let listener = TcpListener::bind((ORIGIN, 3128)).unwrap();
    let upstream = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        // What follows at once is the destination's.
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nhi")
            .unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        (String::from_utf8(head).unwrap(), rest)
    });
    let mut host = host();
    host.variables
        .insert("HTTPS_PROXY".into(), "http://u:pw@192.0.2.10:3128".into());
    host.variables
        .insert("NO_PROXY".into(), "direct.test".into());
    let rules = vec![
        rule("a.test", &[443], &[]),
        rule("direct.test", &[443], &["192.0.2.10"]),
    ];
    let proxy = Proxy::start(policy(rules), host);
    let got = ask(&proxy, "a.test");
    assert!(
        got.ends_with(b"\r\n\r\nhi"),
        "{}",
        String::from_utf8_lossy(&got)
    );
    let (head, rest) = upstream.join().unwrap();
    assert_eq!(
        head,
        "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nProxy-Authorization: Basic dTpwdw==\r\n\r\n"
    );
    assert_eq!(rest, hello(Some("a.test"), &[]));
    assert!(
        asked.lock().unwrap().is_empty(),
        "the name is the proxy's to resolve"
    );
    let mut stream = TcpStream::connect(proxy.http).unwrap();
    stream
        .write_all(b"CONNECT direct.test:443 HTTP/1.1\r\nHost: direct.test:443\r\n\r\n")
        .unwrap();
    let hello = hello(Some("direct.test"), &[]);
    stream.write_all(&hello).unwrap();
    assert!(exactly(&mut stream, 39 + hello.len()).ends_with(&hello));
    drop(stream);
    let decisions = proxy.decisions(2);
    assert_eq!(decisions[0].dialled, Some((ORIGIN, 3128).into()));
    assert_eq!(decisions[1].dialled, Some((ORIGIN, 443).into()));
    assert!(!format!("{decisions:?}").contains("dTpwdw"));
    proxy.stop();
}
