//! Requests, relayed: curl inside, an origin outside, in the clear and through opened TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use belljar_model::door::Decision;
use belljar_model::{Credential, EgressVerdict, Policy, Reason, Scheme, Tls};
use belljar_proxy::credential::Origin as From;
use belljar_proxy::inspect::{Ca, Roots, trust};
use belljar_proxy::{Extras, Role};

use crate::world::{ORIGIN, Proxy, addresses, host, inside, name_server, policy, rule, talk};

/// A server of the test: what it was asked, and how often somebody connected.
#[derive(Clone, Default)]
pub(crate) struct Origin {
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    pub(crate) connections: Arc<Mutex<usize>>,
}

impl Origin {
    /// Answers every request by its head and body, with TLS where there is an authority.
    pub(crate) fn at(
        port: u16,
        ca: Option<&Ca>,
        answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ORIGIN, port)).unwrap();
        let tls = ca.map(|ca| ca.config("a.test").unwrap());
        let (origin, answer) = (Self::default(), Arc::new(answer));
        let own = origin.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (own, answer, tls) = (own.clone(), Arc::clone(&answer), tls.clone());
                *own.connections.lock().unwrap() += 1;
                let mut stream = stream.unwrap();
                std::thread::spawn(move || match tls {
                    None => own.serve(&mut stream, &*answer),
                    Some(tls) => {
                        let session = rustls::ServerConnection::new(tls).unwrap();
                        let mut stream = rustls::StreamOwned::new(session, stream);
                        own.serve(&mut stream, &*answer);
                        stream.conn.send_close_notify();
                        let _ = stream.flush();
                    }
                });
            }
        });
        origin
    }

    fn serve(&self, stream: &mut (impl Read + Write), answer: &dyn Fn(&str) -> Vec<u8>) {
        let (mut read, mut buffer) = (Vec::new(), vec![0; 65536]);
        loop {
            if let Some(length) = request(&read) {
                let text = String::from_utf8_lossy(&read[..length]).into_owned();
                read.drain(..length);
                let said = answer(&text);
                self.asked.lock().unwrap().push(text);
                if stream
                    .write_all(&said)
                    .and_then(|()| stream.flush())
                    .is_err()
                    || !said.starts_with(b"HTTP/1.1 ")
                    || said.windows(17).any(|w| w == b"connection: close")
                {
                    return;
                }
                continue;
            }
            match stream.read(&mut buffer) {
                Ok(n) if n > 0 => read.extend_from_slice(&buffer[..n]),
                _ => return,
            }
        }
    }
}

/// The length of the first request, once it is there.
fn request(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "))
        .map_or(0, |n| n.parse().unwrap());
    (bytes.len() >= head + length).then_some(head + length)
}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn names() {
    name_server(vec![
        ("a.test", addresses(&["192.0.2.10"])),
        ("b.test", addresses(&["192.0.2.10"])),
    ]);
}

pub(crate) fn opened() -> Policy {
    let mut inspected = rule("a.test", &[80, 443], &["192.0.2.10"]);
    inspected.tls = Tls::Inspect;
    policy(vec![inspected])
}

pub(crate) fn trusting(ca: &Ca) -> Extras {
    Extras {
        roots: Some(Roots {
            certs: vec![ca.der().clone()],
            unread: Vec::new(),
        }),
        ..Extras::default()
    }
}

/// What curl wrote, and its exit code.
pub(crate) fn curl(proxy: SocketAddr, more: &[&str]) -> (String, i32) {
    let done = Command::new("curl")
        .args([
            "-sS",
            "--max-time",
            "20",
            "--proxy",
            &format!("http://{proxy}"),
        ])
        .args(more)
        .env_clear()
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    (text, done.status.code().unwrap_or(-1))
}

fn facts(decision: &Decision) -> (EgressVerdict, Reason, Option<u16>) {
    (decision.verdict, decision.reason, decision.exchange.status)
}

