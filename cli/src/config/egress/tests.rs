use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::config::read;

fn policy(toml: &str, flags: &[&str], replayed: bool) -> Result<Policy, String> {
    let file = read(Path::new("app/belljar.toml"), toml).map_err(|e| e.to_string())?;
    let flags: Vec<Allowed> = flags.iter().map(|f| f.parse().unwrap()).collect();
    let read = file.egress.policy(&flags, replayed);
    read.map(|(policy, _)| policy).map_err(|e| e.to_string())
}

#[test]
fn nothing_is_opened_by_default() {
    assert_eq!(policy("", &[], false), Ok(Policy::default()));
    assert!(!policy("[egress]\n", &[], true).unwrap().opens());
}

#[test]
fn defaults_are_filled_in_and_hosts_are_canonical() {
    let rule = &policy("[[egress.allow]]\nhost = \"BÜCHER.example.\"\n", &[], false)
        .unwrap()
        .allow[0];
    assert_eq!(rule.host, "xn--bcher-kva.example");
    assert_eq!(
        (rule.ports.as_slice(), rule.max_up),
        (&[80, 443][..], 4 << 20)
    );
    assert_eq!(
        (rule.methods.join(" ").as_str(), rule.tls),
        ("GET HEAD", Tls::Tunnel)
    );
}

#[test]
fn what_has_to_be_seen_opens_tls() {
    for key in [
        "methods = [\"POST\"]",
        "paths = [\"/x\"]",
        "websocket = true",
        "tls = \"inspect\"",
    ] {
        let toml = format!("[[egress.allow]]\nhost = \"a.test\"\n{key}\n");
        assert_eq!(
            policy(&toml, &[], false).unwrap().allow[0].tls,
            Tls::Inspect,
            "{key}"
        );
    }
}

#[test]
fn flags_stand_behind_the_file() {
    let all = policy(
        "[[egress.allow]]\nhost = \"a.test\"\n",
        &["b.test:8080", "[2001:db8::1]:1"],
        false,
    )
    .unwrap();
    let hosts: Vec<_> = all
        .allow
        .iter()
        .map(|r| (r.host.as_str(), r.ports.clone()))
        .collect();
    assert_eq!(
        hosts,
        [
            ("a.test", vec![80, 443]),
            ("b.test", vec![8080]),
            ("2001:db8::1", vec![1])
        ]
    );
}

#[test]
fn a_pair_is_recorded_and_seen() {
    let pair = policy("[[egress.allow]]\nhost = \"a.test\"\n", &["b.test"], true).unwrap();
    assert_eq!(pair.fetch, Fetch::Replayed);
    assert!(pair.allow.iter().all(|r| r.tls == Tls::Inspect));
    for key in ["raw = true", "tls = \"tunnel\""] {
        let toml = format!("[[egress.allow]]\nhost = \"a.test\"\n{key}\n");
        assert!(
            policy(&toml, &[], true).unwrap_err().contains("verify"),
            "{key}"
        );
        assert!(policy(&toml, &[], false).is_ok(), "{key}");
    }
}

#[test]
fn where_a_credential_comes_from_is_not_in_the_policy() {
    let toml = "[[egress.allow]]\nhost = \"a.test\"\n[egress.credential.read]\nhost = \"a.test\"\nfile = \"s3cret-place\"\n";
    let file = read(Path::new("app/belljar.toml"), toml).unwrap();
    let (policy, origins) = file.egress.policy(&[], false).unwrap();
    assert_eq!(origins["read"], Origin::File("app/s3cret-place".into()));
    assert!(!serde_json::to_string(&policy).unwrap().contains("s3cret"));
    assert_eq!(policy.allow[0].tls, Tls::Inspect);
    assert_eq!(policy.credential["read"].header, "authorization");
}

#[test]
fn wrong_policies() {
    let allow = |more: &str| format!("[[egress.allow]]\nhost = \"a.test\"\n{more}\n");
    let credential = |more: &str| format!("{}[egress.credential.x]\n{more}\n", allow(""));
    let texts = [
        "egress = 1\n".to_owned(),
        "[egress]\nalow = 1\n".into(),
        "[[egress.allow]]\nports = [1]\n".into(),
        "[[egress.allow]]\nhost = \"*\"\n".into(),
        "[[egress.allow]]\nhost = \"*.com\"\n".into(),
        allow("prots = [1]"),
        allow("port = 0"),
        allow("port = 70000"),
        allow("port = 1\nports = [2]"),
        allow("ports = []"),
        allow("methods = [\"get\"]"),
        allow("paths = []"),
        allow("paths = [\"x\"]"),
        allow("paths = [\"/x\"]\ntls = \"tunnel\""),
        allow("raw = true\nmethods = [\"GET\"]"),
        allow("tls = \"open\""),
        allow("max_up = \"4Q\""),
        allow("addresses = [\"10.0.0.1/8\"]"),
        credential("host = \"a.test\""),
        credential("host = \"a.test\"\nfile = \"x\"\nenv = \"Y\""),
        credential("host = \"b.test\"\nenv = \"Y\""),
        credential("host = \"a.test\"\nenv = \"Y\"\nscheme = \"basic\""),
        credential("host = \"a.test\"\nenv = \"Y\"\nvalue = \"s3cret\""),
        "[egress.limits]\nconnections = 0\n".into(),
    ];
    let said: Vec<_> = texts
        .iter()
        .map(|text| format!("{text}---\n{}", policy(text, &[], false).unwrap_err()))
        .collect();
    insta::assert_snapshot!(said.join("\n"));
}

proptest! {
    #[test]
    fn no_table_opens_by_a_panic(lines in prop::collection::vec(
        ("(host|port|ports|methods|paths|addresses|tls|raw|websocket|max_up|reason)",
         "(-?[0-9]{1,9}|\"[a-z*./:]{0,9}\"|true|\\[\\]|\\[\"[/*A-Za-z]{0,6}\"\\])"), 0..6)) {
        let text: Vec<_> = lines.iter().map(|(k, v)| format!("{k} = {v}")).collect();
        let _ = policy(&format!("[[egress.allow]]\n{}\n", text.join("\n")), &[], false);
    }
}
