//! Egress records: every call that names a destination, with the process that made it.

use serde::{Deserialize, Serialize};

use crate::{Label, OsText, Sha256};

/// One line of `security/egress.ndjson`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EgressRecord {
    /// `belljar.egress/1`.
    pub schema: String,
    /// Which run.
    pub run: Label,
    /// Counts from 0 without a gap in one run; a gap proves loss.
    pub seq: u64,
    /// Who saw it.
    pub layer: Layer,
    /// The syscall or protocol event (`connect`, `sendto`, `socket`, ...).
    pub event: String,
    /// `deny`, `allow`, or `none` where there was nothing to decide (loopback).
    pub verdict: String,
    /// Why.
    pub reason: Reason,
    /// Whether it gates and how it is to be read.
    pub class: Class,
    /// What was asked for.
    pub ask: Ask,
    /// Who asked.
    pub proc: Proc,
    /// The read of the process's memory was not confirmed: the record may not be what the
    /// kernel saw.
    pub racy: bool,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    /// Facts of the moment.
    pub when: EgressWhen,
}

impl EgressRecord {
    /// Its schema.
    pub const SCHEMA: &str = "belljar.egress/1";
}

/// A record's facts of the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EgressWhen {
    /// Real time, RFC 3339.
    pub ts: String,
    /// Nanoseconds since the run's start, monotonic.
    pub since_start_ns: u64,
    /// Process id inside the sandbox.
    pub pid: u32,
}

/// Who saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// A trapped call: `observed`.
    Notify,
    /// The proxy.
    Proxy,
    /// The DNS stub.
    Dns,
}

/// How a record counts. Only `External` gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A destination outside the sandbox.
    External,
    /// The sandbox's own loopback.
    Loopback,
    /// A local socket.
    LocalIpc,
    /// A UDP connect that sends nothing, nscd and the like.
    Probe,
}

/// Why a call was denied or let be. Closed; `egress.md` of the docs explains each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No rule allows the host.
    HostNotAllowed,
    /// The call names an address, and no rule names that address.
    IpLiteral,
    /// A private, link-local, multicast or reserved address.
    PrivateAddress,
    /// A cloud metadata address.
    MetadataAddress,
    /// A name was asked of a DNS server.
    DnsNameDenied,
    /// A socket family that is not allowed.
    AfDenied,
    /// A raw or packet socket.
    RawSocket,
    /// UDP without a route.
    UdpNoRoute,
    /// A local socket outside the sandbox, or one that does not exist inside.
    UnixSocketDenied,
    /// Inside the sandbox: nothing to decide.
    Inside,
    /// Not known.
    Unknown,
}

/// What was asked for; `unknown` where it could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ask {
    /// `inet`, `inet6`, `unix`, `netlink` ... or the number.
    pub family: String,
    /// `tcp`, `udp`, `raw` ... or `unknown`.
    pub protocol: String,
    /// Address, host name or socket path.
    pub host: OsText,
    /// Port, 0 where there is none.
    pub port: u16,
}

/// The process that asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Proc {
    /// Its short name.
    pub comm: OsText,
    /// Its executable's path inside the sandbox, or `unknown`.
    pub exe: OsText,
    /// Digest of the executable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exe_sha256: Option<Sha256>,
    /// Its arguments, at most 32 of at most 256 bytes.
    pub argv: Vec<OsText>,
    /// Whether arguments were cut.
    pub argv_cut: bool,
    /// Its ancestors up to the build's first process, nearest first, each as its argv.
    pub chain: Vec<Vec<OsText>>,
    /// How it was found (`notify`, `unknown`).
    pub attrib: String,
}

/// `security/selftest.json`: probes made inside the same sandbox before the command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SelfTest {
    /// `belljar.selftest/1`.
    pub schema: String,
    /// All of them.
    pub probes: Vec<Probe>,
    /// How many were denied; a hole is a setup failure.
    pub denied: u32,
}

impl SelfTest {
    /// Its schema.
    pub const SCHEMA: &str = "belljar.selftest/1";
}

/// One attempt to get out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Probe {
    /// Which run made it.
    pub run: Label,
    /// What was tried.
    pub attempt: String,
    /// Whether it was denied.
    pub denied: bool,
    /// The errno's name that the kernel answered with.
    pub answer: String,
}
