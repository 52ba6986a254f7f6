//! Egress records: every call that names a destination, with the process that made it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

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
    /// What the proxy saw of it; absent for what never reached the proxy.
    #[serde(skip_serializing_if = "Exchange::is_empty", default)]
    pub exchange: Exchange,
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
    /// Addresses that the name resolved to.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub answers: Vec<IpAddr>,
    /// The address that was dialled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dialled: Option<SocketAddr>,
    /// Bytes that went out and came in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<Bytes>,
    /// Microseconds from arrival to end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub took_us: Option<u64>,
}

/// Bytes of a connection or an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Bytes {
    /// That went out.
    pub up: u64,
    /// That came in.
    pub down: u64,
}

/// What the proxy saw of a connection or a request. Nothing of it is a secret: a path is without its
/// query's values, and no header is here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Exchange {
    /// Its place in the policy, from 0: of what was let pass, the rule that allowed it; of what was
    /// denied, the one that came nearest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<u32>,
    /// What the verdict would be if the policy were not being learned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub would: Option<EgressVerdict>,
    /// The target as it came, where it is not the canonical host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub raw: Option<OsText>,
    /// The HTTP method.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
    /// The path, canonical; a query is shown by the names of its parameters alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<OsText>,
    /// The status that was answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// The name in the TLS hello.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sni: Option<OsText>,
    /// The protocols offered in the TLS hello.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub alpn: Vec<OsText>,
    /// The label of the credential that was put in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credential: Option<String>,
    /// Served from the recording.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub replayed: bool,
    /// SHA-256 of the answer's body as it was sent, where it was recorded or replayed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub body: Option<Sha256>,
    /// What in particular was wrong: the parser's word, the alert, the errno by name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// The first bytes, in hex, of what could not be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hex: Option<String>,
}

impl Exchange {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
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
    /// A rule allows the host, and not this port.
    PortNotAllowed,
    /// A rule allows the host, and not this method.
    MethodNotAllowed,
    /// A rule allows the host, and not this path.
    PathNotAllowed,
    /// A rule allows it.
    Allowed,
    /// It is let through to be learned.
    Learned,
    /// It was served from the recording.
    Replayed,
    /// The call names an address, and no rule names that address.
    IpLiteral,
    /// A private, link-local, multicast or reserved address.
    PrivateAddress,
    /// A cloud metadata address.
    MetadataAddress,
    /// An address of the proxy's own machine.
    SelfAddress,
    /// An IPv6 address that carries an IPv4 address (NAT64, 6to4, mapped).
    EmbedV6,
    /// The peer is not the address that was checked.
    RebindingMismatch,
    /// The name does not resolve.
    NoAnswer,
    /// The destination could not be reached.
    Unreachable,
    /// A TLS hello without a server's name.
    SniMissing,
    /// The TLS hello names another server than was asked for.
    SniMismatch,
    /// Two places of a request name different hosts.
    AuthorityMismatch,
    /// An encrypted hello, whose name can't be read.
    EchPresent,
    /// Not TLS where TLS is expected.
    NotTls,
    /// A version of TLS that is not let through.
    TlsOld,
    /// What came is no well-formed request.
    BadRequest,
    /// Two readers could see two requests.
    SmugglingSuspect,
    /// A change of protocol that no rule allows.
    UpgradeDenied,
    /// A form of request, or a command, that this door does not take.
    FormDenied,
    /// A name was asked of a DNS server.
    DnsNameDenied,
    /// A DNS question that is not about an address.
    DnsTypeDenied,
    /// A name look-up inside HTTP.
    DohSuspect,
    /// A socket family that is not allowed.
    AfDenied,
    /// A raw or packet socket.
    RawSocket,
    /// UDP without a route.
    UdpNoRoute,
    /// A local socket outside the sandbox, or one that does not exist inside.
    UnixSocketDenied,
    /// A limit on bytes is used up.
    BudgetExceeded,
    /// It took too long.
    Timeout,
    /// Too many connections at one time.
    Overload,
    /// Not in the recording of run A.
    ReplayMiss,
    /// A credential's header in a request it is not bound to.
    SecretMisroute,
    /// The server's certificate, or its TLS, is not good.
    #[serde(rename = "upstream_tls_error")]
    UpstreamTls,
    /// The server's answer is not well formed.
    UpstreamError,
    /// The client does not trust the run's own authority.
    CaNotTrusted,
    /// The client left before it had an answer.
    ClientGone,
    /// A known address of usage statistics.
    Telemetry,
    /// Inside the sandbox: nothing to decide.
    Inside,
    /// Not known.
    Unknown,
}

