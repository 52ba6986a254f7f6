//! Programs that know no proxy: the name server, and the ports that its addresses lead to.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use belljar_model::{Class, EgressLayer, EgressVerdict, Reason};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::RecordType;

use crate::world::{
    Echo, LONG, ORIGIN, Proxy, addresses, exactly, hello, host, inside, name_server, policy, rule,
    talk,
};

fn ask(name: &str, kind: RecordType) -> Vec<u8> {
    let mut query = Message::query();
    query.add_query(Query::query(name.parse().unwrap(), kind));
    query.to_vec().unwrap()
}

fn answered(proxy: &Proxy, packet: &[u8]) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket.send_to(packet, proxy.dns).unwrap();
    let mut reply = [0; 2048];
    let n = socket.recv(&mut reply).unwrap();
    Message::from_vec(&reply[..n]).unwrap()
}

fn address(reply: &Message) -> Option<IpAddr> {
    reply
        .answers
        .first()
        .and_then(|record| record.data.ip_addr())
}

#[test]
fn allowed_names_get_addresses_and_nothing_is_asked_outside() {
    if !inside("names::allowed_names_get_addresses_and_nothing_is_asked_outside") {
        return;
    }
    let asked = name_server(vec![("a.test", addresses(&["192.0.2.10"]))]);
    let proxy = Proxy::start(policy(vec![rule("a.test", &[443], &[])]), host());
    let first = Ipv4Addr::new(127, 66, 1, 0);
    let rows = [
        (
            "a.test.",
            RecordType::A,
            ResponseCode::NoError,
            Some(first),
            Reason::Allowed,
        ),
        (
            "A.Test.",
            RecordType::A,
            ResponseCode::NoError,
            Some(first),
            Reason::Allowed,
        ),
        (
            "a.test.",
            RecordType::AAAA,
            ResponseCode::NoError,
            None,
            Reason::Allowed,
        ),
        (
            "a.test.",
            RecordType::HTTPS,
            ResponseCode::NoError,
            None,
            Reason::Allowed,
        ),
        (
            "a.test.",
            RecordType::TXT,
            ResponseCode::Refused,
            None,
            Reason::DnsTypeDenied,
        ),
        (
            "a.test.",
            RecordType::ANY,
            ResponseCode::Refused,
            None,
            Reason::DnsTypeDenied,
        ),
        (
            "_http._tcp.a.test.",
            RecordType::SRV,
            ResponseCode::NXDomain,
            None,
            Reason::Allowed,
        ),
        (
            "b.test.",
            RecordType::A,
            ResponseCode::NXDomain,
            None,
            Reason::DnsNameDenied,
        ),
        (
            "c2VjcmV0.evil.example.",
            RecordType::TXT,
            ResponseCode::NXDomain,
            None,
            Reason::DnsNameDenied,
        ),
        (
            "xa.test.",
            RecordType::A,
            ResponseCode::NXDomain,
            None,
            Reason::DnsNameDenied,
        ),
        (
            "localhost.",
            RecordType::A,
            ResponseCode::NoError,
            Some(Ipv4Addr::LOCALHOST),
            Reason::Inside,
        ),
    ];
    for (n, (name, kind, code, ip, reason)) in rows.into_iter().enumerate() {
        let reply = answered(&proxy, &ask(name, kind));
        assert_eq!(reply.metadata.response_code, code, "{name} {kind}");
        assert_eq!(address(&reply), ip.map(IpAddr::V4), "{name} {kind}");
        let d = &proxy.decisions(n + 1)[n];
        assert_eq!(
            (d.layer, d.reason),
            (EgressLayer::Dns, reason),
            "{name} {kind}"
        );
        assert_eq!(
            d.host.to_string(),
            name.trim_end_matches('.').to_ascii_lowercase()
        );
        let denied = matches!(reason, Reason::DnsNameDenied | Reason::DnsTypeDenied);
        assert_eq!(d.verdict == EgressVerdict::Deny, denied);
        assert_eq!(d.class == Class::Loopback, reason == Reason::Inside);
    }
    // The same over a connection, two questions in one.
    let framed = |packet: Vec<u8>| {
        [
            &u16::try_from(packet.len()).unwrap().to_be_bytes()[..],
            &packet,
        ]
        .concat()
    };
    let mut stream = TcpStream::connect(proxy.dns).unwrap();
    let both = [
        framed(ask("a.test.", RecordType::A)),
        framed(ask("evil.example.", RecordType::A)),
    ]
    .concat();
    stream.write_all(&both).unwrap();
    for code in [ResponseCode::NoError, ResponseCode::NXDomain] {
        let length = exactly(&mut stream, 2);
        let reply = exactly(
            &mut stream,
            u16::from_be_bytes([length[0], length[1]]).into(),
        );
        assert_eq!(
            Message::from_vec(&reply).unwrap().metadata.response_code,
            code
        );
    }
    // What is no question is told so, and goes nowhere.
    let mut two = ask("a.test.", RecordType::A);
    two[5] = 2;
    assert_eq!(
        answered(&proxy, &two[..12]).metadata.response_code,
        ResponseCode::FormErr
    );
    assert!(asked.lock().unwrap().is_empty(), "{asked:?}");
    let (_, dials) = proxy.stop();
    assert_eq!(dials, 0);
}

