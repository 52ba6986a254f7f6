use super::*;
use proptest::prelude::*;

const LIMIT: usize = 4096;

fn fault(bytes: &[u8]) -> Option<Fault> {
    match parse_request(bytes, LIMIT) {
        Err(bad) => Some(bad.fault),
        Ok(Some(_)) => None,
        Ok(None) => panic!("{:?} is not complete", String::from_utf8_lossy(bytes)),
    }
}

/// Requests that are let through, and what is read of them.
#[test]
fn well_formed_requests() {
    let table: &[(&str, Target, Framing)] = &[
        (
            "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Target::Origin("/".into()),
            Framing::Empty,
        ),
        (
            "GET http://a.example:8080/x?y=z HTTP/1.1\r\nHost: a.example:8080\r\n\r\n",
            Target::Absolute {
                authority: "a.example:8080".into(),
                path: "/x?y=z".into(),
            },
            Framing::Empty,
        ),
        (
            "GET HTTP://a.example?y HTTP/1.0\r\n\r\n",
            Target::Absolute {
                authority: "a.example".into(),
                path: "/?y".into(),
            },
            Framing::Empty,
        ),
        (
            "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n",
            Target::Authority("[2001:db8::1]:443".into()),
            Framing::Empty,
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Target::Asterisk,
            Framing::Empty,
        ),
        (
            "POST /p HTTP/1.1\r\nHost:a.example\r\nContent-Length:\t12 \r\n\r\n",
            Target::Origin("/p".into()),
            Framing::Length(12),
        ),
        (
            "POST /p HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: ChunkeD\r\n\r\n",
            Target::Origin("/p".into()),
            Framing::Chunked,
        ),
    ];
    for (text, target, framing) in table {
        let (head, length) = parse_request(text.as_bytes(), LIMIT)
            .unwrap_or_else(|e| panic!("{text:?}: {e}"))
            .unwrap_or_else(|| panic!("{text:?}: not complete"));
        assert_eq!(length, text.len(), "{text:?}");
        assert_eq!((&head.target, head.framing), (target, *framing), "{text:?}");
    }
}

