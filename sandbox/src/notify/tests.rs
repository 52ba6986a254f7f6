//! The service against the real kernel: programs under a filter that traps `uname`, `sysinfo` or `chdir`.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::{Answer, Call, Handler, Later, Service, Target};
use crate::sys::testing::{Starting, spawn_filtered, trap};

fn perl(script: &str, numbers: &[i64]) -> (Starting, OwnedFd) {
    let mut command = Command::new("perl");
    command.args(["-e", script]).stdout(Stdio::piped());
    spawn_filtered(command, trap(numbers)).expect("perl under a filter")
}

fn output(child: Starting) -> String {
    let mut child = child.child().expect("perl (install perl)");
    let mut text = String::new();
    let mut out = child.stdout.take().expect("a pipe");
    out.read_to_string(&mut text).expect("its output");
    child.wait().expect("its end");
    text
}

/// A handler from a closure.
struct Do<F>(i64, F);
impl<F: Fn(&Call, &Target<'_>) -> Answer + Send + Sync> Handler for Do<F> {
    fn wants(&self, nr: i32) -> bool {
        i64::from(nr) == self.0
    }
    fn handle(&self, call: &Call, target: &Target<'_>) -> Answer {
        (self.1)(call, target)
    }
}

#[test]
fn values_errnos_and_unhandled_calls_reach_the_program() {
    let script = format!(
        "print syscall({}), ' '; $r = syscall({}); print $r, ' ', $!+0, ' '; print syscall({}) == getppid ? 'own' : 'other'",
        libc::SYS_getpgrp,
        libc::SYS_getpriority,
        libc::SYS_getppid
    );
    let traps = [libc::SYS_getpgrp, libc::SYS_getpriority, libc::SYS_getppid];
    let (child, listener) = perl(&script, &traps);
    let service = Service::start(
        listener,
        vec![
            Arc::new(Do(libc::SYS_getpgrp, |_: &Call, _: &Target<'_>| {
                Answer::Value(4242)
            })),
            Arc::new(Do(libc::SYS_getpriority, |_: &Call, _: &Target<'_>| {
                Answer::Errno(libc::EDOM)
            })),
        ],
    )
    .expect("the service");
    assert_eq!(output(child), format!("4242 -1 {} own", libc::EDOM));
    let counters = service.stop();
    assert!(counters.received >= 3, "{counters:?}");
    assert_eq!((counters.failed, counters.vanished), (0, 0));
}

#[test]
fn memory_is_read_across_pages_and_written() {
    // A path of 3000 bytes that starts at every possible place of a page sooner or later, and one
    // too long for any path.
    let script = "for my $n (1, 100, 4000, 4094, 4095) { my $p = '/' . ('x' x $n); chdir $p; print $!+0, ' ' } my $b = ' ' x 64; syscall(99, $b); print unpack('q', $b)";
    let (child, listener) = perl(script, &[libc::SYS_chdir, libc::SYS_sysinfo]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let paths = {
        let seen = Arc::clone(&seen);
        move |call: &Call, target: &Target<'_>| match target.read_string(call.args[0], 4096) {
            Ok(path) => {
                seen.lock().unwrap().push(path.len());
                Answer::Errno(libc::EXDEV)
            }
            Err(errno) => Answer::Errno(errno as i32),
        }
    };
    let uptime = |call: &Call, target: &Target<'_>| match target
        .write(call.args[0], &77_i64.to_ne_bytes())
    {
        Ok(()) => Answer::Value(0),
        Err(errno) => Answer::Errno(errno as i32),
    };
    let service = Service::start(
        listener,
        vec![
            Arc::new(Do(libc::SYS_chdir, paths)),
            Arc::new(Do(libc::SYS_sysinfo, uptime)),
        ],
    )
    .expect("the service");
    let (xdev, long) = (libc::EXDEV, libc::ENAMETOOLONG);
    assert_eq!(
        output(child),
        format!("{xdev} {xdev} {xdev} {xdev} {long} 77")
    );
    assert_eq!(*seen.lock().unwrap(), [2, 101, 4001, 4095]);
    assert_eq!(service.stop().failed, 0);
}

#[test]
fn memory_that_is_not_there_is_efault() {
    let (child, listener) = perl("print syscall(80, 1), ' ', $!+0", &[libc::SYS_chdir]);
    let result = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&result);
    let read = move |call: &Call, target: &Target<'_>| {
        let mut buf = [0; 8];
        let mut keep = keep.lock().unwrap();
        keep.push(target.read(call.args[0], &mut buf));
        keep.push(target.read_string(call.args[0], 10).map(drop));
        keep.push(target.write(call.args[0], &buf));
        Answer::Continue
    };
    let service =
        Service::start(listener, vec![Arc::new(Do(libc::SYS_chdir, read))]).expect("the service");
    assert_eq!(output(child), format!("-1 {}", libc::EFAULT));
    drop(service);
    assert_eq!(*result.lock().unwrap(), [Err(Errno::EFAULT); 3]);
}

