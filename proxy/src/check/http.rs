//! Heads and bodies of HTTP/1.

use super::stable;
use crate::http::{BadHead, Chunked, Headers, MOST_HEADERS, Target, Version};
use crate::http::{parse_request, parse_response};

/// Low, so that what comes at the limit is tried too.
const LIMIT: usize = 1024;
const HOST: &str = "a.example";

/// A request's head is read the same in whatever pieces it arrives. What is sent on of it is one head,
/// says the same, and is sent on as it is by the next reader.
pub fn request(bytes: &[u8]) {
    let read = |bytes: &[u8]| parse_request(bytes, LIMIT);
    let Ok(Some((head, end))) = stable(bytes, read, |(_, end)| *end) else {
        return;
    };
    one_head(&bytes[..end]);
    let Some(path) = head.target.path() else {
        return;
    };
    // `Host` may be one line more than there may be.
    if head.headers.iter().count() >= MOST_HEADERS {
        return;
    }
    let sent = head.to_origin(path, HOST, &[]);
    one_head(&sent);
    let Ok(Some((again, whole))) = parse_request(&sent, usize::MAX) else {
        panic!("what is sent on is no head: {}", sent.escape_ascii());
    };
    assert_eq!(whole, sent.len());
    assert_eq!(again.method, head.method);
    assert_eq!(again.target, Target::Origin(path.into()));
    assert_eq!(again.version, Version::New);
    assert_eq!(again.framing, head.framing);
    assert_eq!(again.host(), Some(HOST));
    let about_it = ["host", "content-length", "transfer-encoding", "expect"];
    assert_eq!(
        without(&again.headers, &about_it),
        handed_on(&head.headers, &about_it)
    );
    assert_eq!(again.to_origin(path, HOST, &[]), sent);
}

/// The same of an answer's head, to a request that asks for a body and to one that does not.
pub fn response(bytes: &[u8]) {
    for method in ["GET", "HEAD"] {
        let read = |bytes: &[u8]| parse_response(bytes, LIMIT, method);
        let Ok(Some((head, end))) = stable(bytes, read, |(_, end)| *end) else {
            continue;
        };
        one_head(&bytes[..end]);
        let sent = head.to_client(head.framing, &[]);
        one_head(&sent);
        let Ok(Some((again, whole))) = parse_response(&sent, usize::MAX, method) else {
            panic!("what is sent on is no head: {}", sent.escape_ascii());
        };
        assert_eq!(whole, sent.len());
        assert_eq!(
            (again.status, &again.words, again.framing),
            (head.status, &head.words, head.framing)
        );
        let about_it = ["content-length", "transfer-encoding", "alt-svc"];
        assert_eq!(
            without(&again.headers, &about_it),
            handed_on(&head.headers, &about_it)
        );
        assert_eq!(again.to_client(again.framing, &[]), sent);
        if head.status < 200 || head.status == 204 {
            // Some readers wait for what is announced, although nothing can follow.
            assert!(!again.headers.has("content-length"));
        }
    }
}

/// A chunked body is the same in whatever pieces it arrives, and every look at bytes uses some.
pub fn chunked(bytes: &[u8]) {
    let whole = unchunked(bytes, usize::MAX);
    for piece in [1, 2, 7, 64] {
        assert_eq!(unchunked(bytes, piece), whole, "in pieces of {piece}");
    }
    let mut coded = Vec::new();
    for piece in whole.body.chunks(19) {
        coded.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        coded.extend_from_slice(piece);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    let again = unchunked(&coded, 5);
    assert_eq!((again.body, again.end), (whole.body, Ok(true)));
    assert_eq!(again.used, coded.len());
}

#[derive(Debug, PartialEq, Eq)]
struct Unchunked {
    body: Vec<u8>,
    /// Bytes that were taken before it was over, or could not go on.
    used: usize,
    end: Result<bool, BadHead>,
}

fn unchunked(bytes: &[u8], piece: usize) -> Unchunked {
    let mut reader = Chunked::default();
    let mut read = Unchunked {
        body: Vec::new(),
        used: 0,
        end: Ok(false),
    };
    for mut rest in bytes.chunks(piece.min(bytes.len()).max(1)) {
        while !rest.is_empty() {
            let step = match reader.take(rest) {
                Ok(step) => step,
                Err(bad) => {
                    // How much of a piece was taken before is not told.
                    (read.used, read.end) = (bad.offset, Err(bad));
                    return read;
                }
            };
            assert!(step.used > 0 && step.data <= step.used && step.used <= rest.len());
            read.body
                .extend_from_slice(&rest[step.used - step.data..step.used]);
            read.used += step.used;
            rest = &rest[step.used..];
            if step.done {
                read.end = Ok(true);
                return read;
            }
        }
    }
    read
}

/// One empty line, at the end, and no line end or control character that another reader could take
/// for something else.
fn one_head(head: &[u8]) {
    assert!(head.ends_with(b"\r\n\r\n"));
    let ends = head.windows(4).filter(|w| w == b"\r\n\r\n").count();
    assert_eq!(ends, 1);
    let text = head.iter().filter(|b| !matches!(b, b'\r' | b'\n' | b'\t'));
    assert!(text.into_iter().all(|b| *b >= b' ' && *b != 127));
    let lines = |byte| head.split(|b| *b == byte).count() - 1;
    let pairs = head.windows(2).filter(|w| w == b"\r\n").count();
    assert_eq!((lines(b'\r'), lines(b'\n')), (pairs, pairs));
}

fn without(headers: &Headers, names: &[&str]) -> Headers {
    let mut headers = headers.clone();
    for name in names {
        headers.remove(name);
    }
    headers
}

fn handed_on(headers: &Headers, names: &[&str]) -> Headers {
    let mut headers = without(headers, names);
    headers.drop_hop_by_hop();
    headers
}