/// The corpus: each row is refused, and for this.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn refused_requests() {
    use Fault as F;
    let get = |lines: &str| format!("GET / HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n");
    let line = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let host = |host: &str| format!("GET / HTTP/1.1\r\nHost:{host}\r\n\r\n");
    let table: &[(String, F)] = &[
        ("GET / HTTP/1.1\nHost: a.example\n\n".into(), F::BareLf),
        (get("X: a\nY: b\r\n"), F::BareLf),
        (get("X: a\rY: b\r\n"), F::BareCr),
        (get("X: a\r\r\n"), F::BareCr),
        (get("X: a\r\n b\r\n"), F::Folded),
        (get("X: a\r\n\tb\r\n"), F::Folded),
        (get("X : a\r\n"), F::SpaceBeforeColon),
        (get("Content-Length : 3\r\n"), F::SpaceBeforeColon),
        (get("X\t: a\r\n"), F::SpaceBeforeColon),
        (get("X: a\0b\r\n"), F::Control),
        (get("X: a\x0bb\r\n"), F::Control),
        (get("X: a\x7f\r\n"), F::Control),
        (get("Transfer-Encoding: chunked\x0b\r\n"), F::Control),
        (get(": a\r\n"), F::HeaderName),
        (get("novalue\r\n"), F::HeaderName),
        (get("X(y): a\r\n"), F::HeaderName),
        (get("Host: b.example\r\n"), F::HostRepeated),
        (get("Host: a.example\r\n"), F::HostRepeated),
        (host(""), F::HostMissing),
        (host(" "), F::HostMissing),
        ("GET / HTTP/1.1\r\n\r\n".into(), F::HostMissing),
        (host(" a.example,b.example"), F::HostBad),
        (host(" a.example b.example"), F::HostBad),
        (host(" user@a.example"), F::HostBad),
        (host(" a.example/x"), F::HostBad),
        (host(" \u{e4}.example"), F::HostBad),
        (host(" %61.example"), F::HostBad),
        ("GET /\r\n\r\n".into(), F::Version),
        ("GET\r\n\r\n".into(), F::Version),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), F::Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), F::Version),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n".into(), F::Version),
        ("GET / http/1.1\r\nHost: a\r\n\r\n".into(), F::Version),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n".into(), F::Version),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(), F::Version),
        ("GET / /x HTTP/1.1\r\nHost: a\r\n\r\n".into(), F::Version),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), F::Method),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n".into(), F::Method),
        (
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "G".repeat(33)),
            F::Method,
        ),
        (line("*"), F::Target),
        (line("//b.example/"), F::Target),
        (line("a.example:443"), F::Scheme),
        (line("a.example"), F::Target),
        (line("http:/a.example/"), F::Target),
        (line("http:///x"), F::Target),
        (line("http://a.example//x"), F::Target),
        (line("https://a.example/"), F::Scheme),
        (line("ftp://a.example/"), F::Scheme),
        (line("http://user@a.example/"), F::Userinfo),
        (line("http://a.example@b.example/"), F::Userinfo),
        (line("http://%61.example/"), F::PercentInHost),
        (line("http://b.example\\@a.example/"), F::Backslash),
        (line("/a\\b"), F::Backslash),
        (line("/a#b"), F::Fragment),
        (line("http://a.example#@b.example/"), F::Fragment),
        (line("/\u{e4}"), F::Target),
        (
            "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            F::Target,
        ),
        (
            "CONNECT http://a.example/ HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            F::Target,
        ),
        (
            "CONNECT u@a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            F::Userinfo,
        ),
        (
            "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nContent-Length: 0\r\n\r\n"
                .into(),
            F::BodyOnConnect,
        ),
        (
            "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nTransfer-Encoding: chunked\r\n\r\n"
                .into(),
            F::BodyOnConnect,
        ),
        (
            get("Content-Length: 3\r\nContent-Length: 4\r\n"),
            F::LengthRepeated,
        ),
        (
            get("Content-Length: 3\r\ncontent-length: 3\r\n"),
            F::LengthRepeated,
        ),
        (get("Content-Length: 3, 3\r\n"), F::LengthBad),
        (get("Content-Length: +3\r\n"), F::LengthBad),
        (get("Content-Length: -3\r\n"), F::LengthBad),
        (get("Content-Length: 0x3\r\n"), F::LengthBad),
        (get("Content-Length: 3 0\r\n"), F::LengthBad),
        (get("Content-Length:\r\n"), F::LengthBad),
        (get("Content-Length: 18446744073709551616\r\n"), F::LengthBad),
        (get("Content-Length: 9999999999999999999\r\n"), F::LengthBad),
        (
            get("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
            F::LengthAndTransfer,
        ),
        (
            get("Transfer-Encoding: identity\r\nContent-Length: 3\r\n"),
            F::LengthAndTransfer,
        ),
        (get("Transfer-Encoding: chunked, identity\r\n"), F::Transfer),
        (get("Transfer-Encoding: gzip, chunked\r\n"), F::Transfer),
        (get("Transfer-Encoding: identity\r\n"), F::Transfer),
        (get("Transfer-Encoding: xchunked\r\n"), F::Transfer),
        (get("Transfer-Encoding: \"chunked\"\r\n"), F::Transfer),
        (get("Transfer-Encoding:\r\n"), F::Transfer),
        (
            get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            F::Transfer,
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            F::TransferOld,
        ),
        (get("Connection: Host\r\n"), F::ConnectionNames),
        (
            get("Connection: close, Authorization\r\n"),
            F::ConnectionNames,
        ),
        (
            get("Connection: close\r\nConnection: content-length\r\n"),
            F::ConnectionNames,
        ),
        (get("Connection: transfer-encoding\r\n"), F::ConnectionNames),
        (get(&format!("X: {}\r\n", "a".repeat(LIMIT))), F::TooLong),
        (get(&"X: a\r\n".repeat(MOST_HEADERS)), F::TooMany),
    ];
    for (text, want) in table {
        assert_eq!(fault(text.as_bytes()), Some(*want), "{text:?}");
    }
}

#[test]
fn refused_answers() {
    use Fault as F;
    let table: &[(&str, F)] = &[
        ("HTTP/1.1 200 OK\nX: y\n\n", F::BareLf),
        ("HTTP/1.1 200 OK\r\nX: y\rSet-Cookie: z\r\n\r\n", F::BareCr),
        ("HTTP/1.1 20 OK\r\n\r\n", F::StatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", F::StatusLine),
        ("HTTP/1.1 600 OK\r\n\r\n", F::StatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n", F::StatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", F::StatusLine),
        ("HTTP/2 200 OK\r\n\r\n", F::StatusLine),
        ("ICY 200 OK\r\n\r\n", F::StatusLine),
        ("200 OK\r\n\r\n", F::StatusLine),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            F::LengthAndTransfer,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            F::LengthRepeated,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            F::LengthBad,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            F::Transfer,
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            F::TransferOld,
        ),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", F::Folded),
        ("HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n", F::Control),
    ];
    for (text, want) in table {
        let got = parse_response(text.as_bytes(), LIMIT, "GET").map_err(|bad| bad.fault);
        assert_eq!(got, Err(*want), "{text:?}");
    }
}

