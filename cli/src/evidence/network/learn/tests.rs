//! The learned policy: what it says, and that it allows what was asked for and nothing beside.

use belljar_model::{Class, EgressLayer, Exchange, Label, Policy, Tls};
use belljar_proxy::authority::{Authority, Host};
use belljar_proxy::policy::Compiled;
use proptest::prelude::*;

use super::*;
use crate::evidence::samples;

fn seen(host: &str, port: u16, exe: &str, protocol: &str, method: Option<&str>) -> EgressRecord {
    let base = samples::record(Label::A, Class::External);
    EgressRecord {
        layer: EgressLayer::Proxy,
        event: "request".into(),
        verdict: EgressVerdict::Allow,
        reason: Reason::Learned,
        ask: belljar_model::Ask {
            host: host.into(),
            port,
            protocol: protocol.into(),
            ..base.ask
        },
        exchange: Exchange {
            would: Some(EgressVerdict::Deny),
            method: method.map(str::to_owned),
            ..Exchange::default()
        },
        proc: belljar_model::Proc {
            exe: exe.into(),
            ..base.proc
        },
        ..base
    }
}

fn denied(host: &str, reason: Reason) -> EgressRecord {
    EgressRecord {
        verdict: EgressVerdict::Deny,
        reason,
        ..seen(host, 80, "/usr/bin/curl", "http", Some("GET"))
    }
}

fn a_build() -> Vec<EgressRecord> {
    let mut ruled = seen("known.example", 443, "/usr/bin/curl", "tls", None);
    ruled.exchange.would = Some(EgressVerdict::Allow);
    let mut look_up = seen("looked-up.example", 53, "/usr/bin/curl", "udp", None);
    look_up.layer = EgressLayer::Dns;
    let mut big = seen("upload.example", 443, "/usr/bin/curl", "tls", Some("PUT"));
    big.when.bytes = Some(belljar_model::Bytes {
        up: 5 << 20,
        down: 1,
    });
    vec![
        seen("pkg.example", 443, "/usr/bin/cargo", "tls", Some("GET")),
        seen("pkg.example", 443, "/usr/bin/cargo", "tls", Some("GET")),
        seen("pkg.example", 80, "/usr/bin/curl", "http", Some("GET")),
        seen("git.example", 443, "/usr/bin/git", "tls", Some("POST")),
        seen("form.example", 80, "/usr/bin/curl", "http", Some("POST")),
        seen("203.0.113.9", 8443, "/opt/\u{1b}x", "tls", None),
        seen("odd_\"name", 443, "/usr/bin/curl", "tls", None),
        big,
        ruled,
        look_up,
        denied("169.254.169.254", Reason::MetadataAddress),
        denied("gone.example", Reason::NoAnswer),
    ]
}

#[test]
fn what_is_learned() {
    let learned = learn(&a_build(), &samples::run(Label::A), false).unwrap();
    assert_eq!((learned.rules, learned.denied), (5, 3));
    insta::assert_snapshot!("learned", learned.toml);
}

#[test]
fn what_is_learned_to_be_inspected() {
    let learned = learn(&a_build(), &samples::run(Label::A), true).unwrap();
    insta::assert_snapshot!("inspected", learned.toml);
}

#[test]
fn nothing_is_learned_of_lost_records() {
    let mut report = samples::run(Label::A);
    report.records_lost = 1;
    assert_eq!(learn(&a_build(), &report, false), None);
}

#[test]
fn a_build_that_failed_may_need_more() {
    let mut report = samples::run(Label::A);
    report.status = Some(2);
    let toml = learn(&[], &report, false).unwrap().toml;
    assert!(
        toml.contains("ended with exit status 2: it may need more"),
        "{toml}"
    );
    assert!(toml.contains("Nothing was let through"), "{toml}");
}

