use std::net::IpAddr;

use belljar_model::{Credential, EgressLimits, Rule as Given, Scheme};
use proptest::prelude::*;

use super::*;

fn rule(host: &str) -> Given {
    Given {
        host: host.into(),
        ports: Given::PORTS.into(),
        methods: Given::METHODS.map(str::to_owned).into(),
        paths: Vec::new(),
        addresses: Vec::new(),
        tls: Tls::Tunnel,
        raw: false,
        websocket: false,
        max_up: Given::MAX_UP,
        max_down: None,
        reason: None,
    }
}

fn policy(allow: Vec<Given>) -> Policy {
    Policy {
        allow,
        ..Policy::default()
    }
}

fn compiled(allow: Vec<Given>) -> Compiled {
    Compiled::new(&policy(allow)).unwrap()
}

fn to(text: &str) -> Authority {
    Authority::parse(text.as_bytes(), None).unwrap()
}

fn fault(change: impl FnOnce(&mut Given)) -> Fault {
    let mut given = rule("a.test");
    change(&mut given);
    let e = Compiled::new(&policy(vec![given])).unwrap_err();
    assert_eq!(e.place, Place::Rule(0));
    assert!(!e.to_string().is_empty() && !e.fault.hint().is_empty());
    e.fault
}

#[test]
fn nothing_is_allowed_by_nothing() {
    let none = compiled(vec![]);
    for host in ["example.test:443", "8.8.8.8:443", "localhost:80"] {
        let verdict = none.authority(&to(host));
        assert!(!verdict.allow && verdict.rule.is_none(), "{host}");
        assert!(!none.name(to(host).host()).allow, "{host}");
    }
    assert_eq!(
        none.authority(&to("example.test:443")),
        denied(Reason::HostNotAllowed, None)
    );
}

#[test]
fn the_deepest_refusal_is_told_and_the_first_rule_that_allows_decides() {
    let mut upload = rule("a.test");
    upload.methods = vec!["POST".into()];
    upload.paths = vec!["/up/**".into()];
    upload.tls = Tls::Inspect;
    let mut read = rule("a.test");
    read.tls = Tls::Inspect;
    read.ports = vec![443];
    let policy = compiled(vec![upload, read, rule("*.b.test")]);
    let says = |host: &str, method: &str, path: &str| {
        let v = policy.request(&to(host), method, path);
        (v.allow, v.reason, v.rule)
    };
    assert_eq!(
        says("a.test:443", "POST", "/up/x"),
        (true, Reason::Allowed, Some(0))
    );
    assert_eq!(
        says("a.test:443", "GET", "/x"),
        (true, Reason::Allowed, Some(1))
    );
    assert_eq!(
        says("a.test:443", "POST", "/x"),
        (false, Reason::PathNotAllowed, Some(0))
    );
    assert_eq!(
        says("a.test:443", "PUT", "/up/x"),
        (false, Reason::MethodNotAllowed, Some(0))
    );
    assert_eq!(
        says("a.test:443", "get", "/x"),
        (false, Reason::MethodNotAllowed, Some(0))
    );
    assert_eq!(
        says("a.test:22", "GET", "/x"),
        (false, Reason::PortNotAllowed, Some(0))
    );
    assert_eq!(
        says("c.test:80", "GET", "/x"),
        (false, Reason::HostNotAllowed, None)
    );
    assert_eq!(
        says("x.b.test:80", "GET", "/"),
        (true, Reason::Allowed, Some(2))
    );
    assert_eq!(
        says("b.test:80", "GET", "/"),
        (false, Reason::HostNotAllowed, None)
    );
    assert!(policy.name(&Host::parse(b"x.b.test").unwrap()).allow);
    assert!(!policy.name(&Host::parse(b"b.test").unwrap()).allow);
}

#[test]
fn any_method_is_none_that_speaks_to_proxies() {
    let mut any = rule("a.test");
    any.methods = vec!["*".into()];
    let policy = compiled(vec![any]);
    for (method, allow) in [
        ("PATCH", true),
        ("get", true),
        ("CONNECT", false),
        ("TRACE", false),
    ] {
        assert_eq!(
            policy.request(&to("a.test:80"), method, "/").allow,
            allow,
            "{method}"
        );
    }
}

#[test]
fn suffixes_end_at_dots() {
    let policy = compiled(vec![rule("*.allowed.test"), rule("exact.test")]);
    for (host, allow) in [
        ("x.allowed.test:80", true),
        ("x.y.allowed.test:80", true),
        ("X.ALLOWED.test.:80", true),
        ("allowed.test:80", false),
        ("evilallowed.test:80", false),
        ("x.allowed.test.evil.test:80", false),
        ("exact.test:80", true),
        ("x.exact.test:80", false),
        ("inexact.test:80", false),
    ] {
        assert_eq!(policy.authority(&to(host)).allow, allow, "{host}");
    }
}

