//! TLS, SOCKS and DNS.

use belljar_model::Reason::{
    self, BadRequest, DnsNameDenied, DnsTypeDenied, EchPresent, FormDenied, HostNotAllowed,
    IpLiteral, MetadataAddress, NotTls, PortNotAllowed, PrivateAddress, SelfAddress, SniMismatch,
    SniMissing, Timeout, TlsOld,
};

use crate::hello::{Hello, record};
use crate::row::{Door, Reply, Row, Step, bytes, connect, lines};

/// The rows.
pub(crate) fn rows() -> Vec<Row> {
    tls().into_iter().chain(socks()).chain(dns()).collect()
}

fn tls() -> Vec<Row> {
    let good = Hello::new(Some("allowed.example"));
    let hellos: Vec<(&str, &str, Vec<u8>, &[Reason])> = vec![
        ("115", "another server's name", Hello::new(Some("evil.example")).bytes(), &[SniMismatch]),
        ("115", "another allowed name", Hello::new(Some("a.wild.example")).bytes(), &[SniMismatch]),
        ("116", "no server's name", Hello::new(None).bytes(), &[SniMissing]),
        ("116", "an empty name", Hello::new(Some("")).bytes(), &[SniMissing, SniMismatch, BadRequest, NotTls]),
        ("116", "an address as a name", Hello::new(Some("192.0.2.10")).bytes(), &[SniMismatch, SniMissing, BadRequest]),
        ("115", "two names", good.clone().and_name(0, b"evil.example").bytes(), &[SniMismatch, BadRequest, NotTls]),
        ("115", "a name of another kind", Hello::new(None).and_name(7, b"allowed.example").bytes(), &[SniMissing, SniMismatch, BadRequest, NotTls]),
        ("115", "the name extension twice", good.clone().extension(0, b"\0\x0f\0\0\x0cevil.example").bytes(), &[SniMismatch, BadRequest, NotTls]),
        ("67", "NUL in the name", Hello::new(Some("allowed.example\0.evil.example")).bytes(), &[SniMismatch, BadRequest]),
        ("44", "an encrypted hello", good.clone().extension(0xfe0d, &[0; 40]).bytes(), &[EchPresent]),
        ("44", "an encrypted name", good.clone().extension(0xffce, &[0; 40]).bytes(), &[EchPresent]),
        ("121", "TLS 1.0", good.clone().versions(0x0301, &[]).bytes(), &[TlsOld]),
        ("121", "TLS 1.1", good.clone().versions(0x0302, &[]).bytes(), &[TlsOld]),
        ("121", "TLS 1.1 among the supported", good.clone().versions(0x0303, &[0x0302, 0x0301]).bytes(), &[TlsOld]),
        ("121", "SSL 3", good.clone().versions(0x0300, &[]).bytes(), &[TlsOld]),
        ("121", "an SSL 2 hello", b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80\x03\x00\x80\x04\x00\x80\x05\x00\x80\x06\x00\x40\x07\x00\xc0\x01\x02\x03\x04\x05\x06\x07\x08".to_vec(), &[TlsOld, NotTls]),
        ("119", "a hello in tiny records for another", Hello::new(Some("evil.example")).records(7), &[SniMismatch]),
        ("119", "a huge hello", record(&[vec![1, 1, 0, 0], vec![0; 16000]].concat()).repeat(5), &[NotTls, BadRequest, SniMissing]),
        ("119", "an alert first", b"\x15\x03\x01\x00\x02\x02\x28".to_vec(), &[NotTls]),
        ("119", "application data first", b"\x17\x03\x03\x00\x05hello".to_vec(), &[NotTls]),
        ("119", "a server's hello", record(b"\x02\x00\x00\x04abcd"), &[NotTls, BadRequest]),
        ("119", "an empty record", record(b""), &[NotTls, BadRequest, Timeout]),
        ("120", "SSH", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), &[NotTls]),
        ("120", "HTTP", b"GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n".to_vec(), &[NotTls]),
        ("120", "bytes of one's own", (0..64).collect(), &[NotTls]),
    ];
    let mut rows = Vec::new();
    for (case, name, hello, reasons) in hellos {
        let row = |door, steps, reply| Row {
            case,
            name,
            door,
            steps,
            reply,
            reasons,
            host: "",
        };
        rows.push(row(
            Door::Http,
            vec![
                connect("allowed.example:443"),
                Step::Hear,
                Step::Send(hello.clone()),
            ],
            Reply::Closed,
        ));
        rows.push(row(
            Door::Port("allowed.example", 443),
            vec![Step::Send(hello)],
            Reply::Closed,
        ));
    }
    let half = good.bytes()[..40].to_vec();
    rows.push(Row {
        case: "119",
        name: "half a hello",
        door: Door::Port("allowed.example", 443),
        steps: vec![Step::Send(half), Step::Wait],
        reply: Reply::Closed,
        reasons: &[Timeout],
        host: "",
    });
    rows
}