#[test]
fn curl_gets_what_is_allowed_and_each_request_has_its_record() {
    if !inside("requests::curl_gets_what_is_allowed_and_each_request_has_its_record") {
        return;
    }
    names();
    let origin = Origin::at(80, None, |text| {
        if text.contains(" /chunks ") {
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nAlt-Svc: h3\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n".to_vec();
        }
        ok("hello")
    });
    let proxy = Proxy::start(policy(vec![rule("a.test", &[80], &["192.0.2.10"])]), host());
    let at = proxy.http;
    let urls = ["http://a.test/x/../y?token=s3cret", "http://a.test/chunks"];
    assert_eq!(curl(at, &urls), ("helloabcde".into(), 0));
    assert_eq!(
        *origin.connections.lock().unwrap(),
        1,
        "the connection is kept"
    );
    let (text, _) = curl(at, &["-i", "-d", "out", "http://a.test/"]);
    assert!(
        text.starts_with("HTTP/1.1 403") && text.contains("method_not_allowed"),
        "{text}"
    );
    let (text, _) = curl(at, &["-i", "http://b.test/"]);
    assert!(text.contains("host_not_allowed"), "{text}");
    // In a tunnel, where the authority is fixed.
    assert_eq!(
        curl(at, &["-p", "http://a.test/tunnel"]),
        ("hello".into(), 0)
    );
    let (text, _) = curl(at, &["-p", "-H", "Host: b.test", "http://a.test/"]);
    assert!(text.contains("authority_mismatch"), "{text}");
    let asked = origin.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(
        asked[0].starts_with("GET /y?token=s3cret HTTP/1.1\r\nhost: a.test\r\n"),
        "{asked:?}"
    );
    assert!(
        !asked[0].to_ascii_lowercase().contains("proxy-"),
        "{asked:?}"
    );
    let (decisions, dials) = proxy.stop();
    let got: Vec<_> = decisions.iter().map(facts).collect();
    let (allow, deny) = (EgressVerdict::Allow, EgressVerdict::Deny);
    assert_eq!(
        got,
        [
            (allow, Reason::Allowed, Some(200)),
            (allow, Reason::Allowed, Some(200)),
            (deny, Reason::MethodNotAllowed, Some(403)),
            (deny, Reason::HostNotAllowed, Some(403)),
            (allow, Reason::Allowed, Some(200)),
            (deny, Reason::AuthorityMismatch, Some(403)),
        ],
        "{decisions:#?}"
    );
    assert_eq!(
        decisions[0].exchange.path.as_ref().unwrap().as_bytes(),
        b"/y?token"
    );
    assert!(!format!("{decisions:?}").contains("s3cret"));
    assert!(decisions[0].up > 0 && decisions[0].down > 5);
    assert_eq!(dials, 2);
}

