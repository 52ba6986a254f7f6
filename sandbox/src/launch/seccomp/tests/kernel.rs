//! The filters on the real kernel: each refused call is made, in a child, and so is each probe with
//! the walls off, to show that it is the wall that refuses.

use std::ffi::CString;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;

use libc as c;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::sys::wait::WaitStatus;

use super::super::{Notify, install_notify, install_walls};
use super::calls::make_calls;
use super::{data, number};
use crate::sys::probe::{in_child, raw};

/// Runs `body` in a child that has namespaces of its own (so that what a missing wall lets through
/// changes nothing here), with the walls or without, and returns the lines it wrote.
fn lines(walls: bool, body: impl FnOnce(&mut String)) -> Vec<String> {
    let (text, status) = in_child(|| {
        let flags = CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWNET;
        let ready = unshare(flags).and_then(|()| if walls { install_walls() } else { Ok(()) });
        match ready {
            Ok(()) => {
                // nor may a call on descriptor 0 reach a file of the host: that may be /dev/null
                raw(c::SYS_close_range, [0, 2, 0, 0, 0, 0]);
                let mut text = String::new();
                body(&mut text);
                text
            }
            Err(errno) => format!("not set up: {errno}\n"),
        }
    });
    assert!(
        matches!(status, WaitStatus::Exited(_, 0)),
        "{status:?} after {text}"
    );
    text.lines().map(Into::into).collect()
}

/// The kernel's answer in words.
fn answer(result: i64) -> String {
    match i32::try_from(-result) {
        Ok(errno) if errno > 0 => format!("{:?}", Errno::from_raw(errno)),
        _ => "ok".into(),
    }
}

