//! A request's head.

use super::scan::{scan, token};
use super::target::authority;
use super::{BadHead, Fault, Framing, Headers, Target, Version};

/// A request's head, well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// The method, as it came: methods differ by case.
    pub method: String,
    /// What it is about.
    pub target: Target,
    /// The version.
    pub version: Version,
    /// The header lines.
    pub headers: Headers,
    /// Where its body ends.
    pub framing: Framing,
}

/// Reads a head from the beginning of the bytes: it and its length, `None` as long as it is not
/// complete. No head is longer than `limit`.
pub fn parse_request(bytes: &[u8], limit: usize) -> Result<Option<(RequestHead, usize)>, BadHead> {
    let Some(bounds) = scan(bytes, limit, |line| request_line(line).map(drop))? else {
        return Ok(None);
    };
    let (method, target, version) = request_line(&bytes[..bounds.first])?;
    let headers = Headers::split(&bytes[bounds.first + 2..bounds.end], bounds.first + 2)?;
    check_host(&headers, version, bounds.end)?;
    headers.check_connection(bounds.end)?;
    let framing = Framing::of_request(&headers, version, bounds.end)?;
    if method == "CONNECT" && framing != Framing::Empty {
        return Err(BadHead::new(Fault::BodyOnConnect, bounds.end));
    }
    let head = RequestHead {
        method,
        target,
        version,
        headers,
        framing,
    };
    Ok(Some((head, bounds.end)))
}

impl RequestHead {
    /// The value of `Host`.
    pub fn host(&self) -> Option<&str> {
        // Held to ASCII when it was read.
        self.headers
            .get("host")
            .and_then(|host| std::str::from_utf8(host).ok())
    }

    /// Whether the client wants to go on with this connection.
    pub fn keeps_alive(&self) -> bool {
        keeps_alive(&self.headers, self.version)
    }

    /// Whether it asks for another protocol.
    pub fn upgrades(&self) -> bool {
        self.headers.has("upgrade")
    }

    /// The head as an origin server is sent it: this path and host, always HTTP/1.1, framed anew,
    /// without what was for this connection only. `extra` are lines to add, an upgrade's before all.
    pub fn to_origin(&self, path: &str, host: &str, extra: &[(&str, &[u8])]) -> Vec<u8> {
        let mut headers = self.headers.clone();
        headers.drop_hop_by_hop();
        for name in ["host", "content-length", "expect"] {
            headers.remove(name);
        }
        for (name, _) in extra {
            headers.remove(name);
        }
        let mut out = format!("{} {path} HTTP/1.1\r\nhost: {host}\r\n", self.method).into_bytes();
        headers.write(&mut out);
        for (name, value) in extra {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        self.framing.write(&mut out);
        out.extend_from_slice(b"\r\n");
        out
    }
}

pub(super) fn keeps_alive(headers: &Headers, version: Version) -> bool {
    let said = headers.list("connection");
    let said = |word: &str| said.iter().any(|s| s == word);
    match version {
        Version::New => !said("close"),
        Version::Old => said("keep-alive") && !said("close"),
    }
}

fn request_line(line: &[u8]) -> Result<(String, Target, Version), BadHead> {
    let fault = |fault, at| Err(BadHead::new(fault, at));
    let Some(first) = line.iter().position(|b| *b == b' ') else {
        return fault(Fault::Version, line.len());
    };
    let method = &line[..first];
    if first == 0 || first > 32 || !method.iter().all(|b| token(*b)) {
        return fault(Fault::Method, 0);
    }
    let begin = first + 1;
    let Some(length) = line[begin..].iter().position(|b| *b == b' ') else {
        return fault(Fault::Version, line.len());
    };
    let end = begin + length;
    let version = match &line[end + 1..] {
        b"HTTP/1.1" => Version::New,
        b"HTTP/1.0" => Version::Old,
        _ => return fault(Fault::Version, end + 1),
    };
    let method = String::from_utf8_lossy(method).into_owned();
    let target = Target::parse(&method, &line[begin..end], begin)?;
    Ok((method, target, version))
}

fn check_host(headers: &Headers, version: Version, end: usize) -> Result<(), BadHead> {
    let fault = |fault| Err(BadHead::new(fault, end));
    let mut hosts = headers.all("host");
    let Some(host) = hosts.next() else {
        return if version == Version::New {
            fault(Fault::HostMissing)
        } else {
            Ok(())
        };
    };
    if hosts.next().is_some() {
        return fault(Fault::HostRepeated);
    }
    if host.is_empty() {
        return fault(Fault::HostMissing);
    }
    let bad = BadHead::new(Fault::HostBad, end);
    let host = std::str::from_utf8(host).map_err(|_| bad)?;
    authority(host, end).map_err(|_| bad)
}
