//! What the proxy is given, and what it reads of the host before it is confined.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, TcpListener, UdpSocket};

use belljar_model::Policy;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::credential::{Origin, Secrets};
use crate::exchange::{Relay, Source};
use crate::inspect::{self, Ca, Roots};
use crate::policy::Compiled;
use crate::record::{Store, Tape};
use crate::resolve::Names;
use crate::upstream::Upstream;

/// All that the proxy is told.
#[derive(Debug)]
pub struct Setup {
    /// The policy, frozen.
    pub policy: Policy,
    /// Whom requests are answered by.
    pub role: Role,
    /// What of the host the outside is found by.
    pub host: Host,
}

/// Whom requests are answered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The destinations.
    Live,
    /// The destinations, and what they answer is recorded.
    Record,
    /// The recording; nothing is dialled.
    Replay,
    /// The destinations, whatever the policy says as long as they are public.
    Learn,
}

impl Role {
    /// Whether anything is dialled.
    pub fn dials(self) -> bool {
        self != Self::Replay
    }
}

/// What of the host the outside is found by.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// The text of `resolv.conf`.
    pub resolv_conf: Vec<u8>,
    /// The text of the hosts file.
    pub hosts: Vec<u8>,
    /// `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, in both spellings, as far as they are set. Their
    /// values may hold passwords.
    pub variables: BTreeMap<String, String>,
    /// Addresses of the machine's own interfaces.
    pub own: Vec<IpAddr>,
}

/// No configuration file of the host is read further.
const LONGEST_FILE: u64 = 1 << 20;
/// The variables of the host that name an upstream proxy; the lower-case spellings count as well.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No value of a variable: there may be a password in it.
        f.debug_struct("Host")
            .field("variables", &self.variables.keys())
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Reads them: `resolv.conf` and the hosts file, this process's variables, the machine's
    /// interfaces. A file that is not there is an empty one.
    pub fn read() -> Result<Self, ProxyError> {
        let variables = VARIABLES
            .iter()
            .flat_map(|name| [name.to_ascii_lowercase(), (*name).to_owned()])
            .filter_map(|name| {
                let value = std::env::var(&name).ok()?;
                (!value.is_empty()).then_some((name, value))
            })
            .collect();
        let own = nix::ifaddrs::getifaddrs()
            .map_err(|errno| {
                ProxyError::new(
                    format!("can't list the addresses of this machine: {errno}"),
                    "allow this process to open a netlink socket",
                )
            })?
            .filter_map(|interface| {
                let address = interface.address?;
                if let Some(v4) = address.as_sockaddr_in() {
                    return Some(IpAddr::V4(v4.ip()));
                }
                address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()))
            })
            .collect();
        Ok(Self {
            resolv_conf: text("/etc/resolv.conf")?,
            hosts: text("/etc/hosts")?,
            variables,
            own,
        })
    }
}

fn text(path: &str) -> Result<Vec<u8>, ProxyError> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST_FILE).read_to_end(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(text),
        Err(e) => Err(ProxyError::new(
            format!("can't read {path}: {e}"),
            "make it readable: names are looked up by it",
        )),
    }
}

/// The listeners, made inside the sandbox.
#[derive(Debug)]
pub struct Doors {
    /// The name server, by datagrams.
    pub dns_udp: UdpSocket,
    /// The name server, by connections.
    pub dns_tcp: TcpListener,
    /// `CONNECT` and absolute-form requests.
    pub http: TcpListener,
    /// SOCKS5.
    pub socks: TcpListener,
    /// Where programs arrive that know no proxy, by port.
    pub ports: Vec<(u16, TcpListener)>,
}

/// Why there can be no proxy.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct ProxyError {
    /// What was tried, on what, and why it failed.
    pub why: String,
    /// The one thing to do next.
    pub hint: Option<String>,
}

impl ProxyError {
    /// From a sentence and what to do.
    pub fn new(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            hint: Some(hint.into()),
        }
    }
}

/// A proxy that needs nothing of the host's files any more.
pub struct Prepared {
    pub(crate) setup: Setup,
    pub(crate) ready: Ready,
    pub(crate) authority_pem: Option<String>,
}

/// What was read and understood.
pub(crate) struct Ready {
    pub(crate) relay: Relay,
    pub(crate) policy: Compiled,
    pub(crate) names: Names,
    pub(crate) upstream: Upstream,
}

impl Prepared {
    /// The certificate (PEM) of the run's own authority, where TLS is opened.
    pub fn authority_pem(&self) -> Option<&str> {
        self.authority_pem.as_deref()
    }
}

/// Reads what is needed of the host, and lets this process hold as many connections as the policy
/// says.
pub fn prepare(setup: Setup) -> Result<Prepared, ProxyError> {
    prepare_with(setup, Extras::default())
}

