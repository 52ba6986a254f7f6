//! One rule, compiled: whatever could be misread is refused, whatever is left is canonical.

use std::net::IpAddr;

use belljar_model::{Reason, Rule as Given, Tls};

use super::error::Fault;
use super::glob::Glob;
use super::net::Net;
use crate::address::{self, Kind};
use crate::authority::{Authority, Host};

/// A rule as it is decided by.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    given: Given,
    host: Pattern,
    paths: Vec<Glob>,
    addresses: Vec<Net>,
}

/// Which hosts a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// This one.
    Exact(Host),
    /// All names below this one, by whole labels, and not itself.
    Below(String),
}

impl Rule {
    /// Compiles a rule.
    pub(super) fn new(given: &Given) -> Result<Self, Fault> {
        let host = Pattern::parse(&given.host)?;
        let mut given = given.clone();
        given.host = host.text();
        ports(&mut given.ports)?;
        methods(&mut given.methods)?;
        let paths = globs(&mut given.paths)?;
        let addresses = given.addresses.iter();
        let addresses = addresses
            .map(|a| Net::parse(a))
            .collect::<Result<Vec<_>, _>>()?;
        given.addresses = addresses.iter().map(ToString::to_string).collect();
        given.addresses.sort_unstable();
        given.addresses.dedup();
        consistent(&given)?;
        Ok(Self {
            given,
            host,
            paths,
            addresses,
        })
    }

    /// The rule in its canonical form.
    pub(super) fn model(&self) -> &Given {
        &self.given
    }

    /// Whether it is for this host.
    pub(super) fn host(&self, host: &Host) -> bool {
        match &self.host {
            Pattern::Exact(exact) => exact == host,
            Pattern::Below(suffix) => host.name().is_some_and(|name| below(name, suffix)),
        }
    }

    /// Whether it is for this port.
    pub(super) fn port(&self, port: u16) -> bool {
        self.given.ports.contains(&port)
    }

    /// Whether it allows this method, in exact case.
    pub(super) fn method(&self, method: &str) -> bool {
        let any = |given: &String| given == "*" && !matches!(method, "CONNECT" | "TRACE");
        self.given.methods.iter().any(|m| m == method || any(m))
    }

    /// Whether it allows this canonical path.
    pub(super) fn path(&self, path: &str) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|glob| glob.matches(path))
    }

    /// How deep a request gets before the rule refuses it; `None` where it does not.
    pub(super) fn refuses(&self, to: &Authority, request: Option<(&str, &str)>) -> Option<Reason> {
        if !self.host(to.host()) {
            return Some(Reason::HostNotAllowed);
        }
        if !self.port(to.port()) {
            return Some(Reason::PortNotAllowed);
        }
        let (method, path) = request?;
        if !self.method(method) {
            return Some(Reason::MethodNotAllowed);
        }
        (!self.path(path)).then_some(Reason::PathNotAllowed)
    }

    /// Whether it names this address, as its host or among its addresses. A metadata service can't
    /// be named.
    pub(super) fn names(&self, ip: IpAddr) -> bool {
        address::classify(ip) != Kind::Metadata
            && (self.host == Pattern::Exact(Host::Address(ip))
                || self.addresses.iter().any(|net| net.contains(ip)))
    }

    /// Whether every destination of the other is one of this one's, on a port that both have.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (Pattern::Exact(a), Pattern::Exact(b)) => a == b,
            (Pattern::Below(a), Pattern::Exact(b)) => b.name().is_some_and(|b| below(b, a)),
            (Pattern::Below(a), Pattern::Below(b)) => a == b || below(b, a),
            (Pattern::Exact(_), Pattern::Below(_)) => false,
        };
        host && other.given.ports.iter().any(|port| self.port(*port))
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, Fault> {
        let read = |host: &str| {
            Host::parse(host.as_bytes()).map_err(|why| Fault::Host {
                host: text.into(),
                why,
            })
        };
        if let Some(suffix) = text.strip_prefix("*.") {
            if suffix.contains('*') {
                return Err(Fault::Wildcard(text.into()));
            }
            return match read(suffix)? {
                Host::Name(name) if is_public_suffix(&name) => Err(Fault::PublicSuffix(name)),
                Host::Name(name) => Ok(Self::Below(name)),
                Host::Address(_) => Err(Fault::Wildcard(text.into())),
            };
        }
        if text == "*" {
            return Err(Fault::Wildcard(text.into()));
        }
        if let Some(rest) = text.strip_prefix('*').or_else(|| text.strip_prefix('.')) {
            let boundary = !rest.is_empty() && !rest.contains('*');
            let fault = if boundary {
                Fault::Boundary
            } else {
                Fault::Wildcard
            };
            return Err(fault(text.into()));
        }
        if text.contains('*') {
            return Err(Fault::Wildcard(text.into()));
        }
        read(text).map(Self::Exact)
    }

    fn text(&self) -> String {
        match self {
            Self::Exact(host) => host.to_string(),
            Self::Below(suffix) => format!("*.{suffix}"),
        }
    }
}

