//! Debuggers and tracers inside: a tracer outside would be in their way, and they are in the way
//! of the transient one.

use super::*;

/// The one line of the output that is a number, if it is the moved time.
#[track_caller]
fn assert_shows_time(ran: &Ran, offset: i64) {
    let number = ran.text.lines().find_map(|l| l.trim().parse().ok());
    let number = number.unwrap_or_else(|| panic!("no number: {ran:?}"));
    ran.assert_reads("it", number, offset);
    assert_eq!(
        (ran.code, &ran.uncovered[..]),
        (Some(0), &[][..]),
        "{ran:?}"
    );
}

/// A program of this folder under strace, under the moved clock.
fn traced(program: &str, how: &str, seconds: &str) -> Ran {
    let strace = ["-f", "-o", "/dev/null", "-e", "trace=none"];
    let args: Vec<_> = strace.into_iter().chain([program, how, seconds]).collect();
    skewed(command("strace", &args), OFFSET)
}

#[test]
fn strace_traces_and_what_it_traces_sees_the_clock() {
    for filter in ["trace=none", "trace=clock_gettime", "trace=all"] {
        let args = [
            "-f",
            "-o",
            "/dev/null",
            "-e",
            filter,
            "sh",
            "-c",
            "sh -c 'date +%s' | cat",
        ];
        assert_shows_time(&skewed(command("strace", &args), OFFSET), OFFSET);
        assert_shows_time(&plain(command("strace", &args)), 0);
    }
}

#[test]
fn gdb_debugs_and_its_program_sees_the_clock() {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "readers.c", &["-pthread", "-g"]);
    let program = program.to_str().expect("a plain path");
    let args = [
        "-nx",
        "-batch",
        "-ex",
        "break main",
        "-ex",
        "run",
        "-ex",
        "backtrace",
        "-ex",
        "continue",
        program,
    ];
    for (ran, offset) in [
        (skewed(command("gdb", &args), OFFSET), OFFSET),
        (plain(command("gdb", &args)), 0),
    ] {
        assert_eq!(
            (ran.code, &ran.uncovered[..]),
            (Some(0), &[][..]),
            "{ran:?}"
        );
        assert!(ran.text.contains("#0  main"), "stopped and looked: {ran:?}");
        // Its output and the debugger's may share a line.
        let read = ran
            .text
            .split_once("realtime ")
            .and_then(|(_, rest)| rest.lines().next());
        let seconds = read
            .and_then(|s| s.parse().ok())
            .unwrap_or_else(|| panic!("{ran:?}"));
        ran.assert_reads("its program", seconds, offset);
    }
}

#[test]
fn waits_of_traced_threads_end_in_time() {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "waits.c", &["-pthread", "-lrt"]);
    let program = program.to_str().expect("a plain path");
    let timed_out = libc::ETIMEDOUT;
    for (how, wanted) in [
        ("cond", timed_out),
        ("sem", timed_out),
        ("nanosleep", 0),
        ("tai-nanosleep", 0),
        ("timerfd", 0),
        ("mq-receive", timed_out),
        ("mq-send", timed_out),
        ("mutex", timed_out),
        ("pi-mutex", timed_out),
        ("bitset", timed_out),
        ("waitv", timed_out),
        ("requeue-pi", timed_out),
    ] {
        let ran = traced(program, how, "0.4");
        assert_eq!(
            (ran.code, &ran.uncovered[..]),
            (Some(0), &[][..]),
            "{how}: {ran:?}"
        );
        let (answer, took) = ran.text.trim().split_once(' ').expect("two numbers");
        let took: i64 = took.parse().expect("milliseconds");
        assert_eq!(answer.parse(), Ok(wanted), "{how}: {ran:?}");
        assert!((399..30_000).contains(&took), "{how}: {ran:?}");
    }
}

#[test]
fn a_traced_wait_is_woken() {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "waits.c", &["-pthread", "-lrt"]);
    let program = program.to_str().expect("a plain path");
    for how in ["woken", "woken-waitv"] {
        let ran = traced(program, how, "1");
        // The word has changed: the kernel says so, as to a thread that comes too late to sleep.
        assert!(ran.text.starts_with("11 "), "EAGAIN: {ran:?}");
        assert_eq!(
            (ran.code, &ran.uncovered[..]),
            (Some(0), &[][..]),
            "{ran:?}"
        );
    }
}

#[test]
fn what_only_the_kernel_can_wait_for_is_named() {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "waits.c", &["-pthread", "-lrt"]);
    let program = program.to_str().expect("a plain path");
    let objects = compile(folder.path(), "gcc", "objects.c", &[]);
    let objects = objects.to_str().expect("a plain path");
    let limited = format!("timeout 2 {program} timer 0.1; {objects}; true");
    let args = [
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=none",
        "sh",
        "-c",
        &limited,
    ];
    let ran = skewed(command("strace", &args), OFFSET);
    let stamps = "the stamps of a System V object can't be moved (EPERM)";
    let mut named = [
        format!("{program}: a wait can't be moved (EOPNOTSUPP)"),
        format!("{objects}: {stamps}"),
    ];
    named.sort();
    assert_eq!(ran.uncovered, named, "{ran:?}");
}

#[test]
fn where_only_a_tracer_may_write_and_another_traces_it_is_named() {
    let mut skewer = Skewer::make(OFFSET, now()).expect("the skewer");
    skewer.coverer.as_mut().expect("a vDSO").by_ptrace = true;
    let args = ["-f", "-o", "/dev/null", "-e", "trace=none", "date", "+%s"];
    let ran = skewed_by(command("strace", &args), &Arc::new(skewer));
    // strace itself is covered, what it traces is not: it sees the real time, and is named.
    ran.assert_reads("date", ran.text.trim().parse().expect("a number"), 0);
    let named = ran
        .uncovered
        .iter()
        .any(|u| u.ends_with("/date: its memory can't be changed (EPERM)"));
    assert!(named, "{ran:?}");
}
