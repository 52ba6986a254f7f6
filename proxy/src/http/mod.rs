//! HTTP/1 as it is let through: one strict reader of heads and bodies for every door.
//!
//! What two readers could read in two ways is refused, never repaired. Nothing here knows a policy, a
//! socket or a clock: bytes go in, a head or a [`Fault`] comes out.

mod chunked;
mod framing;
mod headers;
mod request;
mod response;
mod scan;
mod target;
#[cfg(test)]
mod tests;

pub use chunked::{Chunked, Step};
pub use framing::{Framing, Payload};
pub use headers::{Header, Headers};
pub use request::{RequestHead, parse_request};
pub use response::{ResponseHead, parse_response};
pub use target::Target;

use belljar_model::Reason;

/// No head has more header lines.
pub const MOST_HEADERS: usize = 128;

/// A header's name in lower case, if it may be set by anybody but the parser of heads.
pub(crate) fn header_name(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let framing = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "expect",
    ];
    let token = !name.is_empty() && name.bytes().all(scan::token);
    (token && !framing.contains(&name.as_str())).then_some(name)
}

/// The version a message names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Old,
    /// HTTP/1.1.
    New,
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} at byte {offset}", fault.name())]
pub struct BadHead {
    /// What.
    pub fault: Fault,
    /// Where in the message.
    pub offset: usize,
}

impl BadHead {
    pub(crate) fn new(fault: Fault, offset: usize) -> Self {
        Self { fault, offset }
    }

    /// How it is recorded.
    pub fn reason(&self) -> Reason {
        self.fault.reason()
    }

    /// The same in words, for a record's detail.
    pub fn detail(&self) -> String {
        self.to_string()
    }
}

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident $name:literal $reason:ident,)*) => {
        /// Everything that can be wrong with a message.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault { $($(#[$doc])* $fault,)* }

        impl Fault {
            /// The name in records.
            pub fn name(self) -> &'static str {
                match self { $(Self::$fault => $name,)* }
            }

            /// Whether it is a mere mistake, or something that two readers may read in two ways.
            pub fn reason(self) -> Reason {
                match self { $(Self::$fault => Reason::$reason,)* }
            }
        }
    };
}

faults! {
    /// A line feed without a carriage return.
    BareLf "bare_lf" SmugglingSuspect,
    /// A carriage return without a line feed.
    BareCr "bare_cr" SmugglingSuspect,
    /// A control character, NUL before all.
    Control "control_character" SmugglingSuspect,
    /// A header's value that goes on in the next line.
    Folded "folded_header" SmugglingSuspect,
    /// White space between a header's name and its colon.
    SpaceBeforeColon "space_before_colon" SmugglingSuspect,
    /// A header's name that is no token, or a line without a colon.
    HeaderName "header_name" BadRequest,
    /// The method is no token.
    Method "method" BadRequest,
    /// The request line has not three parts, or its target is none of the four forms.
    Target "target" BadRequest,
    /// HTTP/0.9, HTTP/2's preface, or no HTTP at all.
    Version "version" BadRequest,
    /// The head is longer than the limit.
    TooLong "head_too_long" BadRequest,
    /// More header lines than [`MOST_HEADERS`].
    TooMany "too_many_headers" BadRequest,
    /// No `Host`, or an empty one.
    HostMissing "host_missing" BadRequest,
    /// More than one `Host`.
    HostRepeated "host_repeated" SmugglingSuspect,
    /// A `Host` that is no authority.
    HostBad "host_malformed" BadRequest,
    /// More than one `Content-Length`.
    LengthRepeated "content_length_repeated" SmugglingSuspect,
    /// A `Content-Length` that is no plain decimal number.
    LengthBad "content_length_malformed" SmugglingSuspect,
    /// `Content-Length` together with `Transfer-Encoding`.
    LengthAndTransfer "content_length_and_transfer_encoding" SmugglingSuspect,
    /// A `Transfer-Encoding` that is not `chunked` alone.
    Transfer "transfer_encoding" SmugglingSuspect,
    /// A `Transfer-Encoding` in HTTP/1.0.
    TransferOld "transfer_encoding_in_http_1_0" SmugglingSuspect,
    /// `Connection` names a header that must reach the other side.
    ConnectionNames "connection_names_protected_header" SmugglingSuspect,
    /// A user's name in the target.
    Userinfo "userinfo" BadRequest,
    /// A backslash in the target.
    Backslash "backslash" BadRequest,
    /// A fragment in the target.
    Fragment "fragment" BadRequest,
    /// A percent sign in the target's host.
    PercentInHost "percent_in_host" BadRequest,
    /// An absolute target that is not `http`.
    Scheme "scheme" BadRequest,
    /// A body on `CONNECT`.
    BodyOnConnect "body_on_connect" BadRequest,
    /// A status line that is none.
    StatusLine "status_line" BadRequest,
    /// Interim answers without end.
    Interim "interim_answers" BadRequest,
    /// A chunk's size is no hexadecimal number, or too large.
    ChunkSize "chunk_size" SmugglingSuspect,
    /// A chunk's extension that is too long or holds what does not belong there.
    ChunkExtension "chunk_extension" SmugglingSuspect,
    /// A chunk does not end where it says.
    ChunkEnd "chunk_end" SmugglingSuspect,
    /// A trailer that is no header line, or trailers that are too long.
    Trailer "trailer" SmugglingSuspect,
}
