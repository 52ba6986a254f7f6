//! The rule that would have allowed a denied call, where one would.

use std::collections::BTreeSet;
use std::net::IpAddr;

use belljar_model::{EgressLayer, EgressRecord, Reason, Rule};

use super::rules::{Wanted, host, method};

/// Paths of one rule; more of them are a person's glob to write.
const MAX_PATHS: usize = 8;

/// A rule that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix(Wanted);

impl Fix {
    /// As a table of `belljar.toml`.
    pub fn rule(&self) -> String {
        self.0.toml()
    }

    /// As a flag, where host and port say it all.
    pub fn flag(&self) -> Option<String> {
        let of = &self.0;
        let plain = Wanted {
            host: of.host.clone(),
            ports: of.ports.clone(),
            ..Wanted::default()
        };
        if *of != plain {
            return None;
        }
        let host = if of.host.contains(':') {
            format!("[{}]", of.host)
        } else {
            of.host.clone()
        };
        match of.ports[..] {
            [] => Some(format!("--allow {host}")),
            ref ports => {
                let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
                Some(format!("--allow {host}:{}", ports.join(",")))
            }
        }
    }
}

/// The rule for denials that have host, port and reason in common; `None` where no rule would do, or
/// what was asked for is no plain name.
pub fn of(records: &[&EgressRecord]) -> Option<Fix> {
    let record = records.first()?;
    // What a resolver is asked for says nothing of the port.
    let looked_up = record.layer == EgressLayer::Dns || record.ask.port == 0;
    let plain = Wanted {
        host: host(record.ask.host.as_bytes())?,
        ports: (!looked_up)
            .then_some(record.ask.port)
            .into_iter()
            .collect(),
        methods: methods(records)?,
        ..Wanted::default()
    };
    let wanted = match record.reason {
        Reason::HostNotAllowed
        | Reason::PortNotAllowed
        | Reason::DnsNameDenied
        | Reason::Telemetry
        | Reason::IpLiteral
        | Reason::MethodNotAllowed => plain,
        Reason::PathNotAllowed => Wanted {
            paths: paths(records)?,
            ..plain
        },
        Reason::PrivateAddress => inner(records, plain)?,
        Reason::NotTls => Wanted {
            raw: true,
            // What passes unseen is held to no method.
            methods: vec![],
            ..plain
        },
        Reason::UpgradeDenied => Wanted {
            websocket: true,
            ..plain
        },
        _ => return None,
    };
    Some(Fix(wanted))
}

/// The methods that were asked for, where those of a rule that names none would not do.
fn methods(records: &[&EgressRecord]) -> Option<Vec<String>> {
    let seen = records.iter().filter_map(|r| r.exchange.method.as_deref());
    let seen: BTreeSet<&str> = seen.filter(|m| *m != "CONNECT").collect();
    if seen.iter().all(|m| Rule::METHODS.contains(m)) {
        return Some(vec![]);
    }
    seen.into_iter().map(method).collect()
}

/// A service inside the caller's network: its name with the addresses that it has.
fn inner(records: &[&EgressRecord], plain: Wanted) -> Option<Wanted> {
    if plain.host.parse::<IpAddr>().is_ok() {
        return Some(plain);
    }
    let found: BTreeSet<IpAddr> = records
        .iter()
        .flat_map(|r| r.when.answers.iter().copied())
        .collect();
    let addresses: Vec<String> = found.iter().map(ToString::to_string).collect();
    (!addresses.is_empty()).then_some(Wanted { addresses, ..plain })
}

/// The paths that were asked for, without their queries, if they are few and no glob would read one
/// otherwise.
fn paths(records: &[&EgressRecord]) -> Option<Vec<String>> {
    let seen: Option<BTreeSet<String>> = records.iter().map(|record| path(record)).collect();
    seen.filter(|paths| paths.len() <= MAX_PATHS)
        .map(|paths| paths.into_iter().collect())
}

fn path(record: &EgressRecord) -> Option<String> {
    let path = record.exchange.path.as_ref()?;
    let path = std::str::from_utf8(path.as_bytes()).ok()?;
    let path = path.split('?').next().unwrap_or_default();
    let plain = |c: char| {
        c.is_ascii_graphic() && !matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\' | '"' | '`')
    };
    (path.starts_with('/') && path.len() <= 512 && path.chars().all(plain)).then(|| path.to_owned())
}
