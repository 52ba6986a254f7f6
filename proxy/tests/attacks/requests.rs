//! Requests that two readers could read differently, and requests that mean more than they say.

use std::fmt::Write as _;

use belljar_model::Reason::{
    self, AuthorityMismatch, BadRequest, DohSuspect, FormDenied, HostNotAllowed, MethodNotAllowed,
    PathNotAllowed, PortNotAllowed, SmugglingSuspect, Timeout, UpgradeDenied,
};

use crate::row::{Door, Reply, Row, Step, connect, lines};

const BAD: &[Reason] = &[BadRequest, SmugglingSuspect];
const AUTHORITY: &[Reason] = &[AuthorityMismatch, BadRequest, SmugglingSuspect];
const UPGRADE: &[Reason] = &[UpgradeDenied, BadRequest, SmugglingSuspect];

/// (case, what, request at the HTTP door, reasons, host in the record)
const ABSOLUTE: &[(&str, &str, &str, &[Reason], &str)] = &[
    (
        "A2",
        "a name nobody allowed",
        "GET http://evil.example/ HTTP/1.1\nHost: evil.example\n\n",
        &[HostNotAllowed],
        "evil.example",
    ),
    (
        "A2",
        "another port",
        "GET http://allowed.example:8080/ HTTP/1.1\nHost: allowed.example:8080\n\n",
        &[PortNotAllowed],
        "allowed.example",
    ),
    (
        "77",
        "CONNECT and Host differ",
        "CONNECT allowed.example:443 HTTP/1.1\nHost: evil.example:443\n\n",
        AUTHORITY,
        "",
    ),
    (
        "77",
        "CONNECT and Host differ in the port",
        "CONNECT allowed.example:443 HTTP/1.1\nHost: allowed.example:80\n\n",
        AUTHORITY,
        "",
    ),
    (
        "77",
        "target and Host differ",
        "GET http://allowed.example/ HTTP/1.1\nHost: evil.example\n\n",
        AUTHORITY,
        "",
    ),
    (
        "77",
        "Host allowed, target not",
        "GET http://evil.example/ HTTP/1.1\nHost: allowed.example\n\n",
        &[AuthorityMismatch, BadRequest, HostNotAllowed],
        "",
    ),
    (
        "79",
        "origin form at the forward door",
        "GET / HTTP/1.1\nHost: allowed.example\n\n",
        &[FormDenied, BadRequest],
        "",
    ),
    (
        "79",
        "two slashes in front",
        "GET //allowed.example/ HTTP/1.1\nHost: allowed.example\n\n",
        &[FormDenied, BadRequest],
        "",
    ),
    (
        "79",
        "one slash after the scheme",
        "GET http:/allowed.example/ HTTP/1.1\nHost: allowed.example\n\n",
        &[FormDenied, BadRequest],
        "",
    ),
    (
        "79",
        "asterisk form",
        "OPTIONS * HTTP/1.1\nHost: allowed.example\n\n",
        &[FormDenied, BadRequest],
        "",
    ),
    (
        "79",
        "https in absolute form",
        "GET https://allowed.example/ HTTP/1.1\nHost: allowed.example\n\n",
        &[FormDenied, BadRequest],
        "",
    ),
    (
        "79",
        "ftp in absolute form",
        "GET ftp://allowed.example/ HTTP/1.1\nHost: allowed.example\n\n",
        &[FormDenied, BadRequest],
        "",
    ),
    (
        "79",
        "a host without a scheme",
        "GET allowed.example:80 HTTP/1.1\nHost: allowed.example\n\n",
        &[FormDenied, BadRequest],
        "",
    ),
    (
        "80",
        "two Host headers",
        "GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\nHost: evil.example\n\n",
        AUTHORITY,
        "",
    ),
    (
        "80",
        "the same Host twice",
        "GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\nHost: allowed.example\n\n",
        AUTHORITY,
        "",
    ),
    (
        "80",
        "Host with a comma",
        "GET http://allowed.example/ HTTP/1.1\nHost: allowed.example, evil.example\n\n",
        AUTHORITY,
        "",
    ),
    (
        "80",
        "an empty Host",
        "GET http://allowed.example/ HTTP/1.1\nHost:\n\n",
        AUTHORITY,
        "",
    ),
    (
        "80",
        "no Host",
        "GET http://allowed.example/ HTTP/1.1\nAccept: */*\n\n",
        AUTHORITY,
        "",
    ),
    (
        "81",
        "length and chunked",
        "POST http://git.example/repo.git/git-upload-pack HTTP/1.1\nHost: git.example\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\n",
        BAD,
        "",
    ),
    (
        "82",
        "two lengths",
        "POST http://git.example/repo.git/git-upload-pack HTTP/1.1\nHost: git.example\nContent-Length: 4\nContent-Length: 5\n\nabcde",
        BAD,
        "",
    ),
    (
        "82",
        "lengths in a list",
        "POST http://git.example/repo.git/git-upload-pack HTTP/1.1\nHost: git.example\nContent-Length: 4, 4\n\nabcd",
        BAD,
        "",
    ),
    (
        "82",
        "a signed length",
        "POST http://git.example/repo.git/git-upload-pack HTTP/1.1\nHost: git.example\nContent-Length: +4\n\nabcd",
        BAD,
        "",
    ),
    (
        "82",
        "a hexadecimal length",
        "POST http://git.example/repo.git/git-upload-pack HTTP/1.1\nHost: git.example\nContent-Length: 0x4\n\nabcd",
        BAD,
        "",
    ),
    (
        "82",
        "a length beyond 64 bits",
        "POST http://git.example/repo.git/git-upload-pack HTTP/1.1\nHost: git.example\nContent-Length: 18446744073709551620\n\nabcd",
        BAD,
        "",
    ),
    (
        "83",
        "chunked is not last",
        "POST http://git.example/repo.git/git-upload-pack HTTP/1.1\nHost: git.example\nTransfer-Encoding: chunked, identity\n\n0\n\n",
        BAD,
        "",
    ),
    (
        "83",
        "another coding in front",
        "POST http://git.example/repo.git/git-upload-pack HTTP/1.1\nHost: git.example\nTransfer-Encoding: gzip, chunked\n\n0\n\n",
        BAD,
        "",
    ),
    (
        "83",
        "nearly chunked",
        "POST http://git.example/repo.git/git-upload-pack HTTP/1.1\nHost: git.example\nTransfer-Encoding: xchunked\n\n0\n\n",
        BAD,
        "",
    ),
    (
        "83",
        "chunked with a vertical tab",
        "POST http://git.example/repo.git/git-upload-pack HTTP/1.1\nHost: git.example\nTransfer-Encoding: chunked\u{b}\n\n0\n\n",
        BAD,
        "",
    ),
    (
        "83",
        "chunked twice",
        "POST http://git.example/repo.git/git-upload-pack HTTP/1.1\nHost: git.example\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n",
        BAD,
        "",
    ),
    (
        "83",
        "chunked in HTTP/1.0",
        "POST http://git.example/repo.git/git-upload-pack HTTP/1.0\nHost: git.example\nTransfer-Encoding: chunked\n\n0\n\n",
        BAD,
        "",
    ),
    (
        "85",
        "a continued header line",
        "GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\nX: a\n b\n\n",
        BAD,
        "",
    ),
    (
        "85",
        "a space before the colon",
        "GET http://allowed.example/ HTTP/1.1\nHost : allowed.example\n\n",
        BAD,
        "",
    ),
    (
        "85",
        "NUL in a value",
        "GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\nX: a\0b\n\n",
        BAD,
        "",
    ),
    (
        "85",
        "an empty header name",
        "GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\n: x\n\n",
        BAD,
        "",
    ),
    (
        "85",
        "a line without a colon",
        "GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\nnothing\n\n",
        BAD,
        "",
    ),
    (
        "85",
        "two spaces in the first line",
        "GET  http://allowed.example/ HTTP/1.1\nHost: allowed.example\n\n",
        BAD,
        "",
    ),
    ("85", "HTTP/0.9", "GET http://allowed.example/\n\n", BAD, ""),
    (
        "85",
        "HTTP/3.0",
        "GET http://allowed.example/ HTTP/3.0\nHost: allowed.example\n\n",
        BAD,
        "",
    ),
    (
        "85",
        "a version in lower case",
        "GET http://allowed.example/ http/1.1\nHost: allowed.example\n\n",
        BAD,
        "",
    ),
    (
        "89",
        "CONNECT with a length",
        "CONNECT allowed.example:443 HTTP/1.1\nHost: allowed.example:443\nContent-Length: 4\n\nabcd",
        BAD,
        "",
    ),
    (
        "89",
        "CONNECT with chunks",
        "CONNECT allowed.example:443 HTTP/1.1\nHost: allowed.example:443\nTransfer-Encoding: chunked\n\n0\n\n",
        BAD,
        "",
    ),
    (
        "91",
        "a websocket",
        "GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Key: x\nSec-WebSocket-Version: 13\n\n",
        UPGRADE,
        "allowed.example",
    ),
    (
        "92",
        "h2c and another",
        // h2c alone is passed over, and never handed on: see tier_userns/requests.
        "GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c, websocket\nHTTP2-Settings: AAMAAABk\n\n",
        UPGRADE,
        "",
    ),
    (
        "92",
        "the preface of HTTP/2",
        "PRI * HTTP/2.0\n\nSM\n\n",
        &[BadRequest, SmugglingSuspect, UpgradeDenied, FormDenied],
        "",
    ),
    (
        "93",
        "a protocol inside CONNECT",
        "CONNECT allowed.example:443 HTTP/1.1\nHost: allowed.example:443\nUpgrade: connect-udp\nConnection: upgrade\n\n",
        UPGRADE,
        "",
    ),
    (
        "99",
        "another host by a header",
        "GET http://paths.example/ok/x HTTP/1.1\nHost: paths.example\nX-Forwarded-Host: evil.example\n\n",
        AUTHORITY,
        "",
    ),
    (
        "99",
        "another path by a header",
        "GET http://paths.example/ok/x HTTP/1.1\nHost: paths.example\nX-Original-URL: /secret\n\n",
        &[PathNotAllowed, BadRequest, SmugglingSuspect],
        "",
    ),
    (
        "99",
        "another path by another header",
        "GET http://paths.example/ok/x HTTP/1.1\nHost: paths.example\nX-Rewrite-URL: /secret\n\n",
        &[PathNotAllowed, BadRequest, SmugglingSuspect],
        "",
    ),
    (
        "99",
        "another method by a header",
        "GET http://paths.example/ok/x HTTP/1.1\nHost: paths.example\nX-HTTP-Method-Override: DELETE\n\n",
        &[MethodNotAllowed, BadRequest, SmugglingSuspect],
        "",
    ),
    (
        "100",
        "Connection names Host",
        "GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\nConnection: host\n\n",
        BAD,
        "",
    ),
    (
        "100",
        "Connection names Authorization",
        "GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\nAuthorization: x\nConnection: close, authorization\n\n",
        BAD,
        "",
    ),
    (
        "100",
        "Connection names the length",
        "POST http://git.example/repo.git/git-upload-pack HTTP/1.1\nHost: git.example\nContent-Length: 4\nConnection: content-length\n\nabcd",
        BAD,
        "",
    ),
    (
        "101",
        "another path",
        "GET http://paths.example/secret HTTP/1.1\nHost: paths.example\n\n",
        &[PathNotAllowed],
        "paths.example",
    ),
    (
        "101",
        "a path that climbs",
        "GET http://paths.example/ok/../secret HTTP/1.1\nHost: paths.example\n\n",
        &[PathNotAllowed, BadRequest],
        "paths.example",
    ),
    (
        "101",
        "a path that climbs, encoded",
        "GET http://paths.example/ok/%2e%2e/secret HTTP/1.1\nHost: paths.example\n\n",
        &[PathNotAllowed, BadRequest],
        "paths.example",
    ),
    (
        "101",
        "a path that climbs beyond the root",
        "GET http://paths.example/ok/../../secret HTTP/1.1\nHost: paths.example\n\n",
        &[PathNotAllowed, BadRequest],
        "",
    ),
    (
        "101",
        "an encoded slash",
        "GET http://paths.example/ok/..%2fsecret HTTP/1.1\nHost: paths.example\n\n",
        &[PathNotAllowed, BadRequest],
        "",
    ),
    (
        "101",
        "an encoded backslash",
        "GET http://paths.example/ok/..%5csecret HTTP/1.1\nHost: paths.example\n\n",
        &[PathNotAllowed, BadRequest],
        "",
    ),
    (
        "101",
        "encoded twice",
        "GET http://paths.example/ok/%252e%252e/secret HTTP/1.1\nHost: paths.example\n\n",
        &[PathNotAllowed, BadRequest],
        "",
    ),
    (
        "101",
        "a backslash",
        "GET http://paths.example/ok\\..\\secret HTTP/1.1\nHost: paths.example\n\n",
        &[PathNotAllowed, BadRequest],
        "",
    ),
    (
        "101",
        "a fragment",
        "GET http://paths.example/secret#/ok/x HTTP/1.1\nHost: paths.example\n\n",
        &[PathNotAllowed, BadRequest],
        "",
    ),
    (
        "101",
        "another case",
        "GET http://paths.example/OK/x HTTP/1.1\nHost: paths.example\n\n",
        &[PathNotAllowed],
        "paths.example",
    ),
    (
        "101",
        "an encoded NUL",
        "GET http://paths.example/ok/%00 HTTP/1.1\nHost: paths.example\n\n",
        &[PathNotAllowed, BadRequest],
        "",
    ),
    (
        "103",
        "another method",
        "DELETE http://allowed.example/ HTTP/1.1\nHost: allowed.example\n\n",
        &[MethodNotAllowed],
        "allowed.example",
    ),
    (
        "103",
        "POST where nothing is said of it",
        "POST http://allowed.example/ HTTP/1.1\nHost: allowed.example\nContent-Length: 1\n\nx",
        &[MethodNotAllowed],
        "allowed.example",
    ),
    (
        "103",
        "a method in lower case",
        "get http://allowed.example/ HTTP/1.1\nHost: allowed.example\n\n",
        &[MethodNotAllowed, BadRequest],
        "",
    ),
    (
        "103",
        "a method of one's own",
        "EXFILTRATE http://allowed.example/ HTTP/1.1\nHost: allowed.example\n\n",
        &[MethodNotAllowed, BadRequest],
        "",
    ),
    (
        "103",
        "TRACE",
        "TRACE http://allowed.example/ HTTP/1.1\nHost: allowed.example\n\n",
        &[MethodNotAllowed, BadRequest],
        "",
    ),
    (
        "103",
        "GET with a body",
        "GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\nContent-Length: 6\n\nsecret",
        &[MethodNotAllowed, BadRequest, SmugglingSuspect],
        "",
    ),
    (
        "41",
        "a name look-up by type",
        "GET http://allowed.example/x HTTP/1.1\nHost: allowed.example\nAccept: application/dns-message\n\n",
        &[DohSuspect],
        "allowed.example",
    ),
    (
        "41",
        "a name look-up by path",
        "GET http://allowed.example/dns-query?dns=AAABAAAB HTTP/1.1\nHost: allowed.example\n\n",
        &[DohSuspect],
        "allowed.example",
    ),
    (
        "137",
        "a push",
        "GET http://git.example/repo.git/info/refs?service=git-receive-pack HTTP/1.1\nHost: git.example\n\n",
        &[PathNotAllowed, MethodNotAllowed],
        "git.example",
    ),
    (
        "137",
        "a push's pack",
        "POST http://git.example/repo.git/git-receive-pack HTTP/1.1\nHost: git.example\nContent-Length: 4\n\n0000",
        &[PathNotAllowed, MethodNotAllowed],
        "git.example",
    ),
    (
        "68",
        "a user in the target",
        "GET http://allowed.example@evil.example/ HTTP/1.1\nHost: evil.example\n\n",
        &[BadRequest, AuthorityMismatch],
        "",
    ),
    (
        "68",
        "a backslash in the target",
        "GET http://evil.example\\@allowed.example/ HTTP/1.1\nHost: allowed.example\n\n",
        &[BadRequest, AuthorityMismatch],
        "",
    ),
    (
        "56",
        "an address as one number",
        "GET http://2130706433/ HTTP/1.1\nHost: 2130706433\n\n",
        &[BadRequest],
        "",
    ),
];

