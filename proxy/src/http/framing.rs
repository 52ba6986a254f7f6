//! Where a message's body ends.

use super::{BadHead, Fault, Headers, Version};

/// How a message says where its body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection; answers only.
    ToClose,
}

impl Framing {
    /// Whether there may be a byte of body.
    pub fn has_body(self) -> bool {
        !matches!(self, Self::Empty | Self::Length(0))
    }

    /// By the headers of a request.
    pub(super) fn of_request(
        headers: &Headers,
        version: Version,
        end: usize,
    ) -> Result<Self, BadHead> {
        Ok(said(headers, version, end)?.unwrap_or(Self::Empty))
    }

    /// By the headers of an answer to a request with this method.
    pub(super) fn of_response(
        headers: &Headers,
        version: Version,
        (method, status): (&str, u16),
        end: usize,
    ) -> Result<Self, BadHead> {
        let said = said(headers, version, end)?;
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(Self::Empty);
        }
        Ok(said.unwrap_or(Self::ToClose))
    }

    /// The header line that says the same.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Empty | Self::ToClose => {}
            Self::Length(n) => out.extend_from_slice(format!("content-length: {n}\r\n").as_bytes()),
            Self::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
    }
}

fn said(headers: &Headers, version: Version, end: usize) -> Result<Option<Framing>, BadHead> {
    let fault = |fault| Err(BadHead::new(fault, end));
    let mut lengths = headers.all("content-length");
    let length = lengths.next();
    if lengths.next().is_some() {
        return fault(Fault::LengthRepeated);
    }
    let mut codings = headers.all("transfer-encoding");
    let Some(coding) = codings.next() else {
        return length.map(|l| number(l, end)).transpose();
    };
    if length.is_some() {
        return fault(Fault::LengthAndTransfer);
    }
    if version == Version::Old {
        return fault(Fault::TransferOld);
    }
    if codings.next().is_some() || !coding.eq_ignore_ascii_case(b"chunked") {
        return fault(Fault::Transfer);
    }
    Ok(Some(Framing::Chunked))
}

fn number(value: &[u8], end: usize) -> Result<Framing, BadHead> {
    // 18 digits always fit, and no body is longer.
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(BadHead::new(Fault::LengthBad, end));
    }
    let number = value
        .iter()
        .fold(0, |n: u64, digit| n * 10 + u64::from(digit - b'0'));
    Ok(Framing::Length(number))
}

/// Follows a body through the bytes as they arrive.
#[derive(Debug)]
pub enum Payload {
    /// So many bytes are left.
    Left(u64),
    /// Chunks.
    Chunked(super::Chunked),
    /// Everything that comes.
    ToClose,
}

impl Payload {
    /// For a body framed so.
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Empty => Self::Left(0),
            Framing::Length(n) => Self::Left(n),
            Framing::Chunked => Self::Chunked(super::Chunked::default()),
            Framing::ToClose => Self::ToClose,
        }
    }

    /// Takes what it can of the bytes: how many, and how many of them are body, at their end.
    pub fn take(&mut self, bytes: &[u8]) -> Result<super::Step, BadHead> {
        match self {
            Self::Left(left) => {
                let n = usize::try_from(*left).map_or(bytes.len(), |l| l.min(bytes.len()));
                *left -= n as u64;
                Ok(super::Step {
                    used: n,
                    data: n,
                    done: *left == 0,
                })
            }
            Self::Chunked(chunked) => chunked.take(bytes),
            Self::ToClose => Ok(super::Step {
                used: bytes.len(),
                data: bytes.len(),
                done: false,
            }),
        }
    }

    /// Whether nothing more belongs to the body, and it is known without another byte.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Left(0))
    }

    /// Whether the body may end with its connection.
    pub fn may_end(&self) -> bool {
        matches!(self, Self::ToClose | Self::Left(0))
    }
}
