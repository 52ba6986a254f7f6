//! Who is refused, what is let through, and in what two runs are not alike.

use belljar_model::{EgressWhen, Exchange, Rule};

use super::*;
use crate::evidence::samples;

fn request(run: Label, host: &str, path: &str) -> EgressRecord {
    let base = samples::record(run, Class::External);
    EgressRecord {
        layer: EgressLayer::Proxy,
        event: "request".into(),
        verdict: EgressVerdict::Allow,
        reason: Reason::Allowed,
        ask: belljar_model::Ask {
            host: host.into(),
            ..base.ask
        },
        exchange: Exchange {
            rule: Some(0),
            method: Some("GET".into()),
            path: Some(path.into()),
            status: Some(200),
            ..Exchange::default()
        },
        when: EgressWhen {
            bytes: Some(Bytes { up: 3, down: 500 }),
            ..base.when
        },
        ..base
    }
}

fn served(host: &str, path: &str) -> EgressRecord {
    let mut record = request(Label::B, host, path);
    record.reason = Reason::Replayed;
    record.exchange.replayed = true;
    record
}

fn missed(host: &str, path: &str) -> EgressRecord {
    let mut record = request(Label::B, host, path);
    record.verdict = EgressVerdict::Deny;
    record.reason = Reason::ReplayMiss;
    record
}

fn refusal(run: Label, host: &str, reason: Reason) -> EgressRecord {
    let mut record = request(run, host, "/");
    record.verdict = EgressVerdict::Deny;
    record.reason = reason;
    record
}

fn plan(fetch: Fetch) -> Plan {
    let mut plan = samples::plan();
    plan.egress.fetch = fetch;
    plan
}

fn told(fetch: Fetch, records: &[EgressRecord]) -> NetworkReport {
    let records: Vec<_> = records.iter().collect();
    report(&plan(fetch), &records, true)
}

fn names<T>(findings: &Findings<T>, name: impl Fn(&T) -> &OsText) -> Vec<String> {
    findings.first.iter().map(|f| name(f).to_string()).collect()
}

#[test]
fn what_a_rule_let_through_is_no_denial() {
    let mut look_up = request(Label::A, "a.example", "/");
    look_up.layer = EgressLayer::Dns;
    let records = [
        request(Label::A, "a.example", "/"),
        look_up,
        served("a.example", "/"),
        refusal(Label::A, "b.example", Reason::HostNotAllowed),
    ];
    let told = told(Fetch::Replayed, &records);
    assert_eq!((told.denied, told.allowed), (1, 2));
    assert_eq!((told.recorded, told.served), (1, 1));
    assert_eq!(names(&told.refused, |r| &r.host), ["b.example"]);
    let records: Vec<_> = records.iter().collect();
    assert_eq!(
        bytes(&records),
        Some(Bytes { up: 3, down: 500 }),
        "what is served did not travel"
    );
    assert_eq!(bytes(&records[3..]), None);
}

#[test]
fn a_request_of_one_run_alone_is_drift() {
    let records = [
        request(Label::A, "both.example", "/"),
        request(Label::A, "both.example", "/"),
        request(Label::A, "a.example", "/only"),
        served("both.example", "/"),
        missed("both.example", "/other"),
        missed("both.example", "/other"),
    ];
    let told = told(Fetch::Replayed, &records);
    assert_eq!(names(&told.drift.only_a, |r| &r.host), ["a.example"]);
    let other: Vec<_> = told
        .drift
        .only_b
        .first
        .iter()
        .map(|r| (r.path.clone(), r.count))
        .collect();
    assert_eq!(other, [(Some("/other".into()), 2)]);
    assert!(
        told.denials.is_empty(),
        "a miss is drift, and not said twice"
    );
}

#[test]
fn a_miss_is_drift_although_it_looks_like_a_request_of_run_a() {
    // Only the value of a parameter is another, and values are not in a record.
    let records = [
        request(Label::A, "a.example", "/?at"),
        missed("a.example", "/?at"),
    ];
    let told = told(Fetch::Replayed, &records);
    assert_eq!(told.drift.only_b.total, 1);
}