/// The same, with what only some runs have.
pub fn prepare_with(mut setup: Setup, extras: Extras) -> Result<Prepared, ProxyError> {
    let policy = Compiled::new(&setup.policy).map_err(|e| {
        ProxyError::new(
            format!("can't use the egress policy: {e}"),
            "correct it; `belljar egress check` shows what it says",
        )
    })?;
    // What is enforced and what certificates and budgets are made by is one reading of it.
    setup.policy = policy.policy().clone();
    // Where the kernel's call can't be linked (a static C library), the source of random numbers is a
    // file that can't be opened any more once this process is confined.
    getrandom::fill(&mut [0; 16]).map_err(|e| {
        ProxyError::new(
            format!("can't get random numbers: {e}"),
            "see whether /dev/urandom is there",
        )
    })?;
    let names = Names::new(&setup.host)?;
    let upstream = Upstream::new(&setup.host.variables)?;
    let relay = relay(&setup, extras)?;
    let authority_pem = relay.ca.as_ref().map(|ca| ca.pem().to_owned());
    // They may hold passwords, and nobody needs them any more.
    setup.host.variables.clear();
    let room = descriptors(setup.policy.limits.connections)?;
    setup.policy.limits.connections = room;
    Ok(Prepared {
        setup,
        ready: Ready {
            relay,
            policy,
            names,
            upstream,
        },
        authority_pem,
    })
}

/// What only some runs have.
#[derive(Debug, Default)]
pub struct Extras {
    /// A file in memory for the authority of a pair: made by the one who finds it empty, read by all
    /// others. Without one, it is this run's alone.
    pub authority: Option<File>,
    /// The recording: an empty file to make it in, or the one that was made.
    pub recording: Option<File>,
    /// What servers' certificates are verified by; without it, what the host trusts.
    pub roots: Option<Roots>,
    /// Where the values of the policy's credentials come from, by label.
    pub credentials: BTreeMap<String, Origin>,
}

fn relay(setup: &Setup, extras: Extras) -> Result<Relay, ProxyError> {
    let policy = &setup.policy;
    let replayed = matches!(setup.role, Role::Record | Role::Replay);
    if let Some(rule) = policy.allow.iter().find(|rule| replayed && rule.raw) {
        return Err(ProxyError::new(
            format!(
                "can't record what has no requests: the rule for {} has `raw`",
                rule.host
            ),
            "take `raw = true` out of it, or run without a recording",
        ));
    }
    let opens = policy.inspects() || replayed;
    let ca = opens
        .then(|| authority(policy, extras.authority))
        .transpose()?;
    let tls = (opens && setup.role.dials())
        .then(|| {
            inspect::Upstream::new(&extras.roots.unwrap_or_else(Roots::read)).map_err(|e| {
                ProxyError::new(
                    format!("can't set up TLS to servers: {e}"),
                    "see that the host's certificates can be read (SSL_CERT_FILE)",
                )
            })
        })
        .transpose()?;
    let hint = "start the run again; the recording is made by run A alone";
    let recording = || {
        let missing = || ProxyError::new("there is no file for the recording", hint);
        extras.recording.ok_or_else(missing)
    };
    let source = match setup.role {
        Role::Live | Role::Learn => Source::Servers,
        Role::Record => Source::Recorded(Store::new(recording()?)),
        Role::Replay => Source::Tape(
            Tape::open(recording()?).map_err(|e| ProxyError::new(e.to_string(), hint))?,
        ),
    };
    // What is replayed was answered to whoever held them: their values are of no use.
    let secrets = if setup.role.dials() {
        Secrets::read(&policy.credential, &extras.credentials)?
    } else {
        Secrets::default()
    };
    Ok(Relay {
        ca,
        tls,
        secrets,
        source,
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the descriptor is closed here"
)]
fn authority(policy: &Policy, pair: Option<File>) -> Result<Ca, ProxyError> {
    let made = || Ca::for_policy(policy);
    let ca = match &pair {
        Some(file) => Ca::shared(file, made),
        None => made(),
    };
    ca.map_err(|e| {
        ProxyError::new(
            format!("can't make the authority of this run: {e}"),
            "see that this machine has random numbers, and report it",
        )
    })
}

/// Descriptors that are no connection's: doors, the channel, pipes, name servers.
const OTHER_DESCRIPTORS: u64 = 256;

/// How many connections there is room for: as many as wanted, if the hard limit on descriptors lets.
fn descriptors(wanted: u32) -> Result<u32, ProxyError> {
    let failed = |errno| {
        ProxyError::new(
            format!("can't set the limit on descriptors: {errno}"),
            "raise the hard limit (ulimit -Hn)",
        )
    };
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    let need = 2 * u64::from(wanted) + OTHER_DESCRIPTORS;
    let have = soft.max(need.min(hard));
    if have > soft {
        setrlimit(Resource::RLIMIT_NOFILE, have, hard).map_err(failed)?;
    }
    let room = have.saturating_sub(OTHER_DESCRIPTORS) / 2;
    Ok(wanted.min(u32::try_from(room).unwrap_or(u32::MAX)).max(1))
}
