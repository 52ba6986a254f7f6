//! Why a policy is refused: it is never loaded in part.

use super::path::PathError;
use crate::authority::HostError;

/// What is wrong with a policy, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct PolicyError {
    /// Where.
    pub place: Place,
    /// What.
    pub fault: Fault,
}

/// Where in a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Place {
    /// A rule, by its place from 0; people count from 1.
    #[error("egress rule {}", .0 + 1)]
    Rule(usize),
    /// A credential, by its label.
    #[error("egress credential `{}`", .0.escape_debug())]
    Credential(String),
    /// The limits of the run.
    #[error("egress limits")]
    Limits,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No host, or a malformed one.
    #[error("`{}` is no host: {why}", host.escape_debug())]
    Host {
        /// As given.
        host: String,
        /// Why.
        why: HostError,
    },
    /// `*`, or a `*` that is not the first label.
    #[error("in `{}` a `*` stands where none can: `*.suffix` is the only wildcard", .0.escape_debug())]
    Wildcard(String),
    /// `.example.test`, `*example.test`.
    #[error("`{}` does not begin at a dot: `*.suffix` is the only wildcard", .0.escape_debug())]
    Boundary(String),
    /// `*.com`
    #[error("`*.{0}` covers names of many owners, since anybody can get a name below `{0}`")]
    PublicSuffix(String),
    /// A metadata service.
    #[error("`{0}` is where a cloud tells a machine its secrets, which no rule can allow")]
    Metadata(String),
    /// No port.
    #[error("there is no port")]
    NoPort,
    /// Port 0.
    #[error("port 0 is none")]
    PortZero,
    /// No method.
    #[error("there is no method")]
    NoMethod,
    /// Not a token of capitals.
    #[error("`{}` is no method: methods are in capitals, such as GET", .0.escape_debug())]
    Method(String),
    /// `CONNECT`, which is no request to a destination.
    #[error("CONNECT asks the proxy, and is no method to allow")]
    Connect,
    /// `*` beside others.
    #[error("`*` is every method already, and stands alone")]
    AnyMethod,
    /// Not a canonical path.
    #[error("`{}` is no path glob: {why}", glob.escape_debug())]
    Path {
        /// As given.
        glob: String,
        /// Why.
        why: PathError,
    },
    /// `a**`
    #[error("in `{}` a `**` is not alone between slashes", .0.escape_debug())]
    DoubleStar(String),
    /// Not an address or a network.
    #[error("`{}` is no address and no network such as 10.1.0.0/16", .0.escape_debug())]
    Network(String),
    /// A network with bits behind its length.
    #[error("`{0}` has bits behind its length")]
    HostBits(String),
    /// A network as wide as an Internet.
    #[error("`{0}` is too wide: at least /8 for IPv4, /32 for IPv6")]
    Wide(String),
    /// `raw`, and something that needs to see requests.
    #[error("`raw` lets anything pass unseen, so it can't stand with {0}")]
    RawAnd(&'static str),
    /// Paths under a rule that does not open TLS.
    #[error("{0} can't be held to where TLS is not inspected")]
    Unseen(&'static str),
    /// A rule that an earlier one makes void.
    #[error(
        "rule {} comes first for the same host and port, and {what} here would be void",
        .earlier + 1
    )]
    Shadowed {
        /// The earlier one, from 0.
        earlier: usize,
        /// What would be void.
        what: &'static str,
    },
    /// A budget of nothing.
    #[error("`{0}` is 0, which lets nothing through")]
    Zero(&'static str),
    /// Text that would break out of a record.
    #[error("`{0}` has a control character, or is longer than 1 KiB")]
    Text(&'static str),
    /// A label that is none.
    #[error("a label has 1 to 64 lower-case letters, digits, `-` and `_`")]
    Label,
    /// Not a header that a credential may stand in.
    #[error("`{}` is no header that a credential can stand in", .0.escape_debug())]
    Header(String),
    /// A colon or a control character in a user's name.
    #[error("the user of a basic credential has no colon and no control character")]
    User,
    /// A wildcard.
    #[error("a credential is for one host, and `{}` is not one", .0.escape_debug())]
    CredentialHost(String),
    /// No rule lets a request with the credential out.
    #[error("no rule allows {host}:{port} with TLS inspected, so it could never be used")]
    Unused {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A policy that cannot be replayed.
    #[error("what is recorded and replayed has to be seen, so {0} can't stand in a verify")]
    Replay(&'static str),
}

impl Fault {
    /// The one thing to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Host {
                why: HostError::Ipv4Spelling,
                ..
            } => "write it as four decimal numbers, such as 192.0.2.7".into(),
            Self::Host {
                why: HostError::Brackets,
                ..
            } => "an IPv6 address stands here without brackets; a port has a key of its own".into(),
            Self::Host { .. } => {
                "a host is a name such as crates.example, `*.suffix`, or an address".into()
            }
            Self::Boundary(host) => {
                let suffix = host.trim_start_matches(['*', '.']);
                format!("write `*.{suffix}` for all names below it, `{suffix}` for itself")
            }
            Self::Wildcard(_) => "list the hosts, each in a rule of its own".into(),
            Self::PublicSuffix(_) => "name the hosts, or a suffix of one owner".into(),
            Self::Metadata(_) => {
                "leave the rule out; hand secrets in by [egress.credential.NAME]".into()
            }
            Self::NoPort | Self::PortZero => "a port is 1 to 65535".into(),
            Self::NoMethod | Self::Connect => "leave `methods` out for GET and HEAD".into(),
            Self::Method(method) => {
                let upper = method.to_ascii_uppercase();
                format!("write `{}`", upper.escape_debug())
            }
            Self::AnyMethod => "write methods = [\"*\"]".into(),
            Self::Path { .. } | Self::DoubleStar(_) => {
                "a glob is such as /dist/*.tar.gz or /api/v1/**".into()
            }
            Self::Network(_) | Self::HostBits(_) | Self::Wide(_) => {
                "name the address itself, such as 10.1.2.3".into()
            }
            Self::RawAnd(_) => {
                "leave one of them out, or make two rules with different ports".into()
            }
            Self::Unseen(_) => "leave `tls = \"tunnel\"` out".into(),
            Self::Shadowed { .. } => "put this rule before the other, or make them one".into(),
            Self::Zero(_) => "leave the key out, or the rule".into(),
            Self::Text(_) => "one short line of text".into(),
            Self::Label => "such as [egress.credential.registry-read]".into(),
            Self::Header(_) => "`authorization` is the usual one".into(),
            Self::User => {
                "leave the colon and the password out: the value comes from the source".into()
            }
            Self::CredentialHost(_) => "name the one host that is to see it".into(),
            Self::Unused { host, port } => {
                format!(
                    "add [[egress.allow]] with host = \"{host}\", port = {port}, tls = \"inspect\""
                )
            }
            Self::Replay(_) => "use it with `belljar run`, or fetch before and build after".into(),
        }
    }
}
