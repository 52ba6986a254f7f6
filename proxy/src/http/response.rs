//! An answer's head, held to the same as a request's: what it says goes to the build.

use super::request::keeps_alive;
use super::scan::scan;
use super::{BadHead, Fault, Framing, Headers, Version};

/// An answer's head, well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// The version.
    pub version: Version,
    /// The status.
    pub status: u16,
    /// The words after it.
    pub words: String,
    /// The header lines.
    pub headers: Headers,
    /// Where its body ends.
    pub framing: Framing,
}

/// Reads the head of an answer to a request with this method from the beginning of the bytes: it and
/// its length, `None` as long as it is not complete.
pub fn parse_response(
    bytes: &[u8],
    limit: usize,
    method: &str,
) -> Result<Option<(ResponseHead, usize)>, BadHead> {
    let Some(bounds) = scan(bytes, limit, |line| status_line(line).map(drop))? else {
        return Ok(None);
    };
    let (version, status, words) = status_line(&bytes[..bounds.first])?;
    let headers = Headers::split(&bytes[bounds.first + 2..bounds.end], bounds.first + 2)?;
    headers.check_connection(bounds.end)?;
    let framing = Framing::of_response(&headers, version, (method, status), bounds.end)?;
    let head = ResponseHead {
        version,
        status,
        words,
        headers,
        framing,
    };
    Ok(Some((head, bounds.end)))
}

impl ResponseHead {
    /// Whether the server goes on with this connection.
    pub fn keeps_alive(&self) -> bool {
        self.framing != Framing::ToClose && keeps_alive(&self.headers, self.version)
    }

    /// Whether another answer to the same request follows.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// The head as the client is sent it: always HTTP/1.1, framed so, without what was for the
    /// server's connection only and without a hint to other servers (`Alt-Svc`).
    pub fn to_client(&self, framing: Framing, extra: &[(&str, &[u8])]) -> Vec<u8> {
        let mut headers = self.headers.clone();
        headers.drop_hop_by_hop();
        headers.remove("alt-svc");
        // Nothing follows these, but a reader that knows less would wait for what is announced.
        let bare = self.status < 200 || self.status == 204;
        if bare || self.framing != Framing::Empty {
            headers.remove("content-length");
        }
        for (name, _) in extra {
            headers.remove(name);
        }
        let mut out = format!("HTTP/1.1 {:03} {}\r\n", self.status, self.words).into_bytes();
        headers.write(&mut out);
        for (name, value) in extra {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        framing.write(&mut out);
        out.extend_from_slice(b"\r\n");
        out
    }
}

fn status_line(line: &[u8]) -> Result<(Version, u16, String), BadHead> {
    let fault = |at| Err(BadHead::new(Fault::StatusLine, at));
    let version = match line.get(..9) {
        Some(b"HTTP/1.1 ") => Version::New,
        Some(b"HTTP/1.0 ") => Version::Old,
        _ => return fault(0),
    };
    let status = match line.get(9..12) {
        Some([a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9']) => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => return fault(9),
    };
    let words = match line.get(12..) {
        None | Some([]) => String::new(),
        // Bytes beyond ASCII mean nothing that is agreed on.
        Some([b' ', words @ ..]) => words
            .iter()
            .map(|b| if b.is_ascii() { char::from(*b) } else { '?' })
            .collect(),
        Some(_) => return fault(12),
    };
    Ok((version, status, words))
}
