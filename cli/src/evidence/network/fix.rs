//! The rule that would have allowed a denied call, where one would.

use belljar_model::{EgressLayer, EgressRecord, Reason, Rule};

use super::rules::{Wanted, host, method};

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
            [port] => Some(format!("--allow {host}:{port}")),
            _ => None,
        }
    }
}

/// The rule for this denial; `None` where no rule would do, or what was asked for is no plain name.
pub fn of(record: &EgressRecord) -> Option<Fix> {
    let host = host(record.ask.host.as_bytes())?;
    // What a resolver is asked for says nothing of the port.
    let looked_up = record.layer == EgressLayer::Dns || record.ask.port == 0;
    let ports = if looked_up {
        vec![]
    } else {
        vec![record.ask.port]
    };
    let plain = Wanted {
        host,
        ports,
        ..Wanted::default()
    };
    let exchange = &record.exchange;
    let wanted = match record.reason {
        Reason::HostNotAllowed
        | Reason::PortNotAllowed
        | Reason::DnsNameDenied
        | Reason::Telemetry
        | Reason::IpLiteral => match exchange.method.as_deref() {
            // The default methods would not do.
            Some(asked) if !Rule::METHODS.contains(&asked) && asked != "CONNECT" => Wanted {
                methods: vec![method(asked)?],
                ..plain
            },
            _ => plain,
        },
        Reason::MethodNotAllowed => Wanted {
            methods: vec![method(exchange.method.as_deref()?)?],
            ..plain
        },
        Reason::PathNotAllowed => Wanted {
            paths: vec![path(record)?],
            methods: exchange
                .method
                .as_deref()
                .and_then(method)
                .into_iter()
                .collect(),
            ..plain
        },
        Reason::PrivateAddress => inner(record, plain)?,
        Reason::NotTls => Wanted { raw: true, ..plain },
        Reason::UpgradeDenied => Wanted {
            websocket: true,
            ..plain
        },
        _ => return None,
    };
    Some(Fix(wanted))
}

/// A service inside the caller's network: its name with the addresses that it has.
fn inner(record: &EgressRecord, plain: Wanted) -> Option<Wanted> {
    if plain.host.parse::<std::net::IpAddr>().is_ok() {
        return Some(plain);
    }
    let mut addresses: Vec<_> = record
        .when
        .answers
        .iter()
        .map(ToString::to_string)
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    (!addresses.is_empty()).then_some(Wanted { addresses, ..plain })
}

/// The path that was asked for, without its query; none that a glob would read otherwise.
fn path(record: &EgressRecord) -> Option<String> {
    let path = record.exchange.path.as_ref()?;
    let path = std::str::from_utf8(path.as_bytes()).ok()?;
    let path = path.split('?').next().unwrap_or_default();
    let plain = |c: char| {
        c.is_ascii_graphic() && !matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\' | '"' | '`')
    };
    (path.starts_with('/') && path.len() <= 512 && path.chars().all(plain)).then(|| path.to_owned())
}