#[test]
fn where_an_answer_ends() {
    let table: &[(&str, &str, Framing)] = &[
        ("GET", "200 OK\r\nContent-Length: 3", Framing::Length(3)),
        ("HEAD", "200 OK\r\nContent-Length: 3", Framing::Empty),
        ("GET", "204 None\r\nContent-Length: 3", Framing::Empty),
        ("GET", "304\r\nTransfer-Encoding: chunked", Framing::Empty),
        ("GET", "100 Continue", Framing::Empty),
        (
            "GET",
            "200 OK\r\nTransfer-Encoding: CHUNKED",
            Framing::Chunked,
        ),
        ("GET", "200", Framing::ToClose),
    ];
    for (method, text, want) in table {
        let text = format!("HTTP/1.1 {text}\r\n\r\n");
        let (head, _) = parse_response(text.as_bytes(), LIMIT, method)
            .unwrap_or_else(|e| panic!("{text:?}: {e}"))
            .unwrap_or_else(|| panic!("{text:?}: not complete"));
        assert_eq!(head.framing, *want, "{text:?}");
    }
}

#[test]
fn nothing_of_one_connection_is_handed_on() {
    let text = "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\nConnection: X-Mine, close\r\n\
        X-Mine: 1\r\nX-Yours: 2\r\nProxy-Authorization: Basic x\r\nProxy-Foo: 1\r\nTE: trailers\r\n\
        Keep-Alive: 3\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n\r\n";
    let Ok(Some((head, _))) = parse_request(text.as_bytes(), LIMIT) else {
        panic!("it is well formed");
    };
    assert_eq!(
        String::from_utf8_lossy(&head.to_origin("/x", "a.example", &[])),
        "GET /x HTTP/1.1\r\nhost: a.example\r\nX-Yours: 2\r\n\r\n"
    );
    let text = "HTTP/1.1 200 Fine\r\nAlt-Svc: h3=\":443\"\r\nConnection: close\r\nX-Yours: 2\r\n\
        Content-Length: 3\r\n\r\n";
    let Ok(Some((head, _))) = parse_response(text.as_bytes(), LIMIT, "GET") else {
        panic!("it is well formed");
    };
    assert_eq!(
        String::from_utf8_lossy(&head.to_client(Framing::Length(3), &[])),
        "HTTP/1.1 200 Fine\r\nX-Yours: 2\r\ncontent-length: 3\r\n\r\n"
    );
}

/// Takes a body apart in pieces of this size: its bytes and how many were used, or the fault.
fn unchunk(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Option<usize>), Fault> {
    let (mut chunked, mut body, mut used) = (Chunked::default(), Vec::new(), 0);
    for piece in bytes.chunks(piece) {
        let mut rest = piece;
        while !rest.is_empty() {
            let step = chunked.take(rest).map_err(|bad| bad.fault)?;
            body.extend_from_slice(&rest[step.used - step.data..step.used]);
            used += step.used;
            if step.done {
                return Ok((body, Some(used)));
            }
            rest = &rest[step.used..];
        }
    }
    Ok((body, None))
}

#[test]
fn chunked_bodies() {
    type Want<'a> = Result<(&'a str, Option<usize>), Fault>;
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(300));
    let trailers = format!("0\r\n{}\r\n", "X: aaaaaaaaaaaaaaaa\r\n".repeat(600));
    let table: &[(&str, Want<'_>)] = &[
        ("3\r\nabc\r\n0\r\n\r\nrest", Ok(("abc", Some(13)))),
        (
            "3;a=\"b\"\r\nabc\r\n00\r\nX: y\r\n\r\n",
            Ok(("abc", Some(26))),
        ),
        ("0\r\n\r\n", Ok(("", Some(5)))),
        ("A\r\n0123456789\r\n", Ok(("0123456789", None))),
        ("\r\n", Err(Fault::ChunkSize)),
        ("-1\r\n", Err(Fault::ChunkSize)),
        ("+1\r\n", Err(Fault::ChunkSize)),
        ("0x1\r\n", Err(Fault::ChunkSize)),
        (" 1\r\n", Err(Fault::ChunkSize)),
        ("1 \r\n", Err(Fault::ChunkSize)),
        ("1\n", Err(Fault::ChunkSize)),
        ("1\rx", Err(Fault::ChunkSize)),
        ("fffffffffffffffff\r\n", Err(Fault::ChunkSize)),
        ("0000000000000001\r\n", Err(Fault::ChunkSize)),
        ("1;a\nb\r\n", Err(Fault::ChunkExtension)),
        ("1;a\0b\r\n", Err(Fault::ChunkExtension)),
        (&long, Err(Fault::ChunkExtension)),
        ("1\r\nab", Err(Fault::ChunkEnd)),
        ("1\r\na\n0\r\n\r\n", Err(Fault::ChunkEnd)),
        ("0\r\nX: y\n\r\n", Err(Fault::Trailer)),
        ("0\r\nX y\r\n\r\n", Err(Fault::Trailer)),
        ("0\r\n X: y\r\n\r\n", Err(Fault::Trailer)),
        ("0\r\n\n", Err(Fault::Trailer)),
        (&trailers, Err(Fault::Trailer)),
    ];
    for (text, want) in table {
        for piece in [1, 2, 3, 1000] {
            let want = want.map(|(body, used)| (body.as_bytes().to_vec(), used));
            assert_eq!(unchunk(text.as_bytes(), piece), want, "{text:?} by {piece}");
        }
    }
}

