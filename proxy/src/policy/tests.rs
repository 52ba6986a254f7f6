use belljar_model::{Credential, Policy, Scheme, Tls};
use proptest::prelude::*;

use super::*;

fn rule(host: &str) -> Rule {
    Rule {
        host: host.into(),
        ports: vec![443],
        methods: vec!["GET".into()],
        paths: vec![],
        addresses: vec![],
        tls: Tls::Inspect,
        raw: false,
        websocket: false,
        max_up: Rule::MAX_UP,
        max_down: None,
        reason: None,
    }
}

fn compiled(allow: Vec<Rule>) -> Compiled {
    Compiled::new(&Policy {
        allow,
        ..Policy::default()
    })
    .unwrap()
}

fn at(text: &str) -> Authority {
    Authority::parse(text.as_bytes(), Some(443)).unwrap()
}

#[test]
fn nothing_allows_nothing() {
    let none = compiled(vec![]);
    assert_eq!(
        none.authority(&at("a.example")).reason,
        Reason::HostNotAllowed
    );
    assert!(!none.name(&Host::Name("a.example".into())).allow);
}

#[test]
fn the_nearest_rule_names_the_reason() {
    let policy = compiled(vec![
        rule("a.example"),
        Rule {
            paths: vec!["/ok/**".into()],
            ..rule("b.example")
        },
        rule("*.c.example"),
        Rule {
            ports: vec![80, 443],
            methods: vec!["POST".into()],
            ..rule("a.example")
        },
    ]);
    for (authority, method, path, rule, reason) in [
        ("a.example:443", "GET", "/", Some(0), Reason::Allowed),
        (
            "a.example:80",
            "GET",
            "/",
            Some(3),
            Reason::MethodNotAllowed,
        ),
        ("a.example:443", "POST", "/", Some(3), Reason::Allowed),
        ("a.example:81", "GET", "/", Some(0), Reason::PortNotAllowed),
        (
            "a.example:443",
            "PUT",
            "/",
            Some(0),
            Reason::MethodNotAllowed,
        ),
        (
            "b.example:443",
            "GET",
            "/x",
            Some(1),
            Reason::PathNotAllowed,
        ),
        ("b.example:443", "GET", "/ok/x", Some(1), Reason::Allowed),
        ("x.c.example:443", "GET", "/", Some(2), Reason::Allowed),
        ("x.y.c.example:443", "GET", "/", Some(2), Reason::Allowed),
        ("c.example:443", "GET", "/", None, Reason::HostNotAllowed),
        ("xc.example:443", "GET", "/", None, Reason::HostNotAllowed),
        (
            "a.example.evil.example:443",
            "GET",
            "/",
            None,
            Reason::HostNotAllowed,
        ),
        ("8.8.8.8:443", "GET", "/", None, Reason::IpLiteral),
        ("10.0.0.1:443", "GET", "/", None, Reason::PrivateAddress),
        (
            "169.254.169.254:443",
            "GET",
            "/",
            None,
            Reason::MetadataAddress,
        ),
        ("[::ffff:10.0.0.1]:443", "GET", "/", None, Reason::EmbedV6),
        (
            "metadata.google.internal:443",
            "GET",
            "/",
            None,
            Reason::MetadataAddress,
        ),
    ] {
        let verdict = policy.request(&at(authority), method, path);
        assert_eq!(
            (verdict.rule, verdict.reason),
            (rule, reason),
            "{authority} {method} {path}"
        );
        assert_eq!(verdict.allow, reason == Reason::Allowed);
    }
}

#[test]
fn answers_have_to_be_public_or_named() {
    let policy = compiled(vec![
        rule("a.example"),
        Rule {
            addresses: vec!["10.0.0.0/8".into(), "169.254.169.254".into()],
            ..rule("b.example")
        },
    ]);
    let ask = |rule, answers: &[&str]| {
        let answers: Vec<IpAddr> = answers.iter().map(|a| a.parse().unwrap()).collect();
        policy.answers(rule, &answers).map_err(|(_, reason)| reason)
    };
    assert_eq!(ask(Some(0), &["1.1.1.1", "2600::1"]), Ok(()));
    assert_eq!(
        ask(Some(0), &["1.1.1.1", "10.0.0.1"]),
        Err(Reason::PrivateAddress)
    );
    assert_eq!(ask(Some(1), &["1.1.1.1", "10.0.0.1"]), Ok(()));
    assert_eq!(ask(Some(1), &["192.168.0.1"]), Err(Reason::PrivateAddress));
    assert_eq!(
        ask(Some(1), &["169.254.169.254"]),
        Err(Reason::MetadataAddress)
    );
    assert_eq!(
        ask(Some(1), &["64:ff9b::a9fe:a9fe"]),
        Err(Reason::MetadataAddress)
    );
    assert_eq!(ask(None, &["10.0.0.1"]), Err(Reason::PrivateAddress));
}

