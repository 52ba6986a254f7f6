//! Programs that do to themselves, or have done to them, what few programs do.

use super::*;

/// Flags for a program without a C library.
const BARE: [&str; 3] = ["-nostdlib", "-static", "-fno-stack-protector"];

#[track_caller]
fn seconds(ran: &Ran) -> i64 {
    assert_eq!(
        (ran.code, &ran.uncovered[..]),
        (Some(0), &[][..]),
        "{ran:?}"
    );
    let first = ran.text.split_whitespace().next();
    first
        .and_then(|w| w.parse().ok())
        .unwrap_or_else(|| panic!("no number: {ran:?}"))
}

#[test]
fn a_program_without_a_library_that_asks_for_memory_first() {
    let folder = folder();
    let flags = [&BARE[..], &["-DWAITS"]].concat();
    let program = compile(folder.path(), "gcc", "bare.c", &flags);
    let ran = skewed(command(&program, &[]), OFFSET);
    ran.assert_reads("it", seconds(&ran), OFFSET);
    let ran = plain(command(&program, &[]));
    ran.assert_reads("it", seconds(&ran), 0);
}

/// The one reader that is not seen: it makes no call at all before it looks. This test is there so
/// that the documents stay true; where it turns red, they can promise more.
#[test]
fn a_program_without_a_library_that_looks_at_once_sees_the_real_time() {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "bare.c", &BARE);
    let ran = skewed(command(&program, &[]), OFFSET);
    ran.assert_reads("it", seconds(&ran), 0);
}

/// What is patched leads to the place where the vDSO was: one that is moved is named, since its
/// program may end there. Its clock is moved all the same.
#[test]
fn a_vdso_that_is_elsewhere_or_gone() {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "moves.c", &[]);
    let path = program.to_str().expect("a plain path");
    for (how, named) in [
        ("move", vec![format!("{path}: moves its vDSO (EFAULT)")]),
        ("unmap", vec![]),
    ] {
        for (ran, offset) in [
            (skewed(command(&program, &[how]), OFFSET), OFFSET),
            (plain(command(&program, &[how])), 0),
        ] {
            if offset != 0 {
                assert_eq!(ran.uncovered, named, "{ran:?}");
            }
            assert_eq!(ran.code, Some(0), "{ran:?}");
            let words: Vec<i64> = ran
                .text
                .split_whitespace()
                .map(|w| w.parse().expect("a number"))
                .collect();
            let [read, took] = words[..] else {
                panic!("{ran:?}")
            };
            ran.assert_reads(how, read, offset);
            assert!((299..30_000).contains(&took), "{how}: {ran:?}");
        }
    }
}

#[test]
fn a_filter_of_its_own() {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "filters.c", &["-D_FORTIFY_SOURCE=0"]);
    for filter in ["plain", "errno"] {
        let args = [filter, "/bin/date", "+%s"];
        let ran = skewed(command(&program, &args), OFFSET);
        ran.assert_reads(filter, seconds(&ran), OFFSET);
    }
    // There is one listener on a chain of filters, and it is belljar's.
    let args = ["listener", "/bin/date", "+%s"];
    let ran = skewed(command(&program, &args), OFFSET);
    assert_eq!(
        (ran.text.as_str(), ran.code),
        ("EBUSY\n", Some(1)),
        "{ran:?}"
    );
    let ran = plain(command(&program, &args[..2]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// Programs older than the vDSO call fixed addresses, where the kernel makes a call for them.
#[test]
fn a_program_older_than_the_vdso() {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "vsyscall.c", &[]);
    for (ran, offset) in [
        (skewed(command(&program, &[]), OFFSET), OFFSET),
        (plain(command(&program, &[])), 0),
    ] {
        for word in ran.text.split_whitespace().filter(|w| *w != "none") {
            ran.assert_reads("it", word.parse().expect("a number"), offset);
        }
        seconds_or_none(&ran);
    }
}

#[track_caller]
fn seconds_or_none(ran: &Ran) {
    assert_eq!(
        (ran.code, &ran.uncovered[..]),
        (Some(0), &[][..]),
        "{ran:?}"
    );
    assert!(
        ran.text.trim() == "none" || ran.text.split_whitespace().count() == 2,
        "{ran:?}"
    );
}

/// Filters come with no_new_privs, under which the kernel gives a set-user-id program no other user.
#[test]
fn a_set_user_id_program_stays_the_caller_s_and_sees_the_clock() {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "readers.c", &["-pthread"]);
    let path = program.to_str().expect("a plain path");
    let script = format!("chmod 4755 {path} && {path} | grep ^realtime");
    let ran = skewed(command("sh", &["-c", &script]), OFFSET);
    let read = ran
        .text
        .trim()
        .rsplit_once(' ')
        .and_then(|(_, s)| s.parse().ok());
    ran.assert_reads("it", read.expect("a number"), OFFSET);
    assert_eq!(ran.uncovered, [""; 0], "{ran:?}");
}

#[test]
fn a_thread_that_a_signal_finds_anywhere_reads_the_right_time() {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "signals.c", &["-pthread"]);
    let ran = skewed(command(&program, &["2000"]), OFFSET);
    ran.assert_reads("the last", seconds(&ran), OFFSET);
    let ran = plain(command(&program, &["2000"]));
    ran.assert_reads("the last", seconds(&ran), 0);
}
