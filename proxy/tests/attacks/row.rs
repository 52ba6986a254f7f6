//! What a row of the attack table says: what is sent to which door, what has to come back, and what
//! has to be recorded.

use belljar_model::Reason;

/// One attempt.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The case in the docs' list, or its neighbour.
    pub case: &'static str,
    /// What is tried, in words.
    pub name: &'static str,
    /// Where it arrives.
    pub door: Door,
    /// What the client does, in order.
    pub steps: Vec<Step>,
    /// What has to come of it.
    pub reply: Reply,
    /// The reason in the record; several where the order of two checks is the proxy's to choose.
    pub reasons: &'static [Reason],
    /// A part of the host in the record.
    pub host: &'static str,
}

/// Where an attempt arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// CONNECT and absolute form.
    Http,
    /// SOCKS5.
    Socks,
    /// A port of a rule, at the synthetic address of this name, which is asked for before.
    Port(&'static str, u16),
    /// The same at an address that stands for no name.
    Bare(u16),
    /// The name server, a datagram.
    Udp,
    /// The name server, a connection.
    Tcp,
}

/// What a client does.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Reads until a blank line, a SOCKS reply or whatever comes first.
    Hear,
    /// Goes quiet for longer than a head may take.
    Wait,
}

/// What the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The proxy's own page, the same whatever the reason.
    Denied,
    /// A SOCKS5 reply code.
    Socks(u8),
    /// No method of SOCKS authentication is accepted.
    SocksMethod,
    /// A TLS alert or nothing, and the end.
    Closed,
    /// A DNS response code, with no answer in it.
    Dns(u8),
    /// No reply at all, or a refusal.
    Silence,
}

/// Sends this text; `\n` stands for CR LF.
pub(crate) fn lines(text: &str) -> Step {
    Step::Send(text.replace('\n', "\r\n").into_bytes())
}

/// Sends these very bytes.
pub(crate) fn bytes(raw: &[u8]) -> Step {
    Step::Send(raw.to_vec())
}

/// A well-formed CONNECT to this target.
pub(crate) fn connect(target: &str) -> Step {
    lines(&format!("CONNECT {target} HTTP/1.1\nHost: {target}\n\n"))
}
