//! The probes against real namespaces: every one is denied behind the walls, and each kind goes red
//! where its wall is missing.

use std::fs;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::WaitStatus;
use nix::unistd::{getgid, getuid};

use super::walls::local;
use super::*;
use crate::launch::seccomp::install_walls;
use crate::sys::link::loopback_up;
use crate::sys::probe::in_child;

/// Enters new user, network and mount namespaces as root of them, without the host's devices and
/// sockets.
fn own_network() {
    let (uid, gid) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .unwrap();
    fs::write("/proc/self/setgroups", "deny").unwrap();
    fs::write("/proc/self/uid_map", format!("0 {uid} 1")).unwrap();
    fs::write("/proc/self/gid_map", format!("0 {gid} 1")).unwrap();
    loopback_up().unwrap();
    for folder in ["/dev", "/run"] {
        mount(
            Some("tmpfs"),
            folder,
            Some("tmpfs"),
            MsFlags::empty(),
            None::<&str>,
        )
        .unwrap();
    }
}

/// The probes that were not denied, one a line, and how many there were.
fn holes(prepare: impl FnOnce()) -> (Vec<String>, usize) {
    let (text, end) = in_child(|| {
        prepare();
        let probes = [all(Label::A), last(Label::A, None)].concat();
        let holes = probes.iter().filter(|p| !p.denied);
        let lines = holes.map(|p| format!("{}: {}\n", p.attempt, p.answer));
        format!("{}\n{}", probes.len(), lines.collect::<String>())
    });
    assert!(matches!(end, WaitStatus::Exited(_, 0)), "{end:?}");
    let mut lines = text.lines();
    let made = lines.next().unwrap().parse().unwrap();
    (lines.map(str::to_owned).collect(), made)
}

fn ip(args: &str) {
    let status = Command::new("ip").args(args.split(' ')).status();
    assert!(status.expect("`ip` of iproute2").success(), "ip {args}");
}

/// No capabilities and close-on-exec for what the test runner has open, as in a run.
fn as_a_build() {
    crate::sys::process::cloexec_from(3).unwrap();
    caps::clear(None, caps::CapSet::Effective).unwrap();
    caps::clear(None, caps::CapSet::Permitted).unwrap();
}

#[test]
fn everything_is_denied_behind_the_walls() {
    let (holes, made) = holes(|| {
        own_network();
        as_a_build();
        install_walls().unwrap();
    });
    assert_eq!(holes, Vec::<String>::new());
    assert!(made >= 60, "{made}");
}

#[test]
fn the_empty_namespace_alone_denies_every_address() {
    let (holes, _) = holes(own_network);
    let addresses: Vec<_> = OUTWARD
        .iter()
        .chain(&IF_EMPTY)
        .map(|(how, to)| how.attempt(to))
        .collect();
    let reached: Vec<_> = holes
        .iter()
        .filter(|h| addresses.iter().any(|a| h.starts_with(a)))
        .collect();
    assert_eq!(reached, Vec::<&String>::new());
    // Without seccomp the other walls are not there, and the probes say so.
    for attempt in [
        "raw socket, icmp",
        "packet socket, raw",
        "mptcp socket",
        "unshare the network namespace",
        "netlink: make an interface",
    ] {
        assert!(
            holes.iter().any(|h| h.starts_with(attempt)),
            "{attempt}: {holes:#?}"
        );
    }
}

#[test]
fn a_route_out_turns_the_probes_red() {
    let (holes, _) = holes(|| {
        own_network();
        ip("link add name out0 type veth peer name in0");
        ip("link set in0 up");
        ip("addr add 192.0.2.200/24 dev out0");
        ip("-6 addr add 2001:db8::200/64 dev out0 nodad");
        ip("link set out0 up");
        ip("route add default dev out0");
        ip("-6 route add default dev out0");
        as_a_build();
        install_walls().unwrap();
    });
    let is = |hole: &str| holes.iter().any(|h| h == hole);
    assert!(
        is("an interface other than loopback: there is one"),
        "{holes:#?}"
    );
    assert!(is("tcp connect 192.0.2.1:443: EINPROGRESS"), "{holes:#?}");
    assert!(is("udp sendto 192.0.2.53:53: it worked"), "{holes:#?}");
    assert!(
        is("tcp connect [2001:db8::1]:443: EINPROGRESS"),
        "{holes:#?}"
    );
    // What a real network may answer is not even tried.
    let not_tried = "not tried: the network namespace is not empty";
    assert!(
        is(&format!("tcp connect 169.254.169.254:80: {not_tried}")),
        "{holes:#?}"
    );
    assert!(
        is(&format!("udp sendto 224.0.0.251:5353: {not_tried}")),
        "{holes:#?}"
    );
    // Every probe that sends is red, not only one.
    for (how, to) in OUTWARD.iter().filter(|(how, _)| *how != How::Bind) {
        let attempt = how.attempt(to);
        assert!(
            holes.iter().any(|h| h.starts_with(&attempt)),
            "{attempt}: {holes:#?}"
        );
    }
}

#[test]
fn a_descriptor_that_would_be_kept_is_a_hole() {
    let (holes, _) = holes(|| {
        own_network();
        as_a_build();
        install_walls().unwrap();
        // dup(2) makes a copy that is kept.
        nix::unistd::dup(std::io::stderr())
            .map(std::mem::forget)
            .unwrap();
    });
    assert_eq!(holes, ["a descriptor kept over exec: it worked"]);
}

#[test]
fn a_local_socket_that_answers_is_a_hole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let name = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    assert_eq!(local(name), Ok(()));
    drop(listener);
    assert_eq!(local(name), Err(Errno::ECONNREFUSED));
}
