//! What the build may reach, in a word.

use std::str::FromStr;

use belljar_model::{Rule, Tls};
use belljar_proxy::authority::{Authority, Host, HostError};

/// `HOST` or `*.SUFFIX`, alone or with ports: `HOST:PORT,PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed(pub Rule);

impl FromStr for Allowed {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (below, rest) = s.strip_prefix("*.").map_or(("", s), |rest| ("*.", rest));
        let bytes = rest.as_bytes();
        let (host, ports) = match Host::parse(bytes) {
            Ok(host) => (host, Rule::PORTS.to_vec()),
            Err(no_host) => with_ports(rest).map_err(|why| match why {
                HostError::Port if !rest.contains('/') => format!("{s:?}: {why}"),
                _ => format!("{s:?} names no host: {no_host}"),
            })?,
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

/// Each port is read as that of an authority of its own, so that there is one reader of ports.
fn with_ports(text: &str) -> Result<(Host, Vec<u16>), HostError> {
    let (first, more) = text.split_once(',').unwrap_or((text, ""));
    let authority = Authority::parse(first.as_bytes(), None)?;
    let mut ports = vec![authority.port()];
    if first.len() < text.len() {
        for port in more.split(',') {
            ports.push(Authority::parse(format!("h:{port}").as_bytes(), None)?.port());
        }
    }
    ports.sort_unstable();
    ports.dedup();
    Ok((authority.host().clone(), ports))
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
        assert_eq!(
            rule("*.files.example:8443,443,443"),
            Ok(("*.files.example".into(), vec![443, 8443]))
        );
        assert_eq!(
            rule("[2001:db8::1]:80,81"),
            Ok(("2001:db8::1".into(), vec![80, 81]))
        );
        for wrong in [
            "files.example,other.example",
            "files.example,443",
            "files.example:443,",
            "files.example:,443",
            "files.example:443,0",
            "files.example:443, 80",
            "files.example:443,80:81",
            "files.example:443,other.example:80",
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