/// A request of SOCKS5: command, kind of address, address, port.
fn ask(command: u8, kind: u8, address: &[u8], port: u16) -> Step {
    let mut raw = vec![5, command, 0, kind];
    if kind == 3 {
        raw.push(u8::try_from(address.len()).unwrap());
    }
    raw.extend(address);
    raw.extend(port.to_be_bytes());
    Step::Send(raw)
}

fn socks() -> Vec<Row> {
    let asked: Vec<(&str, &str, Step, u8, &[Reason], &str)> = vec![
        (
            "A2",
            "a name nobody allowed",
            ask(1, 3, b"evil.example", 443),
            2,
            &[HostNotAllowed],
            "evil.example",
        ),
        (
            "A2",
            "another port",
            ask(1, 3, b"allowed.example", 22),
            2,
            &[PortNotAllowed],
            "allowed.example",
        ),
        (
            "95",
            "BIND",
            ask(2, 3, b"allowed.example", 443),
            7,
            &[FormDenied],
            "",
        ),
        (
            "95",
            "UDP ASSOCIATE",
            ask(3, 1, &[0; 4], 0),
            7,
            &[FormDenied],
            "",
        ),
        (
            "95",
            "a command of one's own",
            ask(9, 3, b"allowed.example", 443),
            7,
            &[FormDenied],
            "",
        ),
        (
            "95",
            "a kind of address of one's own",
            ask(1, 9, b"allowed.example", 443),
            8,
            &[FormDenied, BadRequest],
            "",
        ),
        (
            "96",
            "an address",
            ask(1, 1, &[192, 0, 2, 99], 443),
            2,
            &[IpLiteral, PrivateAddress],
            "192.0.2.99",
        ),
        (
            "96",
            "loopback",
            ask(1, 1, &[127, 0, 0, 1], 443),
            2,
            &[IpLiteral, PrivateAddress, SelfAddress],
            "127.0.0.1",
        ),
        (
            "60",
            "metadata",
            ask(1, 1, &[169, 254, 169, 254], 80),
            2,
            &[MetadataAddress, IpLiteral],
            "169.254.169.254",
        ),
        (
            "61",
            "mapped metadata",
            ask(
                1,
                4,
                &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 169, 254, 169, 254],
                80,
            ),
            2,
            &[MetadataAddress, Reason::EmbedV6, IpLiteral],
            "",
        ),
        (
            "67",
            "NUL in the name",
            ask(1, 3, b"evil.example\0.allowed.example", 443),
            2,
            &[BadRequest],
            "",
        ),
        (
            "67",
            "an empty name",
            ask(1, 3, b"", 443),
            2,
            &[BadRequest],
            "",
        ),
        (
            "56",
            "an address as a name",
            ask(1, 3, b"2130706433", 443),
            2,
            &[BadRequest],
            "",
        ),
        (
            "56",
            "an address spelled as a name",
            ask(1, 3, b"192.0.2.99", 443),
            2,
            &[IpLiteral, PrivateAddress, BadRequest],
            "",
        ),
        (
            "75",
            "port 0",
            ask(1, 3, b"allowed.example", 0),
            2,
            &[BadRequest, PortNotAllowed],
            "",
        ),
        (
            "68",
            "a port in the name",
            ask(1, 3, b"allowed.example:443", 443),
            2,
            &[BadRequest],
            "",
        ),
    ];
    let mut rows: Vec<Row> = asked
        .into_iter()
        .map(|(case, name, step, code, reasons, host)| Row {
            case,
            name,
            door: Door::Socks,
            steps: vec![bytes(&[5, 1, 0]), Step::Hear, step],
            reply: Reply::Socks(code),
            reasons,
            host,
        })
        .collect();
    let row = |case, name, steps, reply, reasons| Row {
        case,
        name,
        door: Door::Socks,
        steps,
        reply,
        reasons,
        host: "",
    };
    rows.extend([
        row(
            "95",
            "SOCKS4",
            vec![bytes(b"\x04\x01\x01\xbb\xc0\x00\x02\x63\x00")],
            Reply::Closed,
            &[FormDenied],
        ),
        row(
            "95",
            "SOCKS4a",
            vec![bytes(
                b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00evil.example\x00",
            )],
            Reply::Closed,
            &[FormDenied],
        ),
        row(
            "95",
            "GSSAPI alone",
            vec![bytes(&[5, 1, 1])],
            Reply::SocksMethod,
            &[FormDenied],
        ),
        row(
            "95",
            "a user's name alone",
            vec![bytes(&[5, 1, 2])],
            Reply::SocksMethod,
            &[FormDenied],
        ),
        row(
            "95",
            "no method",
            vec![bytes(&[5, 0])],
            Reply::SocksMethod,
            &[FormDenied, BadRequest],
        ),
        row(
            "79",
            "HTTP at the SOCKS door",
            vec![lines(
                "CONNECT evil.example:443 HTTP/1.1\nHost: evil.example:443\n\n",
            )],
            Reply::Closed,
            &[FormDenied, BadRequest],
        ),
        row(
            "105",
            "half a greeting",
            vec![bytes(&[5]), Step::Wait],
            Reply::Closed,
            &[Timeout],
        ),
        row(
            "115",
            "another name behind SOCKS",
            vec![
                bytes(&[5, 1, 0]),
                Step::Hear,
                ask(1, 3, b"allowed.example", 443),
                Step::Hear,
                Step::Send(Hello::new(Some("evil.example")).bytes()),
            ],
            Reply::Closed,
            &[SniMismatch],
        ),
        row(
            "120",
            "no TLS behind SOCKS",
            vec![
                bytes(&[5, 1, 0]),
                Step::Hear,
                ask(1, 3, b"allowed.example", 443),
                Step::Hear,
                bytes(b"SSH-2.0-x\r\n"),
            ],
            Reply::Closed,
            &[NotTls],
        ),
    ]);
    rows
}