/// By whole labels, and not the suffix itself.
fn below(name: &str, suffix: &str) -> bool {
    let rest = name.strip_suffix(suffix).and_then(|r| r.strip_suffix('.'));
    rest.is_some_and(|rest| !rest.is_empty())
}

/// Whether anybody can get a name below this one. A name of one label always counts as such.
fn is_public_suffix(name: &str) -> bool {
    psl::domain(name.as_bytes()).is_none()
}

/// Names under which clouds serve a machine's identity and secrets.
const METADATA: &[&str] = &[
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.azure.internal",
    "metadata.goog",
    "metadata.google.internal",
    "metadata.tencentyun.com",
];

/// Whether a host is a metadata service by its name or address.
pub(super) fn is_metadata(host: &Host) -> bool {
    match host {
        Host::Name(name) => METADATA.contains(&name.as_str()),
        Host::Address(ip) => address::classify(*ip) == Kind::Metadata,
    }
}

fn ports(ports: &mut Vec<u16>) -> Result<(), Fault> {
    ports.sort_unstable();
    ports.dedup();
    match ports.first() {
        None => Err(Fault::NoPort),
        Some(0) => Err(Fault::PortZero),
        Some(_) => Ok(()),
    }
}

fn methods(methods: &mut Vec<String>) -> Result<(), Fault> {
    methods.sort_unstable();
    methods.dedup();
    if methods.is_empty() {
        return Err(Fault::NoMethod);
    }
    if methods.len() > 1 && methods.iter().any(|m| m == "*") {
        return Err(Fault::AnyMethod);
    }
    for method in methods.iter().filter(|m| *m != "*") {
        let capital = |b: u8| b.is_ascii_uppercase() || matches!(b, b'-' | b'_');
        if method.is_empty() || method.len() > 32 || !method.bytes().all(capital) {
            return Err(Fault::Method(method.clone()));
        }
        if method == "CONNECT" {
            return Err(Fault::Connect);
        }
    }
    Ok(())
}

/// Compiles globs and leaves them canonical.
pub(super) fn globs(given: &mut Vec<String>) -> Result<Vec<Glob>, Fault> {
    let read = |glob: &String| match Glob::parse(glob) {
        Ok(Some(read)) => Ok(read),
        Ok(None) => Err(Fault::DoubleStar(glob.clone())),
        Err(why) => Err(Fault::Path {
            glob: glob.clone(),
            why,
        }),
    };
    let globs = given.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    *given = globs.iter().map(|glob| glob.text().to_owned()).collect();
    Ok(globs)
}

fn consistent(rule: &Given) -> Result<(), Fault> {
    if rule.raw {
        let with = [
            (!rule.paths.is_empty(), "`paths`"),
            (rule.tls == Tls::Inspect, "`tls = \"inspect\"`"),
            (rule.websocket, "`websocket`"),
        ];
        if let Some((_, what)) = with.iter().find(|(is, _)| *is) {
            return Err(Fault::RawAnd(what));
        }
    }
    if rule.tls == Tls::Tunnel && !rule.paths.is_empty() {
        return Err(Fault::Unseen("`paths`"));
    }
    if rule.max_up == 0 {
        return Err(Fault::Zero("max_up"));
    }
    if rule.max_down == Some(0) {
        return Err(Fault::Zero("max_down"));
    }
    let text = rule.reason.as_deref().unwrap_or_default();
    if text.len() > 1024 || text.chars().any(char::is_control) {
        return Err(Fault::Text("reason"));
    }
    Ok(())
}