/// (case, what, request at port 80 of allowed.example, reasons)
const TRANSPARENT: &[(&str, &str, &str, &[Reason])] = &[
    (
        "77",
        "another Host",
        "GET / HTTP/1.1\nHost: evil.example\n\n",
        AUTHORITY,
    ),
    (
        "77",
        "another allowed Host",
        "GET / HTTP/1.1\nHost: paths.example\n\n",
        AUTHORITY,
    ),
    (
        "77",
        "another port in Host",
        "GET / HTTP/1.1\nHost: allowed.example:443\n\n",
        AUTHORITY,
    ),
    (
        "79",
        "absolute form at a port door",
        "GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\n\n",
        &[FormDenied, BadRequest, AuthorityMismatch],
    ),
    (
        "79",
        "CONNECT at a port door",
        "CONNECT allowed.example:443 HTTP/1.1\nHost: allowed.example:443\n\n",
        &[FormDenied, BadRequest, AuthorityMismatch],
    ),
    (
        "80",
        "no Host",
        "GET / HTTP/1.1\nAccept: */*\n\n",
        AUTHORITY,
    ),
    (
        "103",
        "another method",
        "PUT / HTTP/1.1\nHost: allowed.example\nContent-Length: 0\n\n",
        &[MethodNotAllowed],
    ),
];