/// What looks like a head, mostly: made of the pieces that matter.
fn headlike() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("GET "),
        Just("POST "),
        Just("CONNECT "),
        Just("/"),
        Just("/a?b"),
        Just(" "),
        Just("http://a.example/"),
        Just("a.example:443"),
        Just(" HTTP/1.1"),
        Just(" HTTP/1.0"),
        Just("\r\n"),
        Just("\r\n"),
        Just("\r\n"),
        Just("\n"),
        Just("\r"),
        Just("\0"),
        Just("\t"),
        Just("Host: a.example"),
        Just("Content-Length: 3"),
        Just("Transfer-Encoding: chunked"),
        Just("Connection: close"),
        Just("X: y"),
        Just(":"),
        Just("HTTP/1.1 200 OK"),
        Just("3\r\nabc\r\n"),
        Just("0\r\n\r\n"),
    ];
    prop_oneof![
        3 => prop::collection::vec(piece, 0..24).prop_map(|p| p.concat().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #[test]
    fn what_is_said_of_a_beginning_stays_true(bytes in headlike()) {
        let whole = parse_request(&bytes, 256);
        let answer = parse_response(&bytes, 256, "GET");
        for end in 0..bytes.len() {
            match parse_request(&bytes[..end], 256) {
                Ok(None) => {}
                said => prop_assert_eq!(&said, &whole),
            }
            match parse_response(&bytes[..end], 256, "GET") {
                Ok(None) => {}
                said => prop_assert_eq!(&said, &answer),
            }
        }
    }

    #[test]
    fn chunks_are_the_same_in_any_pieces(bytes in headlike(), piece in 1_usize..9) {
        prop_assert_eq!(unchunk(&bytes, piece), unchunk(&bytes, usize::MAX));
    }

    #[test]
    fn what_is_handed_on_reads_the_same(
        method in "[A-Z]{1,8}", path in "/[a-z0-9._~%-]{0,20}(\\?[a-z=&]{0,9})?",
        names in prop::collection::vec("[A-Za-z][A-Za-z0-9-]{0,9}", 0..6),
        value in "[ -~]{0,20}", length in prop::option::of(0_u64..99), chunked: bool,
    ) {
        prop_assume!(method != "CONNECT" && !path.starts_with("//"));
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: a.example\r\n");
        for name in &names {
            text.extend(["x-", name, ": ", &value, "\r\n"]);
        }
        match length {
            Some(n) => text.extend(["Content-Length: ", &n.to_string(), "\r\n"]),
            None if chunked => text += "Transfer-Encoding: chunked\r\n",
            None => {}
        }
        text += "\r\n";
        let first = parse_request(text.as_bytes(), LIMIT);
        let Ok(Some((first, _))) = first else {
            return Err(TestCaseError::fail(format!("{text:?}: {first:?}")));
        };
        let handed = first.to_origin(&path, "a.example", &[]);
        let second = parse_request(&handed, LIMIT);
        let Ok(Some((second, used))) = second else {
            return Err(TestCaseError::fail(format!("{handed:?}: {second:?}")));
        };
        prop_assert_eq!(used, handed.len());
        prop_assert_eq!(&first.method, &second.method);
        prop_assert_eq!(&first.target, &second.target);
        prop_assert_eq!(first.framing, second.framing);
        // Handed on once more, it is the same to the byte.
        prop_assert_eq!(second.to_origin(&path, "a.example", &[]), handed);
    }

    #[test]
    fn no_bytes_end_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse_request(&bytes, LIMIT);
        let _ = parse_response(&bytes, LIMIT, "GET");
        let _ = unchunk(&bytes, 7);
    }
}