/// A query of one question.
fn query(name: &str, kind: u16, class: u16) -> Vec<u8> {
    let mut raw = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    for label in name.split('.').filter(|l| !l.is_empty()) {
        raw.push(u8::try_from(label.len()).unwrap());
        raw.extend(label.as_bytes());
    }
    raw.push(0);
    raw.extend(kind.to_be_bytes());
    raw.extend(class.to_be_bytes());
    raw
}

fn dns() -> Vec<Row> {
    const NX: u8 = 3;
    const REFUSED: u8 = 5;
    const NAME: &[Reason] = &[DnsNameDenied];
    const TYPE: &[Reason] = &[DnsTypeDenied];
    let asked: Vec<(&str, &str, Vec<u8>, u8, &[Reason], &str)> = vec![
        (
            "37",
            "a name nobody allowed",
            query("evil.example", 1, 1),
            NX,
            NAME,
            "evil.example",
        ),
        (
            "37",
            "data in labels",
            query("c2VjcmV0.ZGF0YQ.evil.example", 1, 1),
            NX,
            NAME,
            "evil.example",
        ),
        (
            "37",
            "data below an allowed name",
            query("c2VjcmV0.allowed.example", 1, 1),
            NX,
            NAME,
            "allowed.example",
        ),
        (
            "48",
            "another case",
            query("EvIl.eXaMpLe", 1, 1),
            NX,
            NAME,
            "evil.example",
        ),
        (
            "69",
            "a suffix without a dot",
            query("evilallowed.example", 1, 1),
            NX,
            NAME,
            "evilallowed.example",
        ),
        (
            "133",
            "a proxy's own configuration",
            query("wpad", 1, 1),
            NX,
            NAME,
            "wpad",
        ),
        (
            "43",
            "TXT",
            query("allowed.example", 16, 1),
            REFUSED,
            TYPE,
            "allowed.example",
        ),
        (
            "43",
            "ANY",
            query("allowed.example", 255, 1),
            REFUSED,
            TYPE,
            "allowed.example",
        ),
        (
            "43",
            "NULL",
            query("allowed.example", 10, 1),
            REFUSED,
            TYPE,
            "allowed.example",
        ),
        (
            "43",
            "SRV",
            query("allowed.example", 33, 1),
            REFUSED,
            TYPE,
            "allowed.example",
        ),
        (
            "43",
            "NAPTR",
            query("allowed.example", 35, 1),
            REFUSED,
            TYPE,
            "allowed.example",
        ),
        (
            "43",
            "CNAME",
            query("allowed.example", 5, 1),
            REFUSED,
            TYPE,
            "allowed.example",
        ),
        (
            "43",
            "a whole zone",
            query("allowed.example", 252, 1),
            REFUSED,
            TYPE,
            "allowed.example",
        ),
        (
            "43",
            "another class",
            query("allowed.example", 1, 3),
            REFUSED,
            TYPE,
            "allowed.example",
        ),
        (
            "43",
            "TXT of a name nobody allowed",
            query("evil.example", 16, 1),
            NX,
            &[DnsNameDenied, DnsTypeDenied],
            "evil.example",
        ),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for (case, name, raw, code, reasons, host) in asked {
        let row = |door, sent| Row {
            case,
            name,
            door,
            steps: vec![Step::Send(sent)],
            reply: Reply::Dns(code),
            reasons,
            host,
        };
        let length = u16::try_from(raw.len()).unwrap().to_be_bytes();
        rows.push(row(Door::Udp, raw.clone()));
        rows.push(row(Door::Tcp, [length.to_vec(), raw].concat()));
    }
    rows
}
