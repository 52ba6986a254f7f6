//! Programs that wait until a wall-clock time.
//!
//! What is waited for is less than a second; without the times moved back it would be 400 days, and
//! the harness ends the program. With the clock moved back instead, the wait would end at once.

use std::path::Path;

use super::*;

const TIMED_OUT: i32 = libc::ETIMEDOUT;

/// Every way to wait, with the answer at the end of the time.
const WAITS: [(&str, i32); 19] = [
    ("cond", TIMED_OUT),
    ("sem", TIMED_OUT),
    ("nanosleep", 0),
    ("tai-nanosleep", 0),
    ("raw-nanosleep", 0),
    ("timerfd", 0),
    ("timer", 0),
    ("timerfd-cancel", 0),
    ("tai-timer", 0),
    ("requeue-pi", TIMED_OUT),
    ("lock-pi2", TIMED_OUT),
    ("mq-receive", TIMED_OUT),
    ("mq-send", TIMED_OUT),
    ("mutex", TIMED_OUT),
    ("pi-mutex", TIMED_OUT),
    ("bitset", TIMED_OUT),
    ("waitv", TIMED_OUT),
    ("futex-wait", TIMED_OUT),
    ("disarmed", 0),
];

/// Waits that a signal ends with an error instead of going on.
const BROKEN_BY_SIGNALS: [&str; 6] = [
    "raw-nanosleep",
    "bitset",
    "waitv",
    "futex-wait",
    "requeue-pi",
    "disarmed",
];

fn program(folder: &Path) -> std::path::PathBuf {
    compile(folder, "gcc", "waits.c", &["-pthread", "-lrt"])
}

/// The answer and the milliseconds that a wait took.
#[track_caller]
fn answer(ran: &Ran) -> (i32, i64) {
    assert_eq!(
        (ran.code, &ran.uncovered[..]),
        (Some(0), &[][..]),
        "{ran:?}"
    );
    let parse = |text: &str| {
        let (answer, took) = text.trim().split_once(' ')?;
        Some((answer.parse().ok()?, took.parse().ok()?))
    };
    parse(&ran.text).unwrap_or_else(|| panic!("{ran:?}"))
}

/// Whether this kernel has the call at all.
fn is_there(program: &Path, how: &str) -> bool {
    answer(&plain(command(program, &[how, "0"]))).0 != libc::ENOSYS
}

#[test]
fn all_of_them_end_in_time() {
    let folder = folder();
    let program = program(folder.path());
    for (how, wanted) in WAITS {
        if how == "futex-wait" && !is_there(&program, how) {
            continue;
        }
        for offset in [OFFSET, -OFFSET] {
            let ran = skewed(command(&program, &[how, "0.4"]), offset);
            let (answer, took) = answer(&ran);
            assert_eq!(answer, wanted, "{how} {offset}: {ran:?}");
            assert!((399..30_000).contains(&took), "{how} {offset}: {ran:?}");
        }
    }
}

#[test]
fn under_signals_too() {
    let folder = folder();
    let program = program(folder.path());
    for (how, wanted) in WAITS
        .into_iter()
        .filter(|(how, _)| !BROKEN_BY_SIGNALS.contains(how))
    {
        for signals in ["restart", "interrupt"] {
            let ran = skewed(command(&program, &[how, "0.4", signals]), OFFSET);
            let (answer, took) = answer(&ran);
            assert_eq!(answer, wanted, "{how} {signals}: {ran:?}");
            assert!((399..30_000).contains(&took), "{how} {signals}: {ran:?}");
        }
    }
}

#[test]
fn a_signal_breaks_them_as_it_does_without() {
    let folder = folder();
    let program = program(folder.path());
    for how in ["bitset", "raw-nanosleep"] {
        let args = [how, "30", "interrupt"];
        let (skewed, plain) = (
            skewed(command(&program, &args), OFFSET),
            plain(command(&program, &args)),
        );
        assert_eq!(answer(&skewed).0, libc::EINTR, "{how}: {skewed:?}");
        assert_eq!(answer(&plain).0, libc::EINTR, "{how}: {plain:?}");
    }
}