#[test]
fn learning_lets_public_hosts_through_and_says_so() {
    let learning = Compiled::new(&Policy {
        fetch: Fetch::Learn,
        allow: vec![rule("a.example")],
        ..Policy::default()
    })
    .unwrap();
    let known = learning.authority(&at("a.example"));
    assert_eq!((known.rule, known.would), (Some(0), None));
    let learned = learning.authority(&at("b.example"));
    assert_eq!((learned.allow, learned.reason), (true, Reason::Learned));
    assert_eq!(learned.would, Some(EgressVerdict::Deny));
    assert!(!learning.authority(&at("10.0.0.1")).allow);
    assert!(!learning.authority(&at("metadata.google.internal")).allow);
}

#[test]
fn what_could_mean_too_much_is_refused() {
    let refused = |rule: Rule| {
        Compiled::new(&Policy {
            allow: vec![rule],
            ..Policy::default()
        })
        .is_err()
    };
    for host in [
        "*",
        "*.",
        "*.com",
        "*.co.uk",
        "*.github.io",
        "a.*.example",
        "*a.example",
        "**.example",
        "*.*.example",
        "*.10.0.0.1",
        "",
        "a b",
        "127.1",
        "a..b",
        "http://a.example",
        "a.example:443",
    ] {
        assert!(refused(rule(host)), "{host}");
    }
    assert!(!refused(rule("*.a.example")));
    let base = || rule("a.example");
    for wrong in [
        Rule {
            ports: vec![],
            ..base()
        },
        Rule {
            ports: vec![0],
            ..base()
        },
        Rule {
            methods: vec!["get".into()],
            ..base()
        },
        Rule {
            methods: vec!["CONNECT".into()],
            ..base()
        },
        Rule {
            paths: vec!["x".into()],
            ..base()
        },
        Rule {
            paths: vec!["/a/../b".into()],
            ..base()
        },
        Rule {
            addresses: vec!["10.0.0.1/8".into()],
            ..base()
        },
        Rule {
            raw: true,
            ..base()
        },
    ] {
        assert!(refused(wrong.clone()), "{wrong:?}");
    }
}

#[test]
fn a_credential_needs_a_rule_for_its_host() {
    let with = |host: &str, rule: Rule| {
        let credential = Credential {
            host: host.into(),
            port: 443,
            paths: vec![],
            header: "authorization".into(),
            scheme: Scheme::Bearer,
        };
        Compiled::new(&Policy {
            allow: vec![rule],
            credential: [("x".to_owned(), credential)].into(),
            ..Policy::default()
        })
        .map(drop)
    };
    assert!(with("a.example", rule("a.example")).is_ok());
    assert!(with("b.a.example", rule("*.a.example")).is_err());
    assert!(with("b.example", rule("a.example")).is_err());
    let tunnel = Rule {
        tls: Tls::Tunnel,
        ..rule("a.example")
    };
    assert!(with("a.example", tunnel).is_err());
}

fn hosts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab]\\.example",
        "\\*\\.[ab]\\.example",
        "[ab]\\.[ab]\\.example"
    ]
}

proptest! {
    /// A further rule never denies what was allowed, and a rule that is taken away never allows more.
    #[test]
    fn rules_only_add(all in prop::collection::vec((hosts(), 1u16..4), 1..6), ask in "([ab]\\.){0,2}example", port in 1u16..4) {
        let rules: Vec<Rule> = all.iter().map(|(host, port)| Rule { ports: vec![*port], ..rule(host) }).collect();
        let asked = Authority::new(Host::parse(ask.as_bytes()).unwrap(), port);
        let mut before = false;
        for n in 0..=rules.len() {
            let now = compiled(rules[..n].to_vec()).authority(&asked).allow;
            prop_assert!(now || !before);
            before = now;
        }
    }
}