#[test]
fn hosts_that_no_rule_may_name() {
    for host in [
        "*",
        "a.*.test",
        "*.*.test",
        "a*.test",
        "**.a.test",
        "a.test*",
        "*.10.0.0.1",
    ] {
        assert!(
            matches!(
                fault(|r| r.host = host.into()),
                Fault::Wildcard(_) | Fault::Host { .. }
            ),
            "{host}"
        );
    }
    for host in [".a.test", "*a.test"] {
        assert_eq!(
            fault(|r| r.host = host.into()),
            Fault::Boundary(host.into())
        );
    }
    for host in ["*.com", "*.co.uk", "*.test", "*.COM", "*.github.io"] {
        assert!(
            matches!(fault(|r| r.host = host.into()), Fault::PublicSuffix(_)),
            "{host}"
        );
    }
    for host in [
        "",
        "a..test",
        "a_b.test",
        "127.1",
        "a.test:80",
        "u@a.test",
        "[::1]",
        "a/b",
    ] {
        assert!(
            matches!(fault(|r| r.host = host.into()), Fault::Host { .. }),
            "{host}"
        );
    }
    for host in [
        "169.254.169.254",
        "metadata.google.internal",
        "::ffff:169.254.169.254",
    ] {
        let policy = compiled(vec![rule(host)]);
        let verdict = policy.name(&Host::parse(host.as_bytes()).unwrap());
        assert_eq!(verdict, denied(Reason::MetadataAddress, None), "{host}");
    }
}

#[test]
fn rules_that_contradict_themselves_or_open_nothing() {
    assert_eq!(fault(|r| r.ports.clear()), Fault::NoPort);
    assert_eq!(fault(|r| r.ports = vec![443, 0]), Fault::PortZero);
    assert_eq!(fault(|r| r.methods.clear()), Fault::NoMethod);
    assert_eq!(
        fault(|r| r.methods = vec!["get".into()]),
        Fault::Method("get".into())
    );
    assert_eq!(
        fault(|r| r.methods = vec!["GET POST".into()]),
        Fault::Method("GET POST".into())
    );
    assert_eq!(
        fault(|r| r.methods = vec!["CONNECT".into()]),
        Fault::Connect
    );
    assert_eq!(
        fault(|r| r.methods = vec!["*".into(), "GET".into()]),
        Fault::AnyMethod
    );
    assert_eq!(
        fault(|r| r.paths = vec!["/a".into()]),
        Fault::Unseen("`paths`")
    );
    assert!(matches!(
        fault(|r| r.paths = vec!["a".into()]),
        Fault::Path { .. }
    ));
    assert!(matches!(
        fault(|r| r.paths = vec!["/a**".into()]),
        Fault::DoubleStar(_)
    ));
    let raw = |change: fn(&mut Given)| {
        fault(|r| {
            r.raw = true;
            change(r);
        })
    };
    assert_eq!(
        raw(|r| r.paths = vec!["/".into()]),
        Fault::RawAnd("`paths`")
    );
    assert_eq!(
        raw(|r| r.tls = Tls::Inspect),
        Fault::RawAnd("`tls = \"inspect\"`")
    );
    assert_eq!(raw(|r| r.websocket = true), Fault::RawAnd("`websocket`"));
    assert_eq!(fault(|r| r.max_up = 0), Fault::Zero("max_up"));
    assert_eq!(fault(|r| r.max_down = Some(0)), Fault::Zero("max_down"));
    assert_eq!(
        fault(|r| r.reason = Some("a\nb".into())),
        Fault::Text("reason")
    );
    assert!(matches!(
        fault(|r| r.addresses = vec!["10.0.0.0/4".into()]),
        Fault::Wide(_)
    ));
    let zero = Policy {
        limits: EgressLimits {
            connections: 0,
            ..EgressLimits::default()
        },
        ..Policy::default()
    };
    assert_eq!(
        Compiled::new(&zero).unwrap_err().fault,
        Fault::Zero("connections")
    );
}

#[test]
fn a_rule_that_would_be_void_is_refused() {
    let mut inspected = rule("a.test");
    inspected.tls = Tls::Inspect;
    let mut raw = rule("x.b.test");
    raw.raw = true;
    for (first, then, what) in [
        (rule("a.test"), inspected.clone(), "inspection"),
        (rule("*.b.test"), raw.clone(), "`raw`"),
    ] {
        let e = Compiled::new(&policy(vec![first.clone(), then.clone()])).unwrap_err();
        assert_eq!(e.fault, Fault::Shadowed { earlier: 0, what });
        assert!(Compiled::new(&policy(vec![then, first])).is_ok());
    }
    let mut other_port = inspected;
    other_port.ports = vec![8443];
    assert!(Compiled::new(&policy(vec![rule("a.test"), other_port])).is_ok());
}

