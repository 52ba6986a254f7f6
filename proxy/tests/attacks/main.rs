//! Every way round the proxy that the docs' list names, and its neighbours, against the real proxy at
//! its real doors: each attempt has to be refused, recorded with its reason, and nothing of it may
//! reach the origin. The same suite in front of an open proxy has to fail, row by row.

#![expect(
    clippy::unwrap_used,
    clippy::too_many_lines,
    clippy::type_complexity,
    reason = "tables, and a test that can not go on has failed"
)]

mod answers;
mod client;
mod hello;
mod names;
mod open;
mod others;
mod page;
mod policy;
mod requests;
mod row;
mod world;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use belljar_model::EgressVerdict;
use belljar_model::door::{Decision, FromProxy, LONGEST_MESSAGE, ToProxy};

use row::Row;
use world::Origin;

fn rows() -> Vec<Row> {
    [
        names::rows(),
        requests::rows(),
        others::rows(),
        answers::rows(),
    ]
    .concat()
}

/// What the supervisor would know.
#[derive(Debug, Default)]
struct Heard {
    arrivals: HashMap<SocketAddr, u64>,
    decisions: HashMap<u64, Vec<Decision>>,
}

impl Heard {
    /// Every decision about whoever came from there.
    fn about(&self, from: SocketAddr) -> Vec<Decision> {
        let id = self.arrivals.get(&from);
        id.and_then(|id| self.decisions.get(id))
            .cloned()
            .unwrap_or_default()
    }
}

/// Answers the proxy as the supervisor does.
fn listen(channel: UnixDatagram) -> Arc<Mutex<Heard>> {
    let heard = Arc::new(Mutex::new(Heard::default()));
    let shared = Arc::clone(&heard);
    thread::spawn(move || {
        let mut buf = vec![0; LONGEST_MESSAGE];
        while let Ok(n @ 1..) = channel.recv(&mut buf) {
            match serde_json::from_slice(&buf[..n]).unwrap() {
                FromProxy::Arrived(arrival) => {
                    shared
                        .lock()
                        .unwrap()
                        .arrivals
                        .insert(arrival.client, arrival.id);
                    let known = serde_json::to_vec(&ToProxy::Known(arrival.id)).unwrap();
                    channel.send(&known).unwrap();
                }
                FromProxy::Decided(decision) => {
                    let mut heard = shared.lock().unwrap();
                    heard
                        .decisions
                        .entry(decision.arrival)
                        .or_default()
                        .push(*decision);
                }
                FromProxy::Done { .. } => {}
            }
        }
    });
    heard
}

/// What was wrong with one attempt.
#[derive(Debug, Default)]
struct Fault {
    reply: Option<String>,
    leak: Option<String>,
    record: Option<String>,
}

/// Makes the attempt. Attempts follow one another, so what reaches the origin is this one's.
fn judge(row: &Row, origin: &Origin, heard: Option<&Mutex<Heard>>) -> Fault {
    let before = origin.bytes.load(Ordering::SeqCst);
    // Nobody has to wait for a door that never closes.
    let patience = Duration::from_millis(if heard.is_some() { 1500 } else { 50 });
    let came = client::attack(row, patience);
    let mut fault = Fault::default();
    if !client::is(row, &came) {
        let back = String::from_utf8_lossy(&came.back[..came.back.len().min(80)]).into_owned();
        fault.reply = Some(format!("wanted {:?}, got {back:?}", row.reply));
    }
    if let Some(heard) = heard {
        fault.record = record(row, came.from, heard);
    }
    if head_may_pass(row) > 0 {
        // So that the next attempt is not charged with it.
        thread::sleep(Duration::from_millis(200));
    }
    let leaked = origin.bytes.load(Ordering::SeqCst) - before;
    if leaked > head_may_pass(row) {
        fault.leak = Some(format!("{leaked} bytes reached the origin"));
    }
    fault
}

/// Bytes of a request that is allowed as far as its head goes, and whose body is not well formed: the
/// head may be on its way by then, and nothing after it.
fn head_may_pass(row: &Row) -> u64 {
    if row.case == "84" { 96 } else { 0 }
}

/// What is wrong with the record.
fn record(row: &Row, from: Option<SocketAddr>, heard: &Mutex<Heard>) -> Option<String> {
    let end = Instant::now() + Duration::from_secs(1);
    let decision = loop {
        let decisions = from
            .map(|from| heard.lock().unwrap().about(from))
            .unwrap_or_default();
        let denied = decisions
            .iter()
            .find(|d| d.verdict != EgressVerdict::Allow)
            .cloned();
        match denied {
            Some(denied) => break denied,
            None if Instant::now() > end => return Some(format!("no denial among {decisions:?}")),
            None => thread::sleep(Duration::from_millis(2)),
        }
    };
    if !row.reasons.contains(&decision.reason) {
        let (reason, detail) = (decision.reason.name(), decision.exchange.detail);
        return Some(format!(
            "reason {reason} ({detail:?}), wanted {:?}",
            row.reasons
        ));
    }
    let raw = decision.exchange.raw.map(|raw| raw.to_string());
    let host = format!("{} {}", decision.host, raw.unwrap_or_default()).to_lowercase();
    (!host.contains(row.host)).then(|| format!("host {host}, wanted {}", row.host))
}

