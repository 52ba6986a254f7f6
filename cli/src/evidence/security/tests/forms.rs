//! SARIF and OCSF against their schemas, and against names that mean harm.

use belljar_model::{Bytes, Exchange, Sha256};
use serde_json::Value;

use super::*;

fn standard(name: &str) -> Value {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = here.join("src/evidence/security/standards").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn ocsf_errors(event: &Value) -> Vec<String> {
    let class = match event["class_uid"].as_u64() {
        Some(4001) => "network_activity",
        Some(4002) => "http_activity",
        Some(4003) => "dns_activity",
        Some(2004) => "detection_finding",
        other => panic!("{other:?}"),
    };
    let mut schema = standard("ocsf-1.8.0.json");
    schema["$ref"] = format!("#/$defs/{class}").into();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    validator
        .iter_errors(event)
        .map(|e| e.to_string())
        .collect()
}

fn sarif_errors(log: &Value) -> Vec<String> {
    let mut schema = standard("sarif-2.1.0.json");
    // The one pattern in it that is no regular expression of the strict kind.
    for part in ["run", "toolComponent"] {
        let language = &mut schema["definitions"][part]["properties"]["language"];
        assert!(
            language
                .as_object_mut()
                .unwrap()
                .remove("pattern")
                .is_some()
        );
    }
    let validator = jsonschema::draft7::new(&schema).unwrap();
    validator.iter_errors(log).map(|e| e.to_string()).collect()
}

/// One record of every kind that the forms tell apart.
fn every_kind() -> Vec<EgressRecord> {
    let of = |host: &str| {
        record(
            Label::A,
            0,
            host.as_bytes(),
            b"/usr/bin/curl",
            Class::External,
        )
    };
    let proxied = |host: &str, method: Option<&str>, reason, verdict| EgressRecord {
        layer: EgressLayer::Proxy,
        event: "request".into(),
        verdict,
        reason,
        ask: Ask {
            family: "inet".into(),
            protocol: "tls".into(),
            host: host.into(),
            port: 443,
        },
        exchange: Exchange {
            rule: Some(0),
            method: method.map(str::to_owned),
            path: method.map(|_| "/a/b?name".into()),
            status: Some(200),
            sni: Some(host.into()),
            credential: Some("forge".into()),
            body: Some(Sha256::of(b"x")),
            ..Exchange::default()
        },
        when: EgressWhen {
            answers: vec![
                "203.0.113.7".parse().unwrap(),
                "2001:db8::7".parse().unwrap(),
            ],
            dialled: Some("203.0.113.7:443".parse().unwrap()),
            bytes: Some(Bytes { up: 10, down: 2000 }),
            took_us: Some(1500),
            ..of(host).when
        },
        ..of(host)
    };
    let (deny, allow) = (EgressVerdict::Deny, EgressVerdict::Allow);
    let mut all = vec![
        of("name.example"),
        proxied("a.example", Some("GET"), Reason::Allowed, allow),
        proxied(
            "a.example",
            Some("PROPFIND"),
            Reason::MethodNotAllowed,
            deny,
        ),
        proxied("b.example", None, Reason::Allowed, allow),
        proxied("c.example", Some("GET"), Reason::Learned, allow),
        proxied("d.example", Some("GET"), Reason::SecretMisroute, deny),
        proxied("e.example", Some("GET"), Reason::ReplayMiss, deny),
    ];
    let raw = |family: &str, protocol: &str, host: &str, reason| EgressRecord {
        layer: EgressLayer::Notify,
        event: "connect".into(),
        reason,
        ask: Ask {
            family: family.into(),
            protocol: protocol.into(),
            host: host.into(),
            port: 0,
        },
        ..of(host)
    };
    all.push(raw("inet6", "udp", "2001:db8::1", Reason::UdpNoRoute));
    all.push(raw(
        "unix",
        "unknown",
        "/run/docker.sock",
        Reason::UnixSocketDenied,
    ));
    all.push(raw(
        "inet",
        "tcp",
        "169.254.169.254",
        Reason::MetadataAddress,
    ));
    all[9].proc.exe_sha256 = Some(Sha256::of(b""));
    all.push(EgressRecord {
        verdict: allow,
        reason: Reason::Allowed,
        when: EgressWhen {
            answers: vec!["127.66.1.0".parse().unwrap()],
            ..of("a.example").when
        },
        ..of("a.example")
    });
    for (n, record) in all.iter_mut().enumerate() {
        record.seq = n as u64;
    }
    all
}

fn events(files: &BTreeMap<String, Vec<u8>>) -> Vec<Value> {
    let lines = text(files, "egress.ocsf.ndjson");
    lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[test]
fn ocsf_keeps_its_form() {
    let files = folder(
        &every_kind(),
        &selftest(1),
        &plan(OnDeny::Fail, vec![]),
        &layers(),
        0,
    );
    let events = events(&files);
    for event in &events {
        let errors = ocsf_errors(event);
        assert!(errors.is_empty(), "{errors:?} in {event:#}");
    }
    let classes: Vec<_> = events
        .iter()
        .map(|e| {
            (
                e["class_uid"].as_u64().unwrap(),
                e["activity_id"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        classes,
        [
            (2004, 1), // the hole
            (4003, 1),
            (4002, 3),
            (4002, 99),
            (4001, 6),
            (4002, 3),
            (4002, 3),
            (2004, 1), // the secret
            (4002, 3),
            (4001, 5),
            (4001, 5),
            (4001, 5),
            (4003, 1),
        ]
    );
    let ids = |n: usize| ["action_id", "disposition_id"].map(|key| events[n][key].as_u64());
    assert_eq!(ids(1), [Some(2), Some(2)]);
    assert_eq!(ids(2), [Some(1), Some(1)]);
    assert_eq!(
        ids(5),
        [Some(3), Some(17)],
        "learned is observed, and no more"
    );
    assert_eq!(events[2]["time"], 1_767_323_045_000_u64);
}

#[test]
fn the_schema_of_ocsf_can_refuse() {
    let files = folder(
        &every_kind(),
        &selftest(0),
        &plan(OnDeny::Fail, vec![]),
        &layers(),
        0,
    );
    for event in events(&files) {
        for (key, value) in [
            ("time", Value::Null),
            ("more", 1.into()),
            ("class_uid", "4001".into()),
        ] {
            let mut wrong = event.clone();
            let class = wrong["class_uid"].clone();
            wrong[key] = value;
            let mut schema = standard("ocsf-1.8.0.json");
            let name = match class.as_u64() {
                Some(4001) => "network_activity",
                Some(4002) => "http_activity",
                Some(2004) => "detection_finding",
                _ => "dns_activity",
            };
            schema["$ref"] = format!("#/$defs/{name}").into();
            assert!(!jsonschema::is_valid(&schema, &wrong), "{key} in {wrong:#}");
        }
    }
}

#[test]
fn sarif_keeps_its_form() {
    let gate = plan(OnDeny::Fail, vec![]);
    let files = folder(&every_kind(), &selftest(0), &gate, &layers(), 2);
    let log: Value = serde_json::from_slice(&files["egress.sarif"]).unwrap();
    let errors = sarif_errors(&log);
    assert!(errors.is_empty(), "{errors:?}");
    insta::assert_snapshot!(
        "sarif",
        text(&files, "egress.sarif").replace(env!("CARGO_PKG_VERSION"), "VERSION")
    );
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    let allowed = |r: &&Value| r["ruleId"] == "allowed" || r["ruleId"] == "replayed";
    assert_eq!(
        results.iter().filter(allowed).count(),
        0,
        "what was let through is no finding"
    );
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        let rule = &run["tool"]["driver"]["rules"][index];
        assert_eq!(rule["id"], result["ruleId"]);
        let level = if result["ruleId"] == "learned" {
            "note"
        } else {
            "error"
        };
        assert_eq!(result["level"], level);
    }
    let mut wrong = log.clone();
    wrong["runs"][0]["results"][0]["level"] = "fatal".into();
    assert!(!sarif_errors(&wrong).is_empty());
}

#[test]
fn a_log_has_no_more_results_than_services_take() {
    let records: Vec<_> = (0..5100)
        .map(|n| {
            let host = format!("h{n}.example");
            record(
                Label::A,
                n,
                host.as_bytes(),
                b"/usr/bin/curl",
                Class::External,
            )
        })
        .collect();
    let files = folder(
        &records,
        &selftest(0),
        &plan(OnDeny::Record, vec![]),
        &layers(),
        0,
    );
    let log: Value = serde_json::from_slice(&files["egress.sarif"]).unwrap();
    let run = &log["runs"][0];
    assert_eq!(
        run["results"].as_array().map(Vec::len),
        Some(sarif::MAX_RESULTS)
    );
    let notice = &run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"];
    assert_eq!(notice, "100 more results are in egress.ndjson");
    assert_eq!(run["results"][0]["level"], "warning");
}

#[test]
fn repeats_fold_into_one_result() {
    let one = |seq| {
        record(
            Label::A,
            seq,
            b"x.example",
            b"/usr/bin/curl",
            Class::External,
        )
    };
    let log = |n: u64| -> Value {
        let records: Vec<_> = (0..n).map(one).collect();
        let files = folder(
            &records,
            &selftest(0),
            &plan(OnDeny::Record, vec![]),
            &layers(),
            0,
        );
        serde_json::from_slice(&files["egress.sarif"]).unwrap()
    };
    let (once, often) = (log(1), log(3));
    let result = |log: &Value| log["runs"][0]["results"][0].clone();
    assert_eq!(
        often["runs"][0]["results"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(result(&often)["properties"]["count"], 3);
    assert_eq!(result(&often)["properties"]["last"]["seq"], 2);
    assert_eq!(
        result(&once)["partialFingerprints"],
        result(&often)["partialFingerprints"]
    );
}

proptest! {
    #[test]
    fn no_name_breaks_a_form(names in prop::collection::vec((hostile(), hostile()), 1..8), answer in hostile()) {
        let mut records: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(n, (host, exe))| record(Label::A, n as u64, host, exe, Class::External))
            .collect();
        for (record, (host, exe)) in records.iter_mut().zip(&names).skip(1) {
            record.layer = EgressLayer::Proxy;
            record.exchange.method = Some(String::from_utf8_lossy(exe).into_owned());
            record.exchange.path = Some(OsText::from(&host[..]));
            record.proc.argv = vec![OsText::from(&host[..])];
            record.proc.chain = vec![vec![OsText::from(&exe[..])]];
        }
        let mut probes = selftest(1);
        probes.probes[0].answer = String::from_utf8_lossy(&answer).into_owned();
        let files = folder(&records, &probes, &plan(OnDeny::Fail, vec![]), &layers(), 0);
        let ocsf = text(&files, "egress.ocsf.ndjson");
        prop_assert!(ocsf.bytes().all(|b| b >= b' ' || b == b'\n'));
        prop_assert_eq!(ocsf.lines().count(), records.len() + 1);
        for event in events(&files) {
            let errors = ocsf_errors(&event);
            prop_assert!(errors.is_empty(), "{:?} in {:#}", errors, event);
        }
        let log: Value = serde_json::from_slice(&files["egress.sarif"]).unwrap();
        let errors = sarif_errors(&log);
        prop_assert!(errors.is_empty(), "{:?}", errors);
        for result in log["runs"][0]["results"].as_array().unwrap() {
            let message = result["message"]["text"].as_str().unwrap();
            prop_assert!(message.len() <= sarif::MAX_MESSAGE);
            prop_assert!(!message.contains(['[', ']', '{', '}', '<', '\n']), "{}", message);
        }
        prop_assert_eq!(folder(&records, &probes, &plan(OnDeny::Fail, vec![]), &layers(), 0), files);
    }
}

/// A pair with everything that a page can say at once.
fn crowded() -> BTreeMap<String, Vec<u8>> {
    let mut records = Vec::new();
    for (n, record) in every_kind().into_iter().cycle().take(400).enumerate() {
        let run = if n % 2 == 0 { Label::A } else { Label::B };
        let mut record = EgressRecord { run, ..record };
        record.ask.host = format!("h{n}.{}", record.ask.host).as_str().into();
        record.exchange.credential = Some(format!("label-{}", n % 9));
        record.exchange.replayed = run == Label::B;
        records.push(record);
    }
    let mut plan = plan(OnDeny::Fail, vec![]);
    plan.egress.fetch = belljar_model::Fetch::Replayed;
    let walls: Vec<_> = (0..9).flat_map(|_| layers()).collect();
    folder(&records, &selftest(24), &plan, &walls, 3)
}

#[test]
fn a_page_with_everything_fits() {
    let page = text(&crowded(), "summary.md");
    let lines = page.lines().count();
    assert!(lines <= summary::MAX_LINES, "{lines}\n{page}");
    cells(&page);
    insta::assert_snapshot!("crowded", page);
}
