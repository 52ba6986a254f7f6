//! What the build may reach, in a word.

use std::str::FromStr;

use belljar_model::{Rule, Tls};
use belljar_proxy::authority::{Authority, Host};

/// `HOST`, `HOST:PORT`, `*.SUFFIX` or `*.SUFFIX:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed(pub Rule);

impl FromStr for Allowed {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (below, rest) = s.strip_prefix("*.").map_or(("", s), |rest| ("*.", rest));
        let bytes = rest.as_bytes();
        let (host, ports) = match Host::parse(bytes) {
            Ok(host) => (host, Rule::PORTS.to_vec()),
            Err(why) => match Authority::parse(bytes, None) {
                Ok(authority) => (authority.host().clone(), vec![authority.port()]),
                Err(_) => return Err(format!("{s:?} names no host: {why}")),
            },
        };
        if !below.is_empty() && host.name().is_none() {
            return Err(format!("{s:?}: an address has no names below it"));
        }
        let host = host
            .address()
            .map_or_else(|| host.to_string(), |ip| ip.to_string());
        Ok(Self(Rule {
            host: format!("{below}{host}"),
            ports,
            methods: Rule::METHODS.map(str::to_owned).to_vec(),
            paths: Vec::new(),
            addresses: Vec::new(),
            tls: Tls::Tunnel,
            raw: false,
            websocket: false,
            max_up: Rule::MAX_UP,
            max_down: None,
            reason: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_ports_and_suffixes() {
        let rule = |s: &str| s.parse::<Allowed>().map(|a| (a.0.host, a.0.ports));
        let both = Rule::PORTS.to_vec();
        assert_eq!(
            rule("Files.Example."),
            Ok(("files.example".into(), both.clone()))
        );
        assert_eq!(
            rule("files.example:8080"),
            Ok(("files.example".into(), vec![8080]))
        );
        assert_eq!(
            rule("*.files.example"),
            Ok(("*.files.example".into(), both))
        );
        assert_eq!(
            rule("[2001:db8::1]:80"),
            Ok(("2001:db8::1".into(), vec![80]))
        );
        for wrong in [
            "",
            "*",
            "*.",
            "a b",
            "files.example:0",
            "files.example:x",
            "*.192.0.2.1",
            "http://files.example/",
        ] {
            assert!(rule(wrong).is_err(), "{wrong}");
        }
    }
}