#[test]
fn every_known_bad_rule_refuses_every_call_it_names() {
    let data = data::load();
    let wrong = lines(true, |text| {
        for rule in &data.known_bad.rules {
            for call in &rule.calls {
                let Some(nr) = number(call) else { continue };
                let matching = data
                    .grid(call)
                    .into_iter()
                    .find(|args| data.matches(rule, args));
                let got = matching.map(|args| raw(i64::from(nr), args));
                if got != Some(-i64::from(c::EPERM)) {
                    let _ = writeln!(text, "{call} for {:?}: {got:?}", rule.reason);
                }
            }
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_left_out_is_as_on_a_kernel_without_it() {
    let data = data::load();
    let calls = || data.allow.absent.iter().flat_map(|rule| &rule.calls);
    let probe = |text: &mut String| {
        for call in calls() {
            if let Some(nr) = number(call) {
                let _ = writeln!(text, "{call} {}", answer(raw(i64::from(nr), [0; 6])));
            }
        }
        let _ = writeln!(text, "9999 {}", answer(raw(9999, [0; 6])));
    };
    let with = lines(true, probe);
    assert!(with.len() > 20, "{with:?}");
    assert!(
        with.iter().all(|line| line.ends_with(" ENOSYS")),
        "{with:#?}"
    );
    let without = lines(false, probe);
    for call in ["clone3", "openat2"] {
        assert!(without.contains(&format!("{call} EINVAL")), "{without:#?}");
    }
}

#[test]
fn it_is_the_walls_that_refuse() {
    let run = |walls| {
        let folder = tempfile::tempdir().expect("a folder");
        lines(walls, |text| make_calls(folder.path(), text))
    };
    let with = run(true);
    assert!(with.len() > 30, "{with:#?}");
    assert!(
        with.iter().all(|line| line.ends_with(": EPERM")),
        "{with:#?}"
    );
    // where the host's own settings or its kernel's configuration may refuse, nothing is shown
    let without = run(false);
    let shown: Vec<_> = without
        .iter()
        .filter(|line| !line.contains("(host)"))
        .collect();
    assert!(
        shown.iter().all(|line| line.ends_with(": ok")),
        "{without:#?}"
    );
    assert_eq!(with.len(), without.len());
}

/// What builds do next door to what is refused.
#[test]
fn the_walls_let_ordinary_work_through() {
    let folder = tempfile::tempdir().expect("a folder");
    let got = lines(true, |text| {
        let mut say = |name: &str, ok: bool| {
            let _ = writeln!(text, "{name}: {ok}");
        };
        let file = folder.path().join("file");
        say("plain file", std::fs::write(&file, "x").is_ok());
        say(
            "modes",
            [0o755, 0o644, 0o1777]
                .into_iter()
                .all(|m| std::fs::set_permissions(&file, Permissions::from_mode(m)).is_ok()),
        );
        say(
            "fifo",
            mknod(
                &folder.path().join("fifo"),
                SFlag::S_IFIFO,
                Mode::S_IRWXU,
                0,
            )
            .is_ok(),
        );
        say("thread", std::thread::spawn(|| 7).join().is_ok());
        say(
            "program",
            Command::new("true").status().is_ok_and(|s| s.success()),
        );
        say("loopback", TcpListener::bind(("127.0.0.1", 0)).is_ok());
        say("local socket", UnixStream::pair().is_ok());
        say(
            "no ASLR",
            raw(c::SYS_personality, [0x0004_0000, 0, 0, 0, 0, 0]) >= 0,
        );
        say("traced", raw(c::SYS_ptrace, [0; 6]) == 0);
        // EOPNOTSUPP or EXDEV is the file system's answer; EPERM would be the wall's
        say(
            "reflink",
            raw(c::SYS_ioctl, [0, 0x4004_9409, 0, 0, 0, 0]) != -i64::from(c::EPERM),
        );
    });
    assert!(got.iter().all(|line| line.ends_with(": true")), "{got:#?}");
    assert_eq!(got.len(), 10);
}

#[test]
fn mkdir_has_no_set_id_bits_to_refuse() {
    let folder = tempfile::tempdir().expect("a folder");
    let modes = lines(true, |text| {
        let made = folder.path().join("made");
        let path = CString::new(made.as_os_str().as_bytes()).expect("a path");
        let result = raw(
            c::SYS_mkdirat,
            [
                i64::from(c::AT_FDCWD).cast_unsigned(),
                path.as_ptr() as u64,
                0o7777,
                0,
                0,
                0,
            ],
        );
        let bits = made.metadata().map(|m| m.permissions().mode() & 0o6000);
        let _ = writeln!(text, "{result} {bits:?}");
    });
    assert_eq!(modes, ["0 Ok(0)"]);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_call_by_the_i386_gate_ends_the_process() {
    const I386_GETPID: u32 = 20;
    let (_, status) = in_child(|| match install_walls() {
        Ok(()) => crate::sys::probe::int80(I386_GETPID).to_string(),
        Err(errno) => errno.to_string(),
    });
    assert!(
        matches!(status, WaitStatus::Signaled(_, Signal::SIGSYS, _)),
        "{status:?}"
    );
    // without: its process id, or, on a kernel without that gate, a fault
    let (text, status) = in_child(|| crate::sys::probe::int80(I386_GETPID).to_string());
    let faults = matches!(status, WaitStatus::Signaled(_, Signal::SIGSEGV, _));
    assert!(
        faults || text.parse::<i32>().is_ok_and(|pid| pid > 1),
        "{status:?} {text}"
    );
}

#[test]
#[cfg(target_arch = "x86_64")]
fn x32_calls_are_unknown() {
    const X32_BIT: i64 = 0x4000_0000;
    let got = lines(true, |text| {
        // the plain numbers, and those that only x32 has
        for nr in (0..470).chain(512..548) {
            if raw(nr | X32_BIT, [0; 6]) != -i64::from(c::ENOSYS) {
                let _ = writeln!(text, "{nr}");
            }
        }
    });
    assert!(got.is_empty(), "{got:?}");
}

#[test]
fn the_notifying_filter_goes_over_the_walls_and_only_once() {
    for which in [Notify::Observe, Notify::ObserveAndClock] {
        let got = lines(true, |text| {
            let first = install_notify(which);
            // the listener stays open, and nothing it would be asked about is called
            let second = install_notify(which).err();
            let _ = writeln!(text, "{} {second:?}", first.is_ok());
        });
        assert_eq!(got, ["true Some(EBUSY)"], "{which:?}");
    }
}
