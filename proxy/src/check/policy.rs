//! Policies.

use std::net::IpAddr;

use belljar_model::{EgressLimits, Fetch, Policy, Rule, Tls};

use crate::address::{Kind, classify};
use crate::authority::{Authority, Host};
use crate::policy::{Compiled, canonical_path};

/// A policy that is taken is canonical, lets nobody to a metadata service, and allows no less with a
/// rule more; what it allows is allowed by a rule that names it.
///
/// The bytes are a policy in JSON, or one rule a line: host, ports, methods, paths, addresses and
/// flags, apart by spaces, their parts by commas.
pub fn policy(bytes: &[u8]) {
    let Some(given) = read(bytes) else { return };
    let Ok(whole) = Compiled::new(&given) else {
        return;
    };
    let canonical = whole.policy();
    let again = Compiled::new(canonical);
    assert_eq!(again.as_ref().map(Compiled::policy), Ok(canonical));
    let text = serde_json::to_vec(canonical).unwrap_or_default();
    let back: Option<Policy> = serde_json::from_slice(&text).ok();
    assert_eq!(back.as_ref(), Some(canonical));
    assert_eq!(back.map(|p| p.digest()), Some(canonical.digest()));

    for name in ["metadata.google.internal", "169.254.169.254"] {
        if let Ok(host) = Host::parse(name.as_bytes()) {
            assert!(!whole.name(&host).allow);
            assert!(!whole.authority(&Authority::new(host, 80)).allow);
        }
    }
    let mut fewer = canonical.clone();
    fewer.credential.clear();
    fewer.allow.pop();
    let fewer = Compiled::new(&fewer);
    for rule in canonical.allow.iter().take(16) {
        for asked in asked(rule) {
            one_request(&whole, fewer.as_ref().ok(), rule, &asked);
        }
        for ip in &rule.addresses {
            let ip = ip.split('/').next().and_then(|ip| ip.parse().ok());
            if let Some(ip) = ip.filter(|ip: &IpAddr| classify(*ip) == Kind::Metadata) {
                assert!((0..16).all(|place| whole.answers(Some(place), &[ip]).is_err()));
            }
        }
    }
}

struct Asked {
    to: Authority,
    method: String,
    path: String,
}

fn one_request(whole: &Compiled, fewer: Option<&Compiled>, rule: &Rule, asked: &Asked) {
    let Asked { to, method, path } = asked;
    let verdict = whole.request(to, method, path);
    if fewer.is_some_and(|fewer| fewer.request(to, method, path).allow) {
        assert!(verdict.allow, "a rule more allows less");
    }
    if !verdict.allow {
        return;
    }
    assert!(whole.authority(to).allow && whole.name(to.host()).allow);
    let by = verdict.rule.and_then(|place| whole.rule(place));
    let Some(by) = by else {
        assert_eq!(whole.policy().fetch, Fetch::Learn, "{rule:?}");
        return;
    };
    assert_ne!(method, "CONNECT");
    assert!(by.ports.contains(&to.port()));
    assert!(by.methods.iter().any(|m| m == method || m == "*"));
    let host = to.host().to_string();
    let below = by.host.strip_prefix('*');
    assert!(by.host == host || below.is_some_and(|suffix| host.ends_with(suffix)));
}

/// What the rule seems to be for, and what is next to it.
fn asked(rule: &Rule) -> Vec<Asked> {
    let suffix = rule.host.strip_prefix("*.").unwrap_or(&rule.host);
    let hosts = [
        rule.host.replace('*', "x"),
        suffix.to_owned(),
        format!("x{suffix}"),
        format!("x.{suffix}"),
    ];
    let mut all = Vec::new();
    for host in hosts {
        let Ok(host) = Host::parse(host.as_bytes()) else {
            continue;
        };
        for port in rule.ports.iter().copied().take(3).chain([443]) {
            for method in rule
                .methods
                .iter()
                .take(3)
                .map(String::as_str)
                .chain(["CONNECT"])
            {
                for path in rule.paths.iter().take(3).map(String::as_str).chain(["/"]) {
                    let Ok(path) = canonical_path(&path.replace('*', "x")) else {
                        continue;
                    };
                    all.push(Asked {
                        to: Authority::new(host.clone(), port),
                        method: method.replace('*', "PUT"),
                        path,
                    });
                }
            }
        }
    }
    all
}

fn read(bytes: &[u8]) -> Option<Policy> {
    if bytes.first() == Some(&b'{') {
        return serde_json::from_slice(bytes).ok();
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let mut policy = Policy {
        limits: EgressLimits::default(),
        ..Policy::default()
    };
    for line in text.lines().take(16) {
        match line {
            "learn" => policy.fetch = Fetch::Learn,
            "replayed" => policy.fetch = Fetch::Replayed,
            line => policy.allow.push(rule(line)),
        }
    }
    Some(policy)
}

fn rule(line: &str) -> Rule {
    let mut words = line.split(' ');
    let mut list = || -> Vec<String> {
        let parts = words.next().unwrap_or_default().split(',');
        parts.filter(|p| !p.is_empty()).map(Into::into).collect()
    };
    let host = list().join(",");
    let ports = list().iter().filter_map(|p| p.parse().ok()).collect();
    let (methods, paths, addresses, flags) = (list(), list(), list(), list());
    let flag = |name: &str| flags.iter().any(|f| f == name);
    Rule {
        host,
        ports,
        methods,
        paths,
        addresses,
        tls: if flag("inspect") {
            Tls::Inspect
        } else {
            Tls::Tunnel
        },
        raw: flag("raw"),
        websocket: flag("websocket"),
        max_up: Rule::MAX_UP,
        max_down: None,
        reason: None,
    }
}
