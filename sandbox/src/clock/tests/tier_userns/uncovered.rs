//! What can't be covered is named, and the canary sees what was and was not.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::super::canary::{CanaryBase, canary};
use super::*;

/// Runs the test `name` as nobody, unless this is that run already.
fn as_ordinary_user(name: &str) -> bool {
    nix::unistd::geteuid().is_root() && in_its_own_process(module_path!(), name, Some(65534))
}

#[test]
fn an_unreadable_program_is_named() {
    if as_ordinary_user("an_unreadable_program_is_named") {
        return;
    }
    let folder = folder();
    let program = folder.path().join("secret");
    fs::copy("/bin/date", &program).expect("a copy");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o111)).expect("its mode");
    let ran = skewed(command(&program, &["+%s"]), OFFSET);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // It hides its path too; what is left is its short name.
    assert_eq!(
        ran.uncovered,
        ["secret: its memory can't be changed (EACCES)"],
        "{ran:?}"
    );
    // With the right to read it, all is as with any program.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
    let ran = skewed(command(&program, &["+%s"]), OFFSET);
    ran.assert_reads("date", ran.text.trim().parse().expect("a number"), OFFSET);
    assert_eq!(ran.uncovered, [""; 0], "{ran:?}");
}

#[test]
fn an_ordinary_user_can_move_the_clock_and_waits() {
    if as_ordinary_user("an_ordinary_user_can_move_the_clock_and_waits") {
        return;
    }
    let folder = folder();
    let program = compile(folder.path(), "gcc", "waits.c", &["-pthread", "-lrt"]);
    for how in ["cond", "timerfd", "timer"] {
        let ran = skewed(command(&program, &[how, "0.4"]), OFFSET);
        let took = ran
            .text
            .trim()
            .split_once(' ')
            .and_then(|(_, t)| t.parse().ok());
        assert!(
            (399..30_000).contains(&took.expect("milliseconds")),
            "{ran:?}"
        );
        assert_eq!(
            (ran.code, &ran.uncovered[..]),
            (Some(0), &[][..]),
            "{ran:?}"
        );
    }
    let ran = skewed(command("date", &["+%s"]), OFFSET);
    ran.assert_reads("date", ran.text.trim().parse().expect("a number"), OFFSET);
}

#[test]
fn another_vdso_than_this_kernel_s_is_not_touched() {
    let mut skewer = Skewer::make(OFFSET, now()).expect("the skewer");
    skewer.coverer.as_mut().expect("a vDSO").patch.head_before[0] ^= 1;
    let ran = skewed_by(command("date", &["+%s"]), &Arc::new(skewer));
    ran.assert_reads("date", ran.text.trim().parse().expect("a number"), 0);
    let [only] = &ran.uncovered[..] else {
        panic!("{ran:?}")
    };
    assert!(
        only.ends_with("/date: has an unknown vDSO (ENOEXEC)"),
        "{only}"
    );
}

/// Runs the canary as a build's process does, under a filter served by a skewer with `offset`, and
/// expecting `expected`.
fn canary_under(offset: i64, expected: i64) -> BTreeMap<String, bool> {
    let folder = folder();
    let report = folder.path().join("report");
    let base = CanaryBase::take().expect("the clocks");
    let told = report.clone();
    let before_exec = move || {
        let seen = canary(expected, base);
        let lines: Vec<String> = seen.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let _ = fs::write(&told, lines.join("\n"));
    };
    let install = || install_notify(Notify::ObserveAndClock);
    let mut command = command("true", &[]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (starting, listener) = spawn_trapped(command, install, before_exec).expect("a start");
    let skewer = Skewer::prepare(offset, now()).expect("the skewer");
    let service = Service::start(listener, vec![Arc::clone(&skewer) as _]).expect("the service");
    finish(starting.child().expect("true"), "true");
    assert_eq!(service.stop().failed, 0);
    assert_eq!(skewer.report(), [""; 0]);
    let text = fs::read_to_string(report).expect("the canary's report");
    let lines = text.lines().filter_map(|l| l.split_once('='));
    lines.map(|(k, v)| (k.to_owned(), v == "true")).collect()
}

#[test]
fn the_canary_sees_the_moved_clock_and_only_that() {
    for offset in [OFFSET, -OFFSET] {
        let seen = canary_under(offset, offset);
        assert_eq!(seen.len(), 11 + 10, "{seen:?}");
        assert!(seen.values().all(|&saw| saw), "{seen:?}");
    }
    // It tells a clock that is off by two seconds, and one that was not moved at all.
    for (offset, expected) in [(OFFSET, OFFSET + 2), (0, OFFSET), (OFFSET, 0)] {
        let mut seen = canary_under(offset, expected);
        assert_eq!(seen.remove("monotonic"), Some(true));
        assert!(
            seen.values().all(|&saw| !saw),
            "{offset} {expected}: {seen:?}"
        );
    }
}
