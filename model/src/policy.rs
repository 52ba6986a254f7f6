//! What of the network a run may reach: the egress policy as it is frozen and hashed with the plan.
//!
//! Everything here is resolved: hosts are canonical, ports are listed, defaults are filled in. Of a
//! credential only its label and the requests it is bound to are here, never where it comes from,
//! never its value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Sha256;

/// The egress policy. Without a rule, and not learning, nothing leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Policy {
    /// What the policy is for.
    #[serde(skip_serializing_if = "Fetch::is_live", default)]
    pub fetch: Fetch,
    /// The rules, in the order in which they were given; the first that allows a request decides.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub allow: Vec<Rule>,
    /// Credentials that the proxy puts into requests, by label.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub credential: BTreeMap<String, Credential>,
    /// Limits of a whole run.
    pub limits: EgressLimits,
    /// The proxy variables are not set for the build, which finds the proxy by its names alone.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub no_proxy_env: bool,
    /// While it is learned, TLS is opened everywhere, to see the requests inside.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub learn_inside: bool,
}

impl Policy {
    /// The digest that stands for it: SHA-256 over the compact JSON form, whose maps are sorted.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// Whether anything may leave: whether a proxy is needed.
    pub fn opens(&self) -> bool {
        !self.allow.is_empty() || self.fetch == Fetch::Learn
    }

    /// Whether TLS is opened anywhere, for which the build has to trust the run's own authority.
    pub fn inspects(&self) -> bool {
        self.opens()
            && match self.fetch {
                Fetch::Replayed => true,
                Fetch::Learn if self.learn_inside => true,
                Fetch::Live | Fetch::Learn => self.allow.iter().any(|r| r.tls == Tls::Inspect),
            }
    }
}

/// What becomes of requests that a rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Fetch {
    /// They go out.
    #[default]
    Live,
    /// Run A's go out and are recorded; every further run is served from the recording.
    Replayed,
    /// Every public destination is let through, and what was used is written down as rules.
    Learn,
}

impl Fetch {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_live(&self) -> bool {
        *self == Self::Live
    }
}

/// One destination that the build may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rule {
    /// A host name (lower case, IDNA A-labels, no trailing dot), `*.suffix` (any name below it, not
    /// the suffix itself), or an address in its canonical spelling (IPv6 without brackets).
    pub host: String,
    /// Ports, sorted.
    pub ports: Vec<u16>,
    /// Methods, in upper case, that are allowed where requests can be seen; `*` for any.
    pub methods: Vec<String>,
    /// Path globs (`*` within a segment, `**` across), of which one must match where requests can be
    /// seen; empty: any path.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub paths: Vec<String>,
    /// Addresses or networks (CIDR) that the host may resolve to although they are not public.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub addresses: Vec<String>,
    /// What is done with TLS.
    pub tls: Tls,
    /// Anything may be spoken on these ports, not only TLS or HTTP.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub raw: bool,
    /// A request may become a WebSocket.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub websocket: bool,
    /// Bytes that all requests under this rule together may send.
    pub max_up: u64,
    /// Bytes that all answers under this rule together may bring.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_down: Option<u64>,
    /// Why the build needs it, in its owner's words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

impl Rule {
    /// Methods of a rule that names none.
    pub const METHODS: [&str; 2] = ["GET", "HEAD"];
    /// Bytes that may be sent under a rule that names no limit.
    pub const MAX_UP: u64 = 4 << 20;
    /// Ports of a rule that names none.
    pub const PORTS: [u16; 2] = [80, 443];
}

/// What is done with TLS to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// The server's name is read, the rest passes unseen.
    #[default]
    Tunnel,
    /// It is opened with the run's own authority, so that requests can be seen.
    Inspect,
}

/// Where a credential is put; nothing about its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Credential {
    /// The one host it is for, canonical.
    pub host: String,
    /// The one port.
    pub port: u16,
    /// Path globs it is for; empty: every path of the host.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub paths: Vec<String>,
    /// The header that carries it, in lower case.
    pub header: String,
    /// How its value is written into the header.
    pub scheme: Scheme,
}

/// How a credential is written into its header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// As it is.
    Plain,
    /// `Bearer VALUE`.
    Bearer,
    /// `Basic` with this user and the value as password.
    Basic {
        /// The user's name.
        user: String,
    },
}

/// Limits of a whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EgressLimits {
    /// Connections at one time.
    pub connections: u32,
    /// Bytes of a request's head.
    pub head_bytes: u32,
    /// Milliseconds within which a head, a TLS hello or a SOCKS greeting has to be complete.
    pub head_ms: u64,
    /// Milliseconds after which a connection on which nothing moves is closed.
    pub idle_ms: u64,
    /// Bytes that the whole run may send and receive.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total_bytes: Option<u64>,
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head_bytes: 64 * 1024,
            head_ms: 10_000,
            idle_ms: 60_000,
            total_bytes: None,
        }
    }
}