#[test]
fn an_address_leads_to_its_name() {
    if !inside("names::an_address_leads_to_its_name") {
        return;
    }
    name_server(vec![("a.test", addresses(&["192.0.2.10"]))]);
    let _origin = Echo::at(ORIGIN, 443);
    let proxy = Proxy::start(
        policy(vec![rule("a.test", &[443], &["192.0.2.10"])]),
        host(),
    );
    let Some(IpAddr::V4(ip)) = address(&answered(&proxy, &ask("a.test.", RecordType::A))) else {
        panic!("no address")
    };
    let door = SocketAddr::from((ip, 443));
    let good = hello(Some("a.test"), &[]);
    let mut stream = TcpStream::connect(door).unwrap();
    stream.write_all(&good).unwrap();
    assert_eq!(exactly(&mut stream, good.len()), good);
    drop(stream);
    let d = proxy.decisions(2).remove(1);
    assert_eq!(
        (d.verdict, d.event.as_str()),
        (EgressVerdict::Allow, "transparent")
    );
    assert_eq!((d.host.to_string().as_str(), d.port), ("a.test", 443));
    let alert = |what| vec![21, 3, 3, 0, 2, 2, what];
    for (n, (bytes, back, reason)) in [
        (hello(Some("b.test"), &[]), alert(112), Reason::SniMismatch),
        (hello(None, &[]), alert(112), Reason::SniMissing),
        (b"SSH-2.0-x\r\n".to_vec(), vec![], Reason::NotTls),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(talk(door, &bytes), back);
        assert_eq!(proxy.decisions(n + 3)[n + 2].reason, reason);
    }
    // The same address by SOCKS is the name as well.
    let [a, b, c, e] = ip.octets();
    let mut stream = TcpStream::connect(proxy.socks).unwrap();
    stream
        .write_all(&[5, 1, 0, 5, 1, 0, 1, a, b, c, e, 1, 187])
        .unwrap();
    assert_eq!(exactly(&mut stream, 12)[3], 0);
    stream.write_all(&good).unwrap();
    assert_eq!(exactly(&mut stream, good.len()), good);
    drop(stream);
    let d = proxy.decisions(6).remove(5);
    assert_eq!(
        (d.event.as_str(), d.host.to_string().as_str()),
        ("socks", "a.test")
    );
    proxy.stop();
}

#[test]
fn an_address_that_stands_for_nothing_is_inside() {
    if !inside("names::an_address_that_stands_for_nothing_is_inside") {
        return;
    }
    let proxy = Proxy::start(policy(vec![rule("a.test", &[443], &[])]), host());
    assert_eq!(
        talk(
            "127.66.1.0:443".parse().unwrap(),
            &hello(Some("a.test"), &[])
        ),
        &[21, 3, 3, 0, 2, 2, 49]
    );
    let d = proxy.decisions(1).remove(0);
    assert_eq!(
        (d.verdict, d.reason, d.class),
        (EgressVerdict::Deny, Reason::PrivateAddress, Class::Loopback)
    );
    proxy.stop();
}
