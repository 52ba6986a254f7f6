//! Header lines: kept in their order and spelling, found without regard to case.

use super::{BadHead, Fault, MOST_HEADERS};

/// One header line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name as it came.
    pub name: String,
    /// Its value without surrounding white space.
    pub value: Vec<u8>,
}

/// All header lines of a head.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<Header>);

/// What holds for one connection only, and is never handed on.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What `Connection` may not name: with one of these gone the other side reads another request.
const PROTECTED: [&str; 16] = [
    "accept",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "location",
    "range",
    "set-cookie",
    "transfer-encoding",
    "www-authenticate",
    "x-forwarded-for",
];

impl Headers {
    /// Splits the header lines of a scanned head; `at` is where they begin in it.
    pub(super) fn split(lines: &[u8], at: usize) -> Result<Self, BadHead> {
        let mut room = [httparse::EMPTY_HEADER; MOST_HEADERS];
        match httparse::parse_headers(lines, &mut room) {
            Ok(httparse::Status::Complete((end, found))) if end == lines.len() => Ok(Self(
                found
                    .iter()
                    .map(|h| Header {
                        name: h.name.to_owned(),
                        value: h.value.to_vec(),
                    })
                    .collect(),
            )),
            // The scan let it through and the second reader does not: two readings.
            _ => Err(BadHead::new(Fault::HeaderName, at)),
        }
    }

    /// All values of a header.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.0
            .iter()
            .filter(move |h| h.name.eq_ignore_ascii_case(name))
            .map(|h| h.value.as_slice())
    }

    /// The first value of a header.
    pub fn get<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Whether there is such a header.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The parts of a header that is a list, over all its lines, in lower case.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.all(name)
            .flat_map(|value| value.split(|b| *b == b','))
            .map(|part| {
                String::from_utf8_lossy(part)
                    .trim_matches([' ', '\t'])
                    .to_ascii_lowercase()
            })
            .filter(|part| !part.is_empty())
            .collect()
    }

    /// Every line.
    pub fn iter(&self) -> impl Iterator<Item = &Header> {
        self.0.iter()
    }

    /// Removes a header.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|h| !h.name.eq_ignore_ascii_case(name));
    }

    /// Keeps the headers for which it holds.
    pub fn retain(&mut self, keep: impl FnMut(&Header) -> bool) {
        self.0.retain(keep);
    }

    /// Adds a line.
    pub fn push(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.push(Header {
            name: name.into(),
            value: value.into(),
        });
    }

    /// Removes what is for this connection only, and what `Connection` names.
    pub fn drop_hop_by_hop(&mut self) {
        let named = self.list("connection");
        self.0.retain(|h| {
            let name = h.name.to_ascii_lowercase();
            !HOP_BY_HOP.contains(&name.as_str())
                && !name.starts_with("proxy-")
                && !named.contains(&name)
        });
    }

    /// Holds `Connection` to what it may name.
    pub(super) fn check_connection(&self, end: usize) -> Result<(), BadHead> {
        let named = self.list("connection");
        if named.iter().any(|n| PROTECTED.contains(&n.as_str())) {
            return Err(BadHead::new(Fault::ConnectionNames, end));
        }
        Ok(())
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for Header { name, value } in &self.0 {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
}
