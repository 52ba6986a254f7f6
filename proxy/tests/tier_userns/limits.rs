//! What is used up, and what is left behind: nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use belljar_model::{EgressVerdict, Reason};

use crate::world::{
    Echo, ORIGIN, Proxy, addresses, exactly, hello, host, inside, name_server, policy, rest, rule,
};

fn tunnel(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.http).unwrap();
    stream
        .write_all(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n")
        .unwrap();
    assert!(exactly(&mut stream, 39).starts_with(b"HTTP/1.1 200 "));
    let hello = hello(Some("a.test"), &[]);
    stream.write_all(&hello).unwrap();
    assert_eq!(exactly(&mut stream, hello.len()), hello);
    stream
}

fn start(change: impl FnOnce(&mut belljar_model::Policy)) -> Proxy {
    name_server(vec![("a.test", addresses(&["192.0.2.10"]))]);
    let mut policy = policy(vec![rule("a.test", &[443], &["192.0.2.10"])]);
    change(&mut policy);
    Proxy::start(policy, host())
}

#[test]
fn slow_and_long_heads_are_cut_off() {
    if !inside("limits::slow_and_long_heads_are_cut_off") {
        return;
    }
    let _origin = Echo::at(ORIGIN, 443);
    let proxy = start(|p| {
        p.limits.head_ms = 300;
        p.limits.head_bytes = 1000;
    });
    let mut slow = TcpStream::connect(proxy.http).unwrap();
    slow.write_all(b"CONNECT a.test:443 HTTP/1.1\r\n").unwrap();
    let since = Instant::now();
    let got = rest(&mut slow);
    assert!(got.ends_with(b"belljar: denied (timeout, rule none)\n"));
    assert!(since.elapsed() >= Duration::from_millis(250));
    let mut long = TcpStream::connect(proxy.http).unwrap();
    let _ = long.write_all(
        &[
            b"CONNECT a.test:443 HTTP/1.1\r\nX: ".as_slice(),
            &[b'a'; 2000],
        ]
        .concat(),
    );
    assert!(rest(&mut long).ends_with(b"belljar: denied (bad_request, rule none)\n"));
    let mut hello_missing = TcpStream::connect(proxy.http).unwrap();
    hello_missing
        .write_all(b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n\x16\x03")
        .unwrap();
    rest(&mut hello_missing);
    let mut greeting = TcpStream::connect(proxy.socks).unwrap();
    greeting.write_all(&[5]).unwrap();
    rest(&mut greeting);
    let reasons: Vec<_> = proxy.decisions(4).iter().map(|d| d.reason).collect();
    assert_eq!(
        reasons,
        [
            Reason::Timeout,
            Reason::BadRequest,
            Reason::Timeout,
            Reason::Timeout
        ]
    );
    proxy.stop();
}

#[test]
fn a_budget_ends_the_tunnel() {
    if !inside("limits::a_budget_ends_the_tunnel") {
        return;
    }
    let _origin = Echo::at(ORIGIN, 443);
    let proxy = start(|p| p.allow[0].max_up = 100_000);
    let mut stream = tunnel(&proxy);
    let _ = stream.write_all(&vec![7; 1_000_000]);
    stream.set_read_timeout(Some(crate::world::LONG)).unwrap();
    let mut sink = Vec::new();
    let end = stream.read_to_end(&mut sink);
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let d = proxy.decisions(1).remove(0);
    assert_eq!(
        (d.verdict, d.reason),
        (EgressVerdict::Deny, Reason::BudgetExceeded)
    );
    assert!(d.up <= 100_000 && d.hint.unwrap().contains("max_up"));
    proxy.stop();
}

#[test]
fn an_idle_tunnel_ends_and_a_running_one_does_not() {
    if !inside("limits::an_idle_tunnel_ends_and_a_running_one_does_not") {
        return;
    }
    let _origin = Echo::at(ORIGIN, 443);
    let proxy = start(|p| p.limits.idle_ms = 400);
    let mut busy = tunnel(&proxy);
    let mut idle = tunnel(&proxy);
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(1200) {
        busy.write_all(b"x").unwrap();
        exactly(&mut busy, 1);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(rest(&mut idle), b"");
    let d = proxy.decisions(1);
    assert_eq!(d.len(), 1);
    assert_eq!(
        d[0].exchange.detail.as_deref(),
        Some("nothing moved for too long")
    );
    proxy.stop();
}

#[test]
fn too_many_at_one_time_are_turned_away_and_counted() {
    if !inside("limits::too_many_at_one_time_are_turned_away_and_counted") {
        return;
    }
    let _origin = Echo::at(ORIGIN, 443);
    let proxy = start(|p| p.limits.connections = 2);
    let held = [tunnel(&proxy), tunnel(&proxy)];
    for _ in 0..50 {
        let mut stream = TcpStream::connect(proxy.http).unwrap();
        assert_eq!(rest(&mut stream), b"");
    }
    drop(held);
    let (decisions, _) = proxy.stop();
    let turned: Vec<_> = decisions
        .iter()
        .filter(|d| d.reason == Reason::Overload)
        .collect();
    assert!((1..=4).contains(&turned.len()), "{}", turned.len());
    let count: u64 = turned
        .iter()
        .map(|d| {
            let detail = d.exchange.detail.clone().unwrap();
            detail.split(' ').next().unwrap().parse::<u64>().unwrap()
        })
        .sum();
    assert_eq!(count, 50);
}

#[test]
fn a_stop_ends_tunnels_and_records_them() {
    if !inside("limits::a_stop_ends_tunnels_and_records_them") {
        return;
    }
    let _origin = Echo::at(ORIGIN, 443);
    let proxy = start(|_| {});
    let open = [tunnel(&proxy), tunnel(&proxy)];
    let half = TcpStream::connect(proxy.http).unwrap();
    crate::world::wait_for(
        || proxy.heard.arrivals.lock().unwrap().len() == 3,
        "arrivals",
    );
    let (decisions, _) = proxy.stop();
    assert_eq!(decisions.len(), 3);
    drop((open, half));
}

#[test]
fn ten_thousand_come_and_go_and_leave_nothing() {
    if !inside("limits::ten_thousand_come_and_go_and_leave_nothing") {
        return;
    }
    let _origin = Echo::at(ORIGIN, 443);
    let proxy = start(|_| {});
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let memory = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|l| l.starts_with("VmRSS:"))
            .unwrap()
            .to_owned();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
    };
    let round = |count: usize, done: usize| {
        for n in 0..count {
            // So many at one time, in every round: the heap is as large as its busiest moment.
            crate::world::wait_for(
                || proxy.heard.decisions.lock().unwrap().len() + 500 >= done + n,
                "room",
            );
            let mut stream = TcpStream::connect(proxy.http).unwrap();
            // Some say nothing, some half a head, some are denied, some break off.
            match n % 4 {
                0 => {}
                1 => stream.write_all(b"CONNECT a.te").unwrap(),
                2 => stream
                    .write_all(
                        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
                    )
                    .unwrap(),
                _ => {
                    let _ = nix::sys::socket::setsockopt(
                        &stream,
                        nix::sys::socket::sockopt::Linger,
                        &nix::libc::linger {
                            l_onoff: 1,
                            l_linger: 0,
                        },
                    );
                }
            }
        }
        crate::world::wait_for(
            || proxy.heard.decisions.lock().unwrap().len() >= done + count,
            "decisions",
        );
    };
    // The first round brings the heap to its size; the second may add its records alone, which this
    // test keeps: a bit over 1 KiB for each.
    round(10_000, 0);
    let (fds, kib) = (open(), memory());
    round(10_000, 10_000);
    crate::world::wait_for(|| open() <= fds, "descriptors to close");
    let grown = memory().saturating_sub(kib);
    assert!(grown < 32 * 1024, "{grown} KiB more");
    let (decisions, dials) = proxy.stop();
    assert_eq!((decisions.len(), dials), (20_000, 0));
}
