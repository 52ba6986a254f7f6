//! The learned policy: what it says, and that it allows what was asked for and nothing beside.

use belljar_model::{Class, EgressLayer, Exchange, Label};

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
    assert!(toml.contains("needs nothing"), "{toml}");
}

proptest::proptest! {
    /// Whatever names a build has, what comes out is rules and comments.
    #[test]
    fn it_is_always_rules_and_comments(names in proptest::collection::vec((".{0,20}", ".{0,20}"), 0..6)) {
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
        proptest::prop_assert_eq!(rules, learned.rules);
        proptest::prop_assert!(table.keys().all(|key| key == "egress"));
    }
}
