//! What run A was answered, served again with no network at all.

use std::os::unix::fs::FileExt as _;

use belljar_model::{Fetch, Policy, Reason};
use belljar_proxy::inspect::{Ca, trust};
use belljar_proxy::{Extras, Role};

use crate::requests::{Origin, curl, ok, opened, trusting};
use crate::world::{Proxy, addresses, host, inside, name_server};

fn replayed() -> Policy {
    let mut policy = opened();
    policy.fetch = Fetch::Replayed;
    policy.allow[0].methods.push("POST".into());
    policy
}

#[test]
fn a_recording_answers_without_a_server_and_nothing_else_does() {
    if !inside("tape::a_recording_answers_without_a_server_and_nothing_else_does") {
        return;
    }
    name_server(vec![("a.test", addresses(&["192.0.2.10"]))]);
    let server_ca = Ca::make(&["a.test".into()]).unwrap();
    let pair = tempfile::tempfile().unwrap();
    let run_ca = Ca::shared(&pair, || Ca::for_policy(&replayed())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle.pem");
    std::fs::write(&bundle, trust::bundle(&[], run_ca.der())).unwrap();
    let bundle = bundle.to_str().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    let origin = Origin::at(443, Some(&server_ca), move |text| {
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if text.contains(" /none ") {
            b"HTTP/1.1 404 Not Found\r\nSet-Cookie: c=1\r\ncontent-length: 4\r\n\r\nnone".to_vec()
        } else if text.contains(" /moved ") {
            b"HTTP/1.1 302 Found\r\nLocation: /big\r\ncontent-length: 0\r\n\r\n".to_vec()
        } else if text.contains(" /big ") {
            ok(&"0123456789abcdef".repeat(100_000))
        } else {
            ok(&format!("{n}:{body};"))
        }
    });
    let tape = tempfile::tempfile().unwrap();
    let extras = |tape: &std::fs::File| Extras {
        authority: Some(pair.try_clone().unwrap()),
        recording: Some(tape.try_clone().unwrap()),
        ..trusting(&server_ca)
    };
    let asks: [&[&str]; 7] = [
        // Nobody listens there.
        &["-i", "http://a.test/down"],
        &["https://a.test/n", "https://a.test/n"],
        &["-i", "https://a.test/none"],
        &["-L", "https://a.test/moved"],
        &["-d", "one", "https://a.test/post"],
        &["-d", "two", "https://a.test/post"],
        &["-r", "3-5", "https://a.test/big"],
    ];
    let ask = |proxy: &Proxy| -> Vec<(String, i32)> {
        asks.iter()
            .map(|more| curl(proxy.http, &[&["--cacert", bundle][..], more].concat()))
            .collect()
    };
    let proxy = Proxy::start_as(replayed(), host(), Role::Record, extras(&tape));
    let first = ask(&proxy);
    let (decisions, _) = proxy.stop();
    assert_eq!(decisions[0].reason, Reason::Unreachable);
    assert!(
        decisions[1..].iter().all(|d| d.exchange.body.is_some()),
        "{decisions:#?}"
    );
    assert!(first.iter().all(|(_, code)| *code == 0), "{decisions:#?}");
    assert_eq!(first[1].0, "0:;1:;");
    let asked = origin.asked.lock().unwrap().len();
    assert!(
        !origin
            .asked
            .lock()
            .unwrap()
            .iter()
            .any(|a| a.to_ascii_lowercase().contains("\r\nrange"))
    );

    let proxy = Proxy::start_as(replayed(), host(), Role::Replay, extras(&tape));
    let mut second = ask(&proxy);
    assert!(!second[2].0.contains("Set-Cookie"), "{second:?}");
    second[2].0 = second[2]
        .0
        .replace("content-length: 4", "Set-Cookie: c=1\r\ncontent-length: 4");
    assert_eq!(second, first);
    for more in [
        &["https://a.test/other"][..],
        &["-d", "three", "https://a.test/post"],
    ] {
        let (text, _) = curl(
            proxy.http,
            &[&["-i", "--cacert", bundle][..], more].concat(),
        );
        assert!(
            text.contains(" 504 ") && text.contains("replay_miss"),
            "{text}"
        );
    }
    let (decisions, dials) = proxy.stop();
    assert_eq!(dials, 0);
    assert_eq!(decisions[0].reason, Reason::Unreachable);
    let misses = decisions
        .iter()
        .filter(|d| d.reason == Reason::ReplayMiss)
        .count();
    assert_eq!(misses, 2, "{decisions:#?}");
    assert!(
        decisions
            .iter()
            .skip(1)
            .filter(|d| d.reason != Reason::ReplayMiss)
            .all(|d| d.exchange.replayed)
    );
    assert_eq!(
        origin.asked.lock().unwrap().len(),
        asked,
        "a server was asked"
    );

    // A byte of a body, anywhere, and that answer is none.
    tape.write_all_at(b"X", 0).unwrap();
    let proxy = Proxy::start_as(replayed(), host(), Role::Replay, extras(&tape));
    let (text, _) = curl(proxy.http, &["-i", "--cacert", bundle, "https://a.test/n"]);
    assert!(text.contains(" 502 "), "{text}");
    assert_eq!(proxy.stop().1, 0);
}