#[test]
fn how_often_is_no_drift() {
    let records = [
        request(Label::A, "a.example", "/poll"),
        request(Label::A, "a.example", "/poll"),
        served("a.example", "/poll"),
    ];
    assert!(told(Fetch::Replayed, &records).drift.is_empty());
}

#[test]
fn a_run_that_asked_for_nothing_drifts_too() {
    let told = told(Fetch::Replayed, &[request(Label::A, "a.example", "/")]);
    assert_eq!(told.drift.only_a.total, 1);
    let record = request(Label::A, "a.example", "/");
    assert!(
        report(&plan(Fetch::Live), &[&record], false)
            .drift
            .is_empty(),
        "there is no pair"
    );
}

#[test]
fn denials_of_one_run_alone() {
    let records = [
        refusal(Label::A, "both.example", Reason::HostNotAllowed),
        refusal(Label::B, "both.example", Reason::HostNotAllowed),
        refusal(Label::B, "both.example", Reason::PortNotAllowed),
        refusal(Label::C, "far.example", Reason::HostNotAllowed),
    ];
    let told = told(Fetch::Live, &records);
    assert!(told.denials.only_a.is_empty());
    let only_b: Vec<_> = told.denials.only_b.first.iter().map(|r| r.reason).collect();
    assert_eq!(only_b, [Reason::PortNotAllowed]);
}

#[test]
fn lists_are_cut_and_say_how_long_they_are() {
    let records: Vec<_> = (0..70)
        .map(|n| refusal(Label::A, &format!("h{n}.example"), Reason::HostNotAllowed))
        .collect();
    let told = told(Fetch::Live, &records);
    assert_eq!((told.refused.total, told.refused.first.len()), (70, 50));
    assert_eq!(told.denials.only_a.total, 70);
}

fn fix(record: &EgressRecord) -> (Option<String>, Option<String>) {
    let fix = fix::of(&[record]);
    (fix.as_ref().map(fix::Fix::rule), fix.and_then(|f| f.flag()))
}

#[test]
fn a_fix_allows_no_more_than_was_asked_for() {
    let some = |s: &str| Some(s.to_owned());
    let mut name = refusal(Label::A, "Pkg.Example.", Reason::DnsNameDenied);
    name.layer = EgressLayer::Dns;
    name.exchange = Exchange::default();
    assert_eq!(
        fix(&name),
        (
            some("[[egress.allow]]\nhost = \"pkg.example\"\n"),
            some("--allow pkg.example")
        )
    );
    let get = refusal(Label::A, "pkg.example", Reason::HostNotAllowed);
    assert_eq!(fix(&get).1, some("--allow pkg.example:443"));
    let mut post = refusal(Label::A, "pkg.example", Reason::MethodNotAllowed);
    post.exchange.method = Some("POST".into());
    assert_eq!(
        fix(&post),
        (
            some("[[egress.allow]]\nhost = \"pkg.example\"\nports = [443]\nmethods = [\"POST\"]\n"),
            None
        )
    );
    let mut inner = refusal(Label::A, "git.corp.example", Reason::PrivateAddress);
    inner.when.answers = vec!["198.51.100.4".parse().unwrap()];
    assert_eq!(
        fix(&inner).0,
        some(
            "[[egress.allow]]\nhost = \"git.corp.example\"\nports = [443]\naddresses = [\"198.51.100.4\"]\n"
        )
    );
    let literal = refusal(Label::A, "2001:db8::5", Reason::IpLiteral);
    assert_eq!(fix(&literal).1, some("--allow [2001:db8::5]:443"));
    for reason in [
        Reason::MetadataAddress,
        Reason::SecretMisroute,
        Reason::ReplayMiss,
        Reason::SniMismatch,
    ] {
        assert_eq!(
            fix(&refusal(Label::A, "x.example", reason)),
            (None, None),
            "{reason:?}"
        );
    }
}

