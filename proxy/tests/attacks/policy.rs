//! The policy that the attacks are made under.

use belljar_model::{EgressLimits, Policy, Rule, Tls};

/// Milliseconds that a head may take here.
pub(crate) const HEAD_MS: u64 = 400;

fn rule(host: &str, ports: &[u16]) -> Rule {
    Rule {
        host: host.into(),
        ports: ports.to_vec(),
        methods: Rule::METHODS.map(String::from).to_vec(),
        paths: vec![],
        addresses: vec!["192.0.2.10".into()],
        tls: Tls::Tunnel,
        raw: false,
        websocket: false,
        max_up: Rule::MAX_UP,
        max_down: None,
        reason: None,
    }
}

/// It allows a little of everything.
pub(crate) fn policy() -> Policy {
    let posts = |rule: Rule, paths: &[&str]| Rule {
        methods: vec!["GET".into(), "POST".into()],
        paths: paths.iter().map(|p| (*p).into()).collect(),
        tls: Tls::Inspect,
        ..rule
    };
    let mut allow = vec![
        rule("allowed.example", &[80, 443]),
        rule("*.wild.example", &[443]),
        posts(rule("paths.example", &[80]), &["/ok/**"]),
        posts(
            rule("git.example", &[80]),
            &["/repo.git/info/refs", "/repo.git/git-upload-pack"],
        ),
        Rule {
            raw: true,
            ..rule("raw.example", &[7000])
        },
        Rule {
            addresses: vec!["169.254.169.254".into()],
            ..rule("insists.example", &[80, 443])
        },
    ];
    for name in [
        "private",
        "loopback",
        "unspecified",
        "metadata",
        "alias",
        "mixed",
        "mapped",
        "nat64",
        "self",
        "multicast",
        "nothing",
    ] {
        allow.push(rule(&format!("{name}.example"), &[80, 443]));
    }
    Policy {
        allow,
        limits: EgressLimits {
            head_ms: HEAD_MS,
            ..EgressLimits::default()
        },
        ..Policy::default()
    }
}