impl Reason {
    /// Every one there is.
    pub const ALL: [Self; 44] = [
        Self::HostNotAllowed,
        Self::PortNotAllowed,
        Self::MethodNotAllowed,
        Self::PathNotAllowed,
        Self::Allowed,
        Self::Learned,
        Self::Replayed,
        Self::IpLiteral,
        Self::PrivateAddress,
        Self::MetadataAddress,
        Self::SelfAddress,
        Self::EmbedV6,
        Self::RebindingMismatch,
        Self::NoAnswer,
        Self::Unreachable,
        Self::SniMissing,
        Self::SniMismatch,
        Self::AuthorityMismatch,
        Self::EchPresent,
        Self::NotTls,
        Self::TlsOld,
        Self::BadRequest,
        Self::SmugglingSuspect,
        Self::UpgradeDenied,
        Self::FormDenied,
        Self::DnsNameDenied,
        Self::DnsTypeDenied,
        Self::DohSuspect,
        Self::AfDenied,
        Self::RawSocket,
        Self::UdpNoRoute,
        Self::UnixSocketDenied,
        Self::BudgetExceeded,
        Self::Timeout,
        Self::Overload,
        Self::ReplayMiss,
        Self::SecretMisroute,
        Self::UpstreamTls,
        Self::UpstreamError,
        Self::CaNotTrusted,
        Self::ClientGone,
        Self::Telemetry,
        Self::Inside,
        Self::Unknown,
    ];

    /// The name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::HostNotAllowed => "host_not_allowed",
            Self::PortNotAllowed => "port_not_allowed",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::PathNotAllowed => "path_not_allowed",
            Self::Allowed => "allowed",
            Self::Learned => "learned",
            Self::Replayed => "replayed",
            Self::IpLiteral => "ip_literal",
            Self::PrivateAddress => "private_address",
            Self::MetadataAddress => "metadata_address",
            Self::SelfAddress => "self_address",
            Self::EmbedV6 => "embed_v6",
            Self::RebindingMismatch => "rebinding_mismatch",
            Self::NoAnswer => "no_answer",
            Self::Unreachable => "unreachable",
            Self::SniMissing => "sni_missing",
            Self::SniMismatch => "sni_mismatch",
            Self::AuthorityMismatch => "authority_mismatch",
            Self::EchPresent => "ech_present",
            Self::NotTls => "not_tls",
            Self::TlsOld => "tls_old",
            Self::BadRequest => "bad_request",
            Self::SmugglingSuspect => "smuggling_suspect",
            Self::UpgradeDenied => "upgrade_denied",
            Self::FormDenied => "form_denied",
            Self::DnsNameDenied => "dns_name_denied",
            Self::DnsTypeDenied => "dns_type_denied",
            Self::DohSuspect => "doh_suspect",
            Self::AfDenied => "af_denied",
            Self::RawSocket => "raw_socket",
            Self::UdpNoRoute => "udp_no_route",
            Self::UnixSocketDenied => "unix_socket_denied",
            Self::BudgetExceeded => "budget_exceeded",
            Self::Timeout => "timeout",
            Self::Overload => "overload",
            Self::ReplayMiss => "replay_miss",
            Self::SecretMisroute => "secret_misroute",
            Self::UpstreamTls => "upstream_tls_error",
            Self::UpstreamError => "upstream_error",
            Self::CaNotTrusted => "ca_not_trusted",
            Self::ClientGone => "client_gone",
            Self::Telemetry => "telemetry",
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
    /// SHA-256 of the policy's canonical form.
    pub policy_sha256: Sha256,
    /// Records by class; only `external` gates.
    pub records: BTreeMap<Class, u64>,
    /// Records of class `external` by what became of them; only `deny` gates.
    pub external: BTreeMap<EgressVerdict, u64>,
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