#[test]
fn addresses_are_public_or_named_and_metadata_is_neither() {
    let mut private = rule("a.test");
    private.addresses = vec![
        "10.1.0.0/16".into(),
        "169.254.0.0/16".into(),
        "::ffff:10.0.0.1".into(),
    ];
    let policy = compiled(vec![private, rule("10.2.0.1"), rule("b.test")]);
    let says = |rule, ips: &[&str]| {
        let ips: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        policy.answers(rule, &ips).map_err(|(_, reason)| reason)
    };
    assert_eq!(says(Some(0), &["1.1.1.1", "10.1.2.3"]), Ok(()));
    assert_eq!(
        says(Some(0), &["1.1.1.1", "10.2.2.3"]),
        Err(Reason::PrivateAddress)
    );
    assert_eq!(says(Some(0), &["169.254.1.1"]), Ok(()));
    assert_eq!(
        says(Some(0), &["169.254.169.254"]),
        Err(Reason::MetadataAddress)
    );
    assert_eq!(says(Some(0), &["::ffff:10.0.0.1"]), Ok(()));
    assert_eq!(says(Some(0), &["::ffff:10.1.0.1"]), Err(Reason::EmbedV6));
    assert_eq!(says(Some(1), &["10.2.0.1"]), Ok(()));
    assert_eq!(says(Some(2), &["10.1.2.3"]), Err(Reason::PrivateAddress));
    assert_eq!(
        says(None, &["8.8.8.8", "127.0.0.1"]),
        Err(Reason::PrivateAddress)
    );
    assert_eq!(says(Some(9), &["10.1.2.3"]), Err(Reason::PrivateAddress));
    for (host, reason) in [
        ("10.2.0.2:80", Reason::PrivateAddress),
        ("8.8.8.8:80", Reason::IpLiteral),
        ("169.254.169.254:80", Reason::MetadataAddress),
        ("metadata.google.internal:80", Reason::MetadataAddress),
        ("[::ffff:8.8.8.8]:80", Reason::EmbedV6),
        ("[2000::1]:80", Reason::IpLiteral),
        ("10.2.0.1:22", Reason::PortNotAllowed),
    ] {
        let verdict = policy.authority(&to(host));
        assert_eq!((verdict.allow, verdict.reason), (false, reason), "{host}");
    }
    assert!(policy.authority(&to("10.2.0.1:80")).allow);
}

#[test]
fn learning_lets_public_places_through_and_says_what_would_be() {
    let learn = Policy {
        fetch: Fetch::Learn,
        allow: vec![rule("a.test")],
        ..Policy::default()
    };
    let learn = Compiled::new(&learn).unwrap();
    let says = |host: &str| {
        let v = learn.request(&to(host), "GET", "/");
        (v.allow, v.reason, v.would)
    };
    let (allow, deny) = (Some(EgressVerdict::Allow), Some(EgressVerdict::Deny));
    assert_eq!(says("a.test:80"), (true, Reason::Allowed, allow));
    assert_eq!(says("b.test:80"), (true, Reason::Learned, deny));
    assert_eq!(says("8.8.8.8:80"), (true, Reason::Learned, deny));
    assert_eq!(says("10.0.0.1:80"), (false, Reason::PrivateAddress, None));
    assert_eq!(
        says("metadata.goog:80"),
        (false, Reason::MetadataAddress, None)
    );
}

#[test]
fn what_is_replayed_is_seen() {
    let replayed = |change: fn(&mut Given)| {
        let mut given = rule("a.test");
        given.tls = Tls::Inspect;
        change(&mut given);
        let policy = Policy {
            fetch: Fetch::Replayed,
            ..policy(vec![given])
        };
        Compiled::new(&policy).map(drop).map_err(|e| e.fault)
    };
    assert_eq!(replayed(|_| ()), Ok(()));
    let raw = replayed(|r| {
        r.tls = Tls::Tunnel;
        r.raw = true;
    });
    assert_eq!(raw, Err(Fault::Replay("`raw = true`")));
}

