//! What the proxy and the supervisor tell each other: the proxy decides, the supervisor knows which
//! process asked and keeps the records.
//!
//! One message is one datagram of a SOCK_SEQPACKET pair, in JSON, at most [`LONGEST_MESSAGE`] bytes.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{Class, EgressLayer, EgressVerdict, Exchange, OsText, Reason};

/// No message is longer.
pub const LONGEST_MESSAGE: usize = 64 * 1024;

/// Where the build finds the proxy by its variables: HTTP (CONNECT and absolute form).
pub const HTTP_DOOR: SocketAddr =
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(127, 66, 0, 1)), 3128);
/// The same for SOCKS5.
pub const SOCKS_DOOR: SocketAddr =
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(127, 66, 0, 1)), 1080);

/// Proxy to supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromProxy {
    /// Somebody connected, or sent a query. It is not let go before [`ToProxy::Known`] says that its
    /// process was looked for.
    Arrived(Arrival),
    /// A decision, complete.
    Decided(Box<Decision>),
    /// The last word, after [`ToProxy::Stop`].
    Done {
        /// How many decisions were sent.
        decisions: u64,
        /// Decisions that could not be sent.
        lost: u64,
        /// Connections that were made to the outside.
        dials: u64,
    },
}

/// Supervisor to proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToProxy {
    /// The process behind this arrival was looked for.
    Known(u64),
    /// The run is over: close everything, and send what is left.
    Stop,
}

/// A connection or a query as it comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Counts from 1.
    pub id: u64,
    /// How it came.
    pub transport: Transport,
    /// The client's end, inside the sandbox.
    pub client: SocketAddr,
    /// The end it was sent to.
    pub server: SocketAddr,
}

/// How something came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// A connection.
    Tcp,
    /// A datagram.
    Udp,
}

/// What the proxy decided: one of these for each connection, request or query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Counts from 0 without a gap.
    pub seq: u64,
    /// The arrival it belongs to.
    pub arrival: u64,
    /// [`EgressLayer::Proxy`] or [`EgressLayer::Dns`].
    pub layer: EgressLayer,
    /// `connect`, `request`, `socks`, `transparent`, `query`, ...
    pub event: String,
    /// What became of it.
    pub verdict: EgressVerdict,
    /// Why.
    pub reason: Reason,
    /// How it counts.
    pub class: Class,
    /// `tcp`, `udp`, `tls`, `http` ...
    pub protocol: String,
    /// Canonical host or address; where there is none, what was asked, as it came.
    pub host: OsText,
    /// Port, 0 where there is none.
    pub port: u16,
    /// What was asked, what was answered.
    pub exchange: Exchange,
    /// Addresses that the name resolved to.
    pub answers: Vec<IpAddr>,
    /// The address that was dialled.
    pub dialled: Option<SocketAddr>,
    /// Bytes that went out.
    pub up: u64,
    /// Bytes that came in.
    pub down: u64,
    /// Microseconds from arrival to end.
    pub took_us: u64,
    /// What to do about it.
    pub hint: Option<String>,
}