#[test]
fn opened_tls_is_verified_on_both_legs() {
    if !inside("requests::opened_tls_is_verified_on_both_legs") {
        return;
    }
    names();
    let server_ca = Ca::make(&["a.test".into()]).unwrap();
    let origin = Origin::at(443, Some(&server_ca), |_| ok("hidden"));
    let pair = tempfile::tempfile().unwrap();
    let run_ca = Ca::shared(&pair, || Ca::for_policy(&opened())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle.pem");
    std::fs::write(&bundle, trust::bundle(&[], run_ca.der())).unwrap();
    let bundle = bundle.to_str().unwrap();
    let url = "https://a.test/path";

    let extras = Extras {
        authority: Some(pair.try_clone().unwrap()),
        ..trusting(&server_ca)
    };
    let proxy = Proxy::start_as(opened(), host(), Role::Live, extras);
    let at = proxy.http;
    let got = curl(at, &["--cacert", bundle, url]);
    assert_eq!(got, ("hidden".into(), 0));
    // 60: the certificate can't be verified.
    assert_eq!(curl(at, &[url]).1, 60);
    let (text, _) = curl(at, &["--cacert", bundle, "-X", "DELETE", url]);
    assert!(text.contains("method_not_allowed"), "{text}");
    let (decisions, _) = proxy.stop();
    assert_eq!(
        facts(&decisions[0]),
        (EgressVerdict::Allow, Reason::Allowed, Some(200))
    );
    assert_eq!(
        decisions[0].exchange.sni.as_ref().unwrap().as_bytes(),
        b"a.test"
    );
    assert_eq!(decisions[0].protocol, "https");
    assert_eq!(decisions[1].reason, Reason::CaNotTrusted, "{decisions:#?}");
    assert!(decisions[1].hint.is_some());
    assert_eq!(origin.asked.lock().unwrap().len(), 1);

    // The host does not trust the server.
    let extras = Extras {
        authority: Some(pair.try_clone().unwrap()),
        roots: Some(Roots::default()),
        ..Extras::default()
    };
    let proxy = Proxy::start_as(opened(), host(), Role::Live, extras);
    let (text, _) = curl(proxy.http, &["-i", "--cacert", bundle, url]);
    assert!(
        text.contains("502") && text.contains("upstream_tls_error"),
        "{text}"
    );
    let (decisions, _) = proxy.stop();
    assert_eq!(
        decisions[0].exchange.detail.as_deref(),
        Some("unknown_issuer")
    );
    assert_eq!(origin.asked.lock().unwrap().len(), 1);
}

#[test]
fn a_hostile_server_is_cut_off() {
    if !inside("requests::a_hostile_server_is_cut_off") {
        return;
    }
    names();
    let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(20) + "HTTP/1.1 200 OK\r\n\r\n";
    let table: Vec<(&str, String, Reason)> = vec![
        ("status", "HTTP/1.1 20 OK\r\n\r\n".into(), Reason::UpstreamError),
        ("none", "hello\r\n\r\n".into(), Reason::UpstreamError),
        ("lf", "HTTP/1.1 200 OK\nX: y\n\n".into(), Reason::UpstreamError),
        ("split", "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n".into(), Reason::UpstreamError),
        (
            "both",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            Reason::UpstreamError,
        ),
        ("flood", flood, Reason::UpstreamError),
        (
            "switch",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n".into(),
            Reason::UpstreamError,
        ),
        (
            "short",
            "HTTP/1.1 200 OK\r\nconnection: close\r\nContent-Length: 9\r\n\r\nabc".into(),
            Reason::UpstreamError,
        ),
        (
            "chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".into(),
            Reason::UpstreamError,
        ),
        // Two answers to one question: the second is nobody's.
        (
            "more",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".into(),
            Reason::Allowed,
        ),
        (
            "nothing",
            "HTTP/1.1 204 No\r\nContent-Length: 4\r\n\r\nevil".into(),
            Reason::Allowed,
        ),
        ("after", ok("fine").into_iter().map(char::from).collect(), Reason::Allowed),
    ];
    let answers: Vec<(String, String)> = table
        .iter()
        .map(|(name, text, _)| (format!(" /{name} "), text.clone()))
        .collect();
    let _origin = Origin::at(80, None, move |text| {
        let (_, said) = answers
            .iter()
            .find(|(name, _)| text.contains(name))
            .unwrap();
        said.clone().into_bytes()
    });
    let proxy = Proxy::start(policy(vec![rule("a.test", &[80], &["192.0.2.10"])]), host());
    for (name, _, reason) in &table {
        let request = format!(
            "GET http://a.test/{name} HTTP/1.1\r\nHost: a.test\r\n\r\nGET http://a.test/after HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
        );
        let before = proxy.heard.decisions.lock().unwrap().len();
        let got = String::from_utf8_lossy(&talk(proxy.http, request.as_bytes())).into_owned();
        let decisions = proxy.decisions(before + 1);
        assert_eq!(decisions[before].reason, *reason, "{name}: {got}");
        assert!(
            !got.contains("evil") && !got.contains("Set-Cookie"),
            "{name}: {got}"
        );
        assert_eq!(
            got.contains("fine"),
            *reason == Reason::Allowed,
            "{name}: {got}"
        );
    }
    proxy.stop();
}

#[test]
fn what_looks_like_a_request_and_is_more_is_denied() {
    if !inside("requests::what_looks_like_a_request_and_is_more_is_denied") {
        return;
    }
    names();
    let origin = Origin::at(80, None, |_| ok("fine"));
    let proxy = Proxy::start(policy(vec![rule("a.test", &[80], &["192.0.2.10"])]), host());
    let table = [
        (
            "GET",
            "/",
            "Upgrade: websocket\r\nConnection: upgrade\r\n",
            Reason::UpgradeDenied,
        ),
        (
            "GET",
            "/",
            "Upgrade: h2c, websocket\r\nConnection: upgrade\r\n",
            Reason::UpgradeDenied,
        ),
        (
            "GET",
            "/",
            "Upgrade: h2c\r\nUpgrade: TLS/1.0\r\nConnection: upgrade\r\n",
            Reason::UpgradeDenied,
        ),
        (
            "GET",
            "/",
            "X-HTTP-Method-Override: DELETE\r\n",
            Reason::MethodNotAllowed,
        ),
        (
            "GET",
            "/",
            "X-Original-URL: /admin\r\n",
            Reason::PathNotAllowed,
        ),
        (
            "GET",
            "/",
            "X-Forwarded-Host: b.test\r\n",
            Reason::AuthorityMismatch,
        ),
        (
            "GET",
            "/",
            "Content-Length: 3\r\n",
            Reason::MethodNotAllowed,
        ),
        ("TRACE", "/", "", Reason::MethodNotAllowed),
        ("get", "/", "", Reason::MethodNotAllowed),
        ("GET", "/dns-query?dns=AAAB", "", Reason::DohSuspect),
        ("GET", "/x?a=b&dns=AAAB", "", Reason::DohSuspect),
        (
            "GET",
            "/x",
            "Accept: application/dns-message\r\n",
            Reason::DohSuspect,
        ),
        (
            "GET",
            "/r.git/info/refs?service=git-receive-pack",
            "",
            Reason::PathNotAllowed,
        ),
        (
            "GET",
            "/",
            "X: belljar-credential:forge\r\n",
            Reason::SecretMisroute,
        ),
        ("GET", "/a%2f..%2fb", "", Reason::BadRequest),
    ];
    for (method, path, lines, reason) in table {
        let request =
            format!("{method} http://a.test{path} HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n");
        let before = proxy.heard.decisions.lock().unwrap().len();
        let got = String::from_utf8_lossy(&talk(proxy.http, request.as_bytes())).into_owned();
        let decision = &proxy.decisions(before + 1)[before];
        assert_eq!(decision.reason, reason, "{request}: {decision:?}");
        assert!(
            got.starts_with("HTTP/1.1 403") && got.contains("Connection: close"),
            "{got}"
        );
    }
    assert_eq!(origin.asked.lock().unwrap().len(), 0);
    assert_eq!(proxy.stop().1, 0, "nothing was dialled");
}

#[test]
fn a_slow_client_is_not_waited_for() {
    if !inside("requests::a_slow_client_is_not_waited_for") {
        return;
    }
    names();
    let _origin = Origin::at(80, None, |_| ok("fine"));
    let mut allowed = rule("a.test", &[80], &["192.0.2.10"]);
    allowed.methods.push("POST".into());
    let mut limited = policy(vec![allowed]);
    (limited.limits.head_ms, limited.limits.idle_ms) = (300, 300);
    limited.allow[0].max_up = 1000;
    let proxy = Proxy::start(limited, host());
    let head = "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\n";
    for (text, reason, status) in [
        (
            format!("{head}Content-Length: 9\r\n\r\nabc"),
            Reason::Timeout,
            "403",
        ),
        (
            format!("{head}Content-Length: 2000\r\n\r\n{}", "x".repeat(2000)),
            Reason::BudgetExceeded,
            "403",
        ),
    ] {
        let before = proxy.heard.decisions.lock().unwrap().len();
        let got = String::from_utf8_lossy(&talk(proxy.http, text.as_bytes())).into_owned();
        let decision = &proxy.decisions(before + 1)[before];
        assert_eq!(decision.reason, reason, "{decision:?}");
        assert!(got.starts_with(&format!("HTTP/1.1 {status}")), "{got}");
    }
    proxy.stop();
}

#[test]
fn a_credential_reaches_its_server_and_nobody_else() {
    const VALUE: &str = "v3ry-s3cret-value";
    if !inside("requests::a_credential_reaches_its_server_and_nobody_else") {
        return;
    }
    names();
    let origin = Origin::at(80, None, |text| {
        if text.contains(" /echo ") {
            return ok(&format!("you sent {VALUE}, did you not"));
        }
        if text.contains(" /header ") {
            return format!("HTTP/1.1 200 OK\r\nX: {VALUE}\r\ncontent-length: 0\r\n\r\n")
                .into_bytes();
        }
        ok("fine")
    });
    let mut with = opened();
    with.credential.insert(
        "forge".into(),
        Credential {
            host: "a.test".into(),
            port: 80,
            paths: Vec::new(),
            header: "authorization".into(),
            scheme: Scheme::Bearer,
        },
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{VALUE}\n")).unwrap();
    let extras = Extras {
        credentials: [("forge".to_owned(), From::File(file))].into(),
        ..Extras::default()
    };
    let proxy = Proxy::start_as(with, host(), Role::Live, extras);
    let placeholder = "Authorization: belljar-credential:forge";
    let got = curl(proxy.http, &["-H", placeholder, "http://a.test/"]);
    assert_eq!(got, ("fine".into(), 0));
    let asked = origin.asked.lock().unwrap()[0].clone();
    assert!(
        asked.contains(&format!("\r\nauthorization: Bearer {VALUE}\r\n")),
        "{asked}"
    );
    assert!(!asked.contains("belljar-credential"), "{asked}");
    let mut seen = String::new();
    for path in ["echo", "header"] {
        seen += &curl(proxy.http, &["-i", &format!("http://a.test/{path}")]).0;
    }
    assert!(!seen.contains(VALUE), "{seen}");
    let (decisions, _) = proxy.stop();
    assert_eq!(decisions[0].exchange.credential.as_deref(), Some("forge"));
    assert_eq!(
        decisions[1..].iter().map(|d| d.reason).collect::<Vec<_>>(),
        [Reason::SecretMisroute; 2]
    );
    assert!(!format!("{decisions:?}").contains(VALUE));
}

#[test]
fn a_websocket_needs_a_rule_and_is_counted() {
    if !inside("requests::a_websocket_needs_a_rule_and_is_counted") {
        return;
    }
    names();
    let listener = TcpListener::bind((ORIGIN, 80)).unwrap();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let (mut read, mut byte) = (Vec::new(), [0]);
        while !read.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            read.push(byte[0]);
        }
        let said = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst";
        stream.write_all(said.as_bytes()).unwrap();
        let mut five = [0; 5];
        stream.read_exact(&mut five).unwrap();
        stream.write_all(&five).unwrap();
    });
    let mut allowed = rule("a.test", &[80], &["192.0.2.10"]);
    allowed.websocket = true;
    let proxy = Proxy::start(policy(vec![allowed]), host());
    let mut client = TcpStream::connect(proxy.http).unwrap();
    let text = "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello";
    client.write_all(text.as_bytes()).unwrap();
    let got = String::from_utf8_lossy(&crate::world::rest(&mut client)).into_owned();
    assert!(
        got.starts_with("HTTP/1.1 101 ") && got.ends_with("\r\n\r\nfirsthello"),
        "{got}"
    );
    let (decisions, _) = proxy.stop();
    assert_eq!(
        facts(&decisions[0]),
        (EgressVerdict::Allow, Reason::Allowed, Some(101))
    );
    assert!(decisions[0].up > 5 && decisions[0].down >= 10);
}