#[test]
fn a_fix_is_for_all_that_was_asked_of_a_place() {
    let mut get = refusal(Label::A, "in.example", Reason::PrivateAddress);
    get.when.answers = vec!["198.51.100.4".parse().unwrap()];
    let mut post = get.clone();
    post.exchange.method = Some("POST".into());
    post.when.answers = vec!["198.51.100.3".parse().unwrap()];
    let all = refused([&get, &post].into_iter());
    assert_eq!(all.len(), 1);
    assert_eq!(
        all[0].rule.as_deref(),
        Some(
            "[[egress.allow]]\nhost = \"in.example\"\nports = [443]\nmethods = [\"GET\", \"POST\"]\naddresses = [\"198.51.100.3\", \"198.51.100.4\"]\n"
        )
    );
}

#[test]
fn no_odd_name_comes_into_a_rule() {
    for odd in [
        "",
        ".",
        "a b.example",
        "a.example\"\nx=1",
        "*.example",
        "0x7f.1",
        "1.2.3",
        "a..b",
    ] {
        let kept = fix::of(&[&refusal(Label::A, odd, Reason::HostNotAllowed)]);
        assert!(kept.is_none(), "{odd:?}");
    }
    let mut odd = refusal(Label::A, "x.example", Reason::PathNotAllowed);
    for path in ["/a/*", "/`", "/\"", "/a\\b", "a", "/\u{e9}", "/a\nb"] {
        odd.exchange.path = Some(path.into());
        assert!(fix::of(&[&odd]).is_none(), "{path:?}");
    }
    odd.exchange.path = Some("/a/b.tar.gz?token".into());
    assert!(fix(&odd).0.unwrap().contains("paths = [\"/a/b.tar.gz\"]"));
}

#[test]
fn hints_name_one_step() {
    let methods = Rule::METHODS;
    assert!(methods.contains(&"GET"));
    let one = [refusal(Label::A, "a.example", Reason::HostNotAllowed)];
    let hint_one = hint(&one).unwrap();
    assert!(
        hint_one.contains("`--allow a.example:443`") && hint_one.contains("belljar egress learn"),
        "{hint_one}"
    );
    let none = [refusal(
        Label::A,
        "169.254.169.254",
        Reason::MetadataAddress,
    )];
    let hint_none = hint(&none).unwrap();
    assert!(
        !hint_none.contains("--allow") && hint_none.contains("no rule allows it"),
        "{hint_none}"
    );
    assert_eq!(hint(&[request(Label::A, "a.example", "/")]), None);
}

proptest::proptest! {
    /// Whatever was asked for, the rule is one table of TOML with the keys it should have.
    #[test]
    fn a_rule_is_one_table(host in ".{0,40}", path in ".{0,40}", method in ".{0,12}") {
        for reason in Reason::ALL {
            let mut record = refusal(Label::A, &host, reason);
            record.exchange.path = Some(path.as_str().into());
            record.exchange.method = Some(method.clone());
            if let Some(rule) = fix(&record).0 {
                let table: toml::Table = rule.parse().unwrap();
                let keys = ["host", "ports", "methods", "paths", "addresses", "tls", "raw", "websocket"];
                let rules = table["egress"]["allow"].as_array().unwrap();
                proptest::prop_assert_eq!((table.len(), rules.len()), (1, 1));
                let known = rules[0].as_table().unwrap().keys().all(|k| keys.contains(&k.as_str()));
                proptest::prop_assert!(known);
            }
        }
    }
}

#[test]
fn the_documents_explain_every_reason() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(here.join("../docs/egress.md")).unwrap();
    let table = text.lines().skip_while(|l| !l.starts_with("| reason |"));
    let rows: Vec<&str> = table.skip(2).take_while(|l| !l.is_empty()).collect();
    let expected: Vec<String> = Reason::ALL
        .iter()
        .map(|r| format!("| `{}` | {} | {} |", r.name(), r.meaning(), r.remedy()))
        .collect();
    assert_eq!(rows, expected);
}