/// The rules as `belljar.toml` reads them.
fn compiled(toml: &str) -> Compiled {
    let table: toml::Table = toml.parse().unwrap();
    let none = vec![];
    let rules = table
        .get("egress")
        .map_or(&none, |e| e["allow"].as_array().unwrap());
    let texts = |rule: &toml::Value, key: &str, default: &[&str]| -> Vec<String> {
        match rule.get(key) {
            Some(list) => {
                let list = list.as_array().unwrap().iter();
                list.map(|v| v.as_str().unwrap().into()).collect()
            }
            None => default.iter().map(|m| (*m).to_owned()).collect(),
        }
    };
    let allow = rules.iter().map(|rule| {
        let ports = rule["ports"].as_array().unwrap().iter();
        belljar_model::Rule {
            host: rule["host"].as_str().unwrap().into(),
            ports: ports
                .map(|p| u16::try_from(p.as_integer().unwrap()).unwrap())
                .collect(),
            methods: texts(rule, "methods", &Rule::METHODS),
            paths: vec![],
            addresses: vec![],
            tls: Tls::Tunnel,
            raw: false,
            websocket: false,
            max_up: Rule::MAX_UP,
            max_down: None,
            reason: None,
        }
    });
    let policy = Policy {
        allow: allow.collect(),
        ..Policy::default()
    };
    Compiled::new(&policy).unwrap()
}

fn at(host: &str, port: u16) -> Authority {
    Authority::new(Host::parse(host.as_bytes()).unwrap(), port)
}

const HOSTS: [&str; 5] = [
    "a.example",
    "b.example",
    "www.a.example",
    "203.0.113.4",
    "2001:db8::4",
];
const BESIDE: [&str; 4] = ["x.a.example", "xa.example", "example", "203.0.113.5"];
const METHODS: [&str; 5] = ["GET", "HEAD", "POST", "PUT", "PROPFIND"];

/// Host, port and method; TLS is spoken on 443.
fn asked() -> impl Strategy<Value = (&'static str, u16, &'static str)> {
    let host = prop::sample::select(&HOSTS[..]);
    let port = prop::sample::select(&[80_u16, 443, 8080][..]);
    (host, port, prop::sample::select(&METHODS[..]))
}

proptest! {
    /// What was learned is allowed, and its neighbours are not.
    #[test]
    fn it_allows_what_was_asked_for_and_nothing_else(asked in prop::collection::vec(asked(), 0..12), inspect: bool) {
        let records: Vec<_> = asked
            .iter()
            .map(|(host, port, method)| {
                let protocol = if *port == 443 { "tls" } else { "http" };
                seen(host, *port, "/usr/bin/x", protocol, Some(method))
            })
            .collect();
        let toml = learn(&records, &samples::run(Label::A), inspect).unwrap().toml;
        let policy = compiled(&toml);
        for host in HOSTS.into_iter().chain(BESIDE) {
            for port in [79, 80, 81, 443, 8080] {
                let place = at(host, port);
                let methods: BTreeSet<&str> =
                    asked.iter().filter(|a| a.0 == host && a.1 == port).map(|a| a.2).collect();
                let wanted = !methods.is_empty();
                prop_assert_eq!(policy.authority(&place).allow, wanted, "{}:{} {}", host, port, &toml);
                // In a tunnel no request is seen.
                if port == 443 && !inspect {
                    continue;
                }
                for method in METHODS.into_iter().chain(["DELETE"]) {
                    let allow = policy.request(&place, method, "/any").allow;
                    // A rule that names no method has both of these.
                    let by_default = !inspect && wanted && Rule::METHODS.contains(&method);
                    let said = format!("{method} {host}:{port} {toml}");
                    prop_assert!(allow || !methods.contains(method), "{}", said);
                    prop_assert!(!allow || methods.contains(method) || by_default, "{}", said);
                }
            }
        }
    }

    /// Whatever names a build has, what comes out is rules and comments.
    #[test]
    fn it_is_always_rules_and_comments(names in prop::collection::vec((".{0,20}", ".{0,20}"), 0..6)) {
        let records: Vec<_> = names
            .iter()
            .flat_map(|(host, exe)| [
                seen(host, 443, exe, "tls", Some("GET")),
                EgressRecord { ask: seen(host, 1, exe, "x", None).ask, ..denied("x", Reason::Unknown) },
            ])
            .collect();
        let learned = learn(&records, &samples::run(Label::A), true).unwrap();
        let table: toml::Table = learned.toml.parse().unwrap();
        let rules = table.get("egress").map_or(0, |e| e["allow"].as_array().unwrap().len());
        prop_assert_eq!(rules, learned.rules);
        prop_assert!(table.keys().all(|key| key == "egress"));
    }
}