fn told(row: &Row) -> String {
    format!("case {} at {:?}: {}", row.case, row.door, row.name)
}

mod tier_userns {
    use std::net::IpAddr;

    use belljar_proxy::{Host, Role, Setup, prepare, serve};

    use super::*;

    #[test]
    fn every_attack_is_refused_and_named() {
        if !world::inside("tier_userns::every_attack_is_refused_and_named") {
            return;
        }
        let origin = Origin::start();
        world::start_name_server();
        let (ours, theirs) = pair();
        let heard = listen(ours);
        let (give, doors) = std::sync::mpsc::channel();
        let setup = Setup {
            policy: policy::policy(),
            role: Role::Live,
            host: Host {
                resolv_conf: format!("nameserver {}\n", world::NAME_SERVER).into_bytes(),
                own: vec![IpAddr::V4(world::OWN)],
                ..Host::default()
            },
        };
        // In the outside, where its own connections belong.
        thread::spawn(move || serve(prepare(setup).unwrap(), doors.recv().unwrap(), theirs));
        let faults = thread::spawn(move || {
            world::enter_sandbox();
            give.send(world::doors()).unwrap();
            allowed_is_allowed(&origin);
            let mut faults = Vec::new();
            for row in rows() {
                let fault = judge(&row, &origin, Some(&heard));
                let said = [fault.reply, fault.leak, fault.record];
                let said: Vec<_> = said.into_iter().flatten().collect();
                if !said.is_empty() {
                    faults.push(format!("{}: {}", told(&row), said.join("; ")));
                }
            }
            faults
        });
        let faults = faults.join().unwrap();
        assert!(
            faults.is_empty(),
            "{} of {} rows:\n{}",
            faults.len(),
            rows().len(),
            faults.join("\n")
        );
        println!("{} rows", rows().len());
    }

    /// Else a proxy that is down would pass.
    fn allowed_is_allowed(origin: &Origin) {
        let get =
            "GET http://allowed.example/ HTTP/1.1\nHost: allowed.example\nConnection: close\n\n";
        let hello = hello::Hello::new(Some("allowed.example")).bytes();
        let ways = [
            (row::Door::Http, vec![row::lines(get)]),
            (
                row::Door::Http,
                vec![
                    row::connect("allowed.example:443"),
                    row::Step::Hear,
                    row::bytes(&hello),
                ],
            ),
            (
                row::Door::Port("allowed.example", 443),
                vec![row::bytes(&hello)],
            ),
            (
                row::Door::Port("raw.example", 7000),
                vec![row::bytes(b"anything")],
            ),
        ];
        for (door, steps) in ways {
            let row = Row {
                case: "",
                name: "what is allowed",
                door,
                steps,
                reply: row::Reply::Silence,
                reasons: &[],
                host: "",
            };
            let before = origin.bytes.load(Ordering::SeqCst);
            let came = client::attack(&row, Duration::from_millis(500));
            let back = String::from_utf8_lossy(&came.back).into_owned();
            assert!(back.ends_with("origin"), "{door:?} {back:?}");
            assert!(origin.bytes.load(Ordering::SeqCst) > before, "{door:?}");
        }
    }

    #[test]
    fn an_open_proxy_fails_the_suite() {
        if !world::inside("tier_userns::an_open_proxy_fails_the_suite") {
            return;
        }
        let origin = Origin::start();
        let (give, doors) = std::sync::mpsc::channel();
        thread::spawn(move || open::serve(doors.recv().unwrap()));
        let passed = thread::spawn(move || {
            world::enter_sandbox();
            give.send(world::doors()).unwrap();
            let passes = |row: &Row| {
                let fault = judge(row, &origin, None);
                fault.reply.is_none() && fault.leak.is_none()
            };
            rows()
                .into_iter()
                .filter(passes)
                .map(|row| told(&row))
                .collect::<Vec<_>>()
        });
        // The record is not even looked at here: without the proxy there is none at all.
        let passed = passed.join().unwrap();
        assert!(
            passed.is_empty(),
            "{}:\n{}",
            passed.len(),
            passed.join("\n")
        );
    }

    fn pair() -> (UnixDatagram, UnixDatagram) {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
        let (a, b) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .unwrap();
        (a.into(), b.into())
    }
}