#[test]
fn java_reads_the_trust_store() {
    let Ok(java) = Command::new("keytool").arg("-help").output() else {
        eprintln!("not run: there is no keytool");
        return;
    };
    assert!(java.status.success());
    let (root, own) = (
        Ca::make(&[]).unwrap(),
        Ca::make(&["a.test".into()]).unwrap(),
    );
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    std::fs::write(&store, trust::java_store(&[root.der().clone()], own.der())).unwrap();
    let list = |password: &str| {
        let mut keytool = Command::new("keytool");
        keytool
            .args(["-list", "-storepass", password, "-keystore"])
            .arg(&store);
        let done = keytool.output().unwrap();
        (
            done.status.success(),
            String::from_utf8_lossy(&done.stdout).into_owned(),
        )
    };
    let (good, text) = list(trust::JAVA_PASSWORD);
    assert!(
        good && text.contains("2 entries") && text.contains("belljar"),
        "{text}"
    );
    assert!(!list("otherwise").0, "the digest is not looked at");
}

#[test]
fn an_offer_of_http_2_in_the_clear_is_passed_over() {
    if !inside("requests::an_offer_of_http_2_in_the_clear_is_passed_over") {
        return;
    }
    names();
    let origin = Origin::at(80, None, |_| ok("fine"));
    let proxy = Proxy::start(policy(vec![rule("a.test", &[80], &["192.0.2.10"])]), host());
    for lines in [
        // As Java's client asks.
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n",
        "HTTP2-Settings: AAMAAABk\r\n",
        "connection: close\r\nUpgrade: H2C\r\nhttp2-settings: AAMAAABk\r\nHTTP2-Settings: x\r\n",
    ] {
        let head = format!("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n");
        let mut client = TcpStream::connect(proxy.http).unwrap();
        client.write_all(head.as_bytes()).unwrap();
        // To its end: who leaves before is recorded as gone.
        let mut got = Vec::new();
        while !got.ends_with(b"fine") {
            got.extend(crate::world::exactly(&mut client, 1));
        }
        assert!(got.starts_with(b"HTTP/1.1 200 OK"));
    }
    let asked = origin.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 3);
    for text in asked.iter().map(|text| text.to_ascii_lowercase()) {
        assert!(
            !text.contains("upgrade") && !text.contains("http2-settings"),
            "{text}"
        );
    }
    let (decisions, _) = proxy.stop();
    assert!(
        decisions.iter().all(|d| d.reason == Reason::Allowed),
        "{decisions:#?}"
    );
}

