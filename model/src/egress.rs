//! Egress records: every call that names a destination, with the process that made it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Label, LayerReport, OsText, Sha256, Tool};

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
    /// What became of it.
    pub verdict: EgressVerdict,
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
    /// How many more such calls the same program made; of class `probe`, any program. Each call
    /// of class `external` is a record of its own.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub repeated: u64,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    /// Facts of the moment.
    pub when: EgressWhen,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl EgressRecord {
    /// Its schema.
    pub const SCHEMA: &str = "belljar.egress/1";
    /// A line of `egress.ndjson` is never longer, its newline included.
    pub const MAX_LINE: usize = 8192;
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

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EgressVerdict {
    /// It could not leave.
    Deny,
    /// A rule let it leave.
    Allow,
    /// Nothing to decide: it stays inside.
    None,
}

/// How a record counts. Only `External` gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

impl Class {
    /// The name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Loopback => "loopback",
            Self::LocalIpc => "local-ipc",
            Self::Probe => "probe",
        }
    }
}

/// Why a call was denied or let be. Closed; `egress.md` of the docs explains each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

impl Reason {
    /// The name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::HostNotAllowed => "host_not_allowed",
            Self::IpLiteral => "ip_literal",
            Self::PrivateAddress => "private_address",
            Self::MetadataAddress => "metadata_address",
            Self::DnsNameDenied => "dns_name_denied",
            Self::AfDenied => "af_denied",
            Self::RawSocket => "raw_socket",
            Self::UdpNoRoute => "udp_no_route",
            Self::UnixSocketDenied => "unix_socket_denied",
            Self::Inside => "inside",
            Self::Unknown => "unknown",
        }
    }
}

/// What was asked for; `unknown` where it could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Whether arguments or ancestors were cut.
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

    /// The document for these probes.
    pub fn of(probes: Vec<Probe>) -> Self {
        let denied = probes.iter().filter(|p| p.denied).count();
        Self {
            schema: Self::SCHEMA.into(),
            probes,
            denied: u32::try_from(denied).unwrap_or(u32::MAX),
        }
    }

    /// Whether there is a probe and every one was denied.
    pub fn sealed(&self) -> bool {
        !self.probes.is_empty() && self.probes.iter().all(|p| p.denied)
    }
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

/// `security/manifest.json`: what the folder holds, so that a gate can tell whole from cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SecurityManifest {
    /// `belljar.security/1`.
    pub schema: String,
    /// Who wrote it.
    pub tool: Tool,
    /// SHA-256 of the other files of the folder, by name.
    pub files: BTreeMap<String, Sha256>,
    /// Records by class; only `external` gates.
    pub records: BTreeMap<Class, u64>,
    /// The sequence numbers of each run that left records.
    pub runs: Vec<SeqRange>,
    /// Records lost; anything but 0 makes the evidence incomplete.
    pub lost: u64,
    /// Self-test probes made, and how many of them were denied.
    pub probes: ProbeCount,
    /// The walls as they stood, in the order of trust.
    pub layers: Vec<LayerReport>,
}

impl SecurityManifest {
    /// Its schema.
    pub const SCHEMA: &str = "belljar.security/1";
}

/// The sequence numbers of one run's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SeqRange {
    /// Which run.
    pub run: Label,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
    /// How many records there are: `last - first + 1` unless one is lost.
    pub count: u64,
}

/// Self-test probes in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProbeCount {
    /// Probes made.
    pub made: u64,
    /// Probes denied.
    pub denied: u64,
}