#[test]
fn stop_ends_at_once_though_programs_go_on() {
    let (child, listener) = perl("sleep 600", &[libc::SYS_getppid]);
    let service = Service::start(listener, Vec::new()).expect("the service");
    let mut child = child.child().expect("perl");
    let started = Instant::now();
    let counters = service.stop();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(counters.failed, 0);
    child.kill().expect("the kill");
    child.wait().expect("its end");
}

#[test]
fn a_call_is_answered_later_by_another_thread() {
    let (child, listener) = perl("print syscall(110)", &[libc::SYS_getppid]);
    let (send, receive) = std::sync::mpsc::channel::<Later>();
    let answering = std::thread::spawn(move || {
        let later = receive.recv().unwrap();
        later.target().confirm().unwrap();
        later.answer(Answer::Value(77))
    });
    let send = Mutex::new(send);
    let keep = move |_: &Call, target: &Target<'_>| {
        send.lock().unwrap().send(target.later().unwrap()).unwrap();
        Answer::Later
    };
    let service =
        Service::start(listener, vec![Arc::new(Do(libc::SYS_getppid, keep))]).expect("the service");
    assert_eq!(output(child), "77");
    assert_eq!(answering.join().unwrap(), Ok(()));
    assert_eq!(service.stop().failed, 0);
}

#[test]
fn a_program_killed_in_a_call_is_vanished_not_failed() {
    let (child, listener) = perl("syscall(110)", &[libc::SYS_getppid]);
    let gone = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&gone);
    let kill = move |call: &Call, target: &Target<'_>| {
        let pid = nix::unistd::Pid::from_raw(call.tid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while target.confirm().is_ok() && Instant::now() < end {
            std::thread::yield_now();
        }
        *keep.lock().unwrap() = Some(target.read_string(call.ip, 8));
        Answer::Continue
    };
    let service =
        Service::start(listener, vec![Arc::new(Do(libc::SYS_getppid, kill))]).expect("the service");
    output(child);
    let counters = service.stop();
    assert_eq!((counters.vanished, counters.failed), (1, 0), "{counters:?}");
    assert_eq!(*gone.lock().unwrap(), Some(Err(Errno::ENOENT)));
}

#[test]
fn a_call_that_a_signal_broke_comes_again() {
    // The alarm's handler runs while the first notification is in hand.
    let script = "$SIG{ALRM} = sub { $n++ }; alarm 1; $r = syscall(110); print $n, ' ', ($r == -1 ? $!+0 : 'value')";
    let (child, listener) = perl(script, &[libc::SYS_getppid]);
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let slow = move |_: &Call, target: &Target<'_>| {
        count.fetch_add(1, Ordering::Relaxed);
        let end = Instant::now() + Duration::from_secs(20);
        while target.confirm().is_ok() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        Answer::Value(9)
    };
    let service =
        Service::start(listener, vec![Arc::new(Do(libc::SYS_getppid, slow))]).expect("the service");
    // Perl installs its handlers without SA_RESTART, so the program itself sees EINTR here.
    assert_eq!(output(child), format!("1 {}", libc::EINTR));
    assert_eq!(
        service.stop().vanished,
        u64::from(calls.load(Ordering::Relaxed))
    );
}

#[test]
fn a_handler_that_panics_is_an_errno_and_a_failure() {
    let (child, listener) = perl("print syscall(110), ' ', $!+0", &[libc::SYS_getppid]);
    let panic = |_: &Call, _: &Target<'_>| -> Answer { panic!("on purpose") };
    let service = Service::start(listener, vec![Arc::new(Do(libc::SYS_getppid, panic))])
        .expect("the service");
    assert_eq!(output(child), format!("-1 {}", libc::ENOSYS));
    assert_eq!(service.stop().failed, 1);
}

#[test]
fn a_slow_handler_does_not_hold_up_other_processes() {
    // The child calls only once the parent's call is in hand, which the handler shows by a file.
    let folder = tempfile::tempdir().unwrap();
    let in_hand = folder.path().join("in-hand");
    let script = format!(
        "if (fork) {{ syscall(110) }} else {{ 1 until -e '{}'; print syscall(111) }} wait",
        in_hand.display()
    );
    let (child, listener) = perl(&script, &[libc::SYS_getppid, libc::SYS_getpgrp]);
    let quick_done = Arc::new(AtomicU32::new(0));
    let (set, look) = (Arc::clone(&quick_done), quick_done);
    let quick = move |_: &Call, _: &Target<'_>| {
        set.store(1, Ordering::SeqCst);
        Answer::Value(5)
    };
    // Ends only once the other call was answered: with one thread this runs into the limit.
    let slow = move |_: &Call, _: &Target<'_>| {
        std::fs::write(&in_hand, "").unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while look.load(Ordering::SeqCst) == 0 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        Answer::Value(0)
    };
    let service = Service::start(
        listener,
        vec![
            Arc::new(Do(libc::SYS_getppid, slow)),
            Arc::new(Do(libc::SYS_getpgrp, quick)),
        ],
    )
    .expect("the service");
    let started = Instant::now();
    assert_eq!(output(child), "5");
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(service.stop().failed, 0);
}