#[test]
fn learning_opens_no_tls_unless_it_is_told_to() {
    if !inside("requests::learning_opens_no_tls_unless_it_is_told_to") {
        return;
    }
    // While learning what is not public is reached only where some rule names it.
    name_server(vec![("a.test", addresses(&["192.0.2.10"]))]);
    let server_ca = Ca::make(&["a.test".into()]).unwrap();
    let listener = TcpListener::bind(("192.0.2.10", 443)).unwrap();
    let tls = server_ca.config("a.test").unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(Arc::clone(&tls)).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream.unwrap());
            Origin::default().serve(&mut stream, &|_| ok("seen"));
        }
    });
    let folder = tempfile::tempdir().unwrap();
    for inside in [false, true] {
        let policy = Policy {
            fetch: belljar_model::Fetch::Learn,
            learn_inside: inside,
            allow: vec![rule("nobody.test", &[9], &["192.0.2.10"])],
            ..Policy::default()
        };
        assert_eq!(policy.inspects(), inside);
        let pair = tempfile::tempfile().unwrap();
        let run_ca = Ca::shared(&pair, || Ca::for_policy(&policy)).unwrap();
        let trusted = if inside { &run_ca } else { &server_ca };
        let bundle = folder.path().join("bundle.pem");
        std::fs::write(&bundle, trust::bundle(&[], trusted.der())).unwrap();
        let extras = Extras {
            authority: Some(pair),
            ..trusting(&server_ca)
        };
        let proxy = Proxy::start_as(policy, host(), Role::Learn, extras);
        let bundle = bundle.to_str().unwrap();
        let got = curl(proxy.http, &["--cacert", bundle, "https://a.test/"]);
        let (decisions, _) = proxy.stop();
        assert_eq!(got, ("seen".into(), 0), "{decisions:#?}");
        assert_eq!(
            decisions[0].exchange.status.is_some(),
            inside,
            "{decisions:#?}"
        );
    }
}

#[test]
fn what_has_no_requests_is_not_recorded() {
    let mut policy = policy(vec![rule("a.test", &[22], &[])]);
    policy.allow[0].raw = true;
    for role in [Role::Record, Role::Replay] {
        let setup = belljar_proxy::Setup {
            policy: policy.clone(),
            role,
            host: host(),
        };
        let extras = Extras {
            recording: Some(tempfile::tempfile().unwrap()),
            ..Extras::default()
        };
        let error = belljar_proxy::prepare_with(setup, extras).err().unwrap();
        assert!(error.why.contains("raw"), "{error}");
    }
}