#[test]
fn a_time_long_past_ends_at_once() {
    let folder = folder();
    let program = program(folder.path());
    for (how, wanted) in WAITS.into_iter().filter(|(how, _)| *how != "disarmed") {
        if how == "futex-wait" && !is_there(&program, how) {
            continue;
        }
        // 401 days back: below zero once moved back, were the clock moved to 1970.
        let ran = skewed(command(&program, &[how, "-34646400"]), OFFSET);
        let (answer, took) = answer(&ran);
        assert_eq!(answer, wanted, "{how}: {ran:?}");
        assert!(took < 30_000, "{how}: {ran:?}");
    }
}

#[test]
fn a_wait_that_is_woken_ends_with_the_waking() {
    let folder = folder();
    let program = program(folder.path());
    let ran = skewed(command(&program, &["woken", "1"]), OFFSET);
    let (answer, took) = answer(&ran);
    assert_eq!(answer, 0, "{ran:?}");
    assert!((299..30_000).contains(&took), "{ran:?}");
}

#[test]
fn what_is_wrong_is_the_kernel_s_to_say() {
    let folder = folder();
    let program = program(folder.path());
    for (how, wanted) in [
        ("invalid", libc::EINVAL),
        ("nowhere", libc::EFAULT),
        ("not-a-timer", libc::EINVAL),
    ] {
        for ran in [
            skewed(command(&program, &[how, "1"]), OFFSET),
            plain(command(&program, &[how, "1"])),
        ] {
            assert_eq!(answer(&ran).0, wanted, "{how}: {ran:?}");
        }
    }
}

#[test]
fn an_alarm_clock_is_for_those_who_may_have_one() {
    // CAP_WAKE_ALARM: root has it, unless its processes were stripped of it.
    let folder = folder();
    let program = program(folder.path());
    let unmoved = answer(&plain(command(&program, &["timerfd-alarm", "0.4"]))).0;
    let moved = answer(&skewed(
        command(&program, &["timerfd-alarm", "0.4"]),
        OFFSET,
    ));
    assert_eq!(moved.0, unmoved);
    assert!(
        unmoved != 0 || (399..30_000).contains(&moved.1),
        "{moved:?}"
    );
}

#[test]
fn without_a_vdso_the_supervisor_waits_in_their_place() {
    let folder = folder();
    let program = program(folder.path());
    for (how, wanted) in WAITS {
        if how == "futex-wait" && !is_there(&program, how) {
            continue;
        }
        let mut skewer = Skewer::make(OFFSET, now()).expect("the skewer");
        skewer.coverer = None;
        // The program takes its "now" by a function of the vDSO that nobody has patched: the same
        // offset as an argument makes up for it.
        let far = format!("{OFFSET}.4");
        let ran = skewed_by(command(&program, &[how, &far]), &Arc::new(skewer));
        let (answer, took) = answer(&ran);
        assert_eq!(answer, wanted, "{how}: {ran:?}");
        assert!((390..30_000).contains(&took), "{how}: {ran:?}");
    }
}

/// Broken, restarted, stopped, woken, killed waits, and timers: all as without the skew.
#[test]
fn signals_do_what_they_do_without() {
    let folder = folder();
    for flags in [&["-pthread", "-lrt"][..], &["-pthread", "-lrt", "-static"]] {
        let program = compile(folder.path(), "gcc", "behave.c", flags);
        let moved = skewed(command(&program, &[]), OFFSET);
        let unmoved = plain(command(&program, &[]));
        assert_eq!(unmoved.text.lines().count(), 25, "{unmoved:?}");
        assert_eq!(
            (&moved.text, moved.code, &moved.uncovered[..]),
            (&unmoved.text, Some(0), &[][..])
        );
        assert!(moved.counters.redirected >= 14, "{moved:?}");
    }
}