#[test]
fn credentials_are_for_one_host_that_can_be_seen() {
    let with = |label: &str, change: fn(&mut Credential)| {
        let mut inspected = rule("a.test");
        inspected.tls = Tls::Inspect;
        let mut credential = Credential {
            host: "a.test".into(),
            port: 443,
            paths: vec!["/x/**".into()],
            header: "Authorization".into(),
            scheme: Scheme::Bearer,
        };
        change(&mut credential);
        let policy = Policy {
            credential: [(label.to_owned(), credential)].into(),
            ..policy(vec![inspected, rule("b.test")])
        };
        Compiled::new(&policy).map_err(|e| e.fault)
    };
    let fine = with("read-1", |_| ()).unwrap();
    assert_eq!(fine.policy().credential["read-1"].header, "authorization");
    let wrong = |label: &str, change| with(label, change).unwrap_err();
    assert_eq!(wrong("a b", |_| ()), Fault::Label);
    assert_eq!(wrong("", |_| ()), Fault::Label);
    assert!(matches!(
        wrong("x", |c| c.host = "b.test".into()),
        Fault::Unused { .. }
    ));
    assert!(matches!(
        wrong("x", |c| c.host = "c.test".into()),
        Fault::Unused { .. }
    ));
    assert!(matches!(wrong("x", |c| c.port = 22), Fault::Unused { .. }));
    assert_eq!(wrong("x", |c| c.port = 0), Fault::PortZero);
    assert!(matches!(
        wrong("x", |c| c.host = "*.a.test".into()),
        Fault::CredentialHost(_)
    ));
    for header in [
        "host",
        "Content-Length",
        "Proxy-Authorization",
        "a b",
        "",
        "x:y",
        "te",
    ] {
        let mut seen = Vec::new();
        let e = super::credential::check(
            "x",
            &mut Credential {
                host: "a.test".into(),
                port: 443,
                paths: Vec::new(),
                header: header.into(),
                scheme: Scheme::Plain,
            },
            &[],
            Fetch::Learn,
        );
        seen.push(matches!(e, Err(Fault::Header(_))));
        assert_eq!(seen, [true], "{header}");
    }
    let user = wrong("x", |c| c.scheme = Scheme::Basic { user: "a:b".into() });
    assert_eq!(user, Fault::User);
}

const HOSTS: &[&str] = &[
    "a.test",
    "x.a.test",
    "y.x.a.test",
    "xa.test",
    "b.test",
    "10.0.0.1",
    "*.a.test",
    "*.x.a.test",
];

prop_compose! {
    fn any_rule()(
        host in prop::sample::select(HOSTS),
        ports in prop::sample::subsequence(vec![80u16, 443, 8443], 1..=3),
        methods in prop::sample::subsequence(vec!["GET", "HEAD", "POST"], 1..=3),
        paths in prop::sample::subsequence(vec!["/a/**", "/*", "/a/b"], 0..=3),
    ) -> Given {
        Given {
            ports,
            methods: methods.into_iter().map(str::to_owned).collect(),
            paths: paths.into_iter().map(str::to_owned).collect(),
            tls: Tls::Inspect,
            ..rule(host)
        }
    }
}

proptest! {
    #[test]
    fn a_rule_more_never_takes_and_a_rule_less_never_gives(
        rules in prop::collection::vec(any_rule(), 0..5),
        more in any_rule(),
        at in 0usize..6,
        host in prop::sample::select(&HOSTS[..6]),
        port in prop::sample::select(vec![80u16, 443, 8443, 22]),
        method in prop::sample::select(vec!["GET", "POST", "PUT"]),
        path in prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/c", "/a%2Fb"]),
    ) {
        let before = compiled(rules.clone());
        let mut longer = rules.clone();
        longer.insert(at.min(rules.len()), more);
        let after = compiled(longer);
        let to = to(&format!("{host}:{port}"));
        let (less, more) = (before.request(&to, method, path), after.request(&to, method, path));
        prop_assert!(!less.allow || more.allow);
        prop_assert!(!before.authority(&to).allow || after.authority(&to).allow);
        prop_assert!(!before.name(to.host()).allow || after.name(to.host()).allow);
        prop_assert!(!more.allow || more.rule.is_some());
        if let Some(rule) = more.rule.filter(|_| more.allow).and_then(|r| after.compiled(r)) {
            prop_assert!(rule.host(to.host()) && rule.port(port) && rule.method(method) && rule.path(path));
        }
    }

    #[test]
    fn the_canonical_policy_compiles_to_itself(rules in prop::collection::vec(any_rule(), 0..5)) {
        let once = compiled(rules);
        let twice = Compiled::new(once.policy()).unwrap();
        prop_assert_eq!(once.policy(), twice.policy());
    }

    #[test]
    fn wildcards_go_by_whole_labels(name in "[ab.]{1,8}a\\.test") {
        let policy = compiled(vec![rule("*.a.test")]);
        if let Ok(host) = Host::parse(name.as_bytes()) {
            let labels: Vec<_> = name.split('.').collect();
            let want = labels.len() > 2 && labels.ends_with(&["a", "test"]);
            prop_assert_eq!(policy.name(&host).allow, want);
        }
    }
}