/// Endings of lines are what they are here.
const RAW: &[(&str, &str, &[u8])] = &[
    ("85", "bare LF", b"GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\n\n"),
    ("85", "one bare LF", b"GET http://allowed.example/ HTTP/1.1\r\nHost: allowed.example\nX: y\r\n\r\n"),
    ("85", "bare CR", b"GET http://allowed.example/ HTTP/1.1\r\nHost: allowed.example\rX: y\r\n\r\n"),
    ("85", "a blank line in front", b"\r\n\r\nGET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    ("84", "a chunk size that overflows", b"POST http://git.example/repo.git/git-upload-pack HTTP/1.1\r\nHost: git.example\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nx\r\n0\r\n\r\n"),
    ("84", "a negative chunk size", b"POST http://git.example/repo.git/git-upload-pack HTTP/1.1\r\nHost: git.example\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n"),
    ("84", "a chunk extension with LF", b"POST http://git.example/repo.git/git-upload-pack HTTP/1.1\r\nHost: git.example\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\n"),
    ("84", "a chunk without its end", b"POST http://git.example/repo.git/git-upload-pack HTTP/1.1\r\nHost: git.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy0\r\n\r\n"),
    ("84", "a chunk size in a prefix", b"POST http://git.example/repo.git/git-upload-pack HTTP/1.1\r\nHost: git.example\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n"),
    ("120", "another protocol altogether", b"SSH-2.0-OpenSSH_9.6\r\n"),
    ("120", "a TLS hello at the HTTP door", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"),
];

/// The rows.
pub(crate) fn rows() -> Vec<Row> {
    let absolute = ABSOLUTE
        .iter()
        .map(|(case, name, text, reasons, host)| Row {
            case,
            name,
            door: Door::Http,
            steps: vec![lines(text)],
            reply: Reply::Denied,
            reasons,
            host,
        });
    let transparent = TRANSPARENT.iter().map(|(case, name, text, reasons)| Row {
        case,
        name,
        door: Door::Port("allowed.example", 80),
        steps: vec![lines(text)],
        reply: Reply::Denied,
        reasons,
        host: "",
    });
    let raw = RAW.iter().map(|(case, name, sent)| Row {
        case,
        name,
        door: Door::Http,
        steps: vec![Step::Send(sent.to_vec())],
        reply: Reply::Denied,
        reasons: BAD,
        host: "",
    });
    absolute
        .chain(transparent)
        .chain(raw)
        .chain(others())
        .collect()
}

/// What takes more than one step.
fn others() -> Vec<Row> {
    let row = |case, name, door, steps, reply, reasons| Row {
        case,
        name,
        door,
        steps,
        reply,
        reasons,
        host: "",
    };
    let half = lines("GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\n");
    let http = Door::Http;
    let mut headers = String::from("GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\n");
    for n in 0..2000 {
        let _ = writeln!(headers, "X-{n}: y");
    }
    headers.push('\n');
    vec![
        row(
            "105",
            "a head that never ends",
            http,
            vec![half, Step::Wait],
            Reply::Denied,
            &[Timeout],
        ),
        row(
            "105",
            "nothing at all",
            http,
            vec![Step::Wait],
            Reply::Closed,
            &[Timeout],
        ),
        row(
            "105",
            "a head without an end",
            http,
            vec![Step::Send(vec![b'a'; 200 * 1024])],
            Reply::Denied,
            BAD,
        ),
        row(
            "105",
            "2,000 headers",
            http,
            vec![lines(&headers)],
            Reply::Denied,
            BAD,
        ),
        row(
            "88",
            "bytes before the answer to a denied CONNECT",
            http,
            vec![lines(
                "CONNECT evil.example:443 HTTP/1.1\nHost: evil.example:443\n\nearly",
            )],
            Reply::Denied,
            &[HostNotAllowed],
        ),
        row(
            "87",
            "another Host in the same tunnel",
            http,
            vec![
                connect("allowed.example:80"),
                Step::Hear,
                lines("GET / HTTP/1.1\nHost: evil.example\n\n"),
            ],
            Reply::Denied,
            AUTHORITY,
        ),
        row(
            "87",
            "CONNECT inside a tunnel",
            http,
            vec![
                connect("allowed.example:80"),
                Step::Hear,
                connect("evil.example:80"),
            ],
            Reply::Denied,
            &[FormDenied, BadRequest, AuthorityMismatch],
        ),
        row(
            "92",
            "HTTP/2 by agreement in a tunnel",
            http,
            vec![
                connect("allowed.example:80"),
                Step::Hear,
                lines("PRI * HTTP/2.0\n\nSM\n\n"),
            ],
            Reply::Denied,
            &[BadRequest, SmugglingSuspect, UpgradeDenied, FormDenied],
        ),
        row(
            "28",
            "a port door by its bare address",
            Door::Bare(80),
            vec![lines("GET / HTTP/1.1\nHost: allowed.example\n\n")],
            Reply::Denied,
            &[Reason::PrivateAddress],
        ),
        row(
            "28",
            "TLS at a port door by its bare address",
            Door::Bare(443),
            vec![Step::Send(
                crate::hello::Hello::new(Some("allowed.example")).bytes(),
            )],
            Reply::Closed,
            &[Reason::PrivateAddress],
        ),
    ]
}
