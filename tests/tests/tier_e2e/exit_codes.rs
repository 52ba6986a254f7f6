//! The table of `docs/exit-codes.md`, row by row, with what `result.json` says of each.

use belljar_tests::{Project, Ran};

use crate::{run, small, verify};

#[track_caller]
fn ends(ran: &Ran, project: &Project, code: i32, ended_by: &str) {
    ran.exits(code);
    let evidence = project.evidence();
    assert_eq!(evidence.ended_by(), ended_by, "{ran}");
    assert_eq!(evidence.result["exit_code"], code, "{ran}");
}

#[test]
fn run_hands_the_commands_own_code_on() {
    for code in [0, 1, 2, 3, 4, 5, 6, 42, 124, 125, 126, 127, 130, 255] {
        let project = small();
        let ran = run(&project, &[], &format!("exit {code}"));
        ends(&ran, &project, code, "command");
    }
}

#[test]
fn a_single_run_never_earns_a_verdict() {
    let project = small();
    run(&project, &[], "echo made >out").exits(0);
    assert_eq!(project.evidence().verdict(), "none");
}

#[test]
fn run_a_command_that_a_signal_ends() {
    let project = small();
    let ran = run(&project, &[], "kill -SEGV $$");
    ends(&ran, &project, 128 + 11, "signal");
}

#[test]
fn a_command_that_is_not_there() {
    for verb in ["run", "verify"] {
        let project = small();
        let ran = project.belljar([verb, "--", "no-such-command-anywhere"]);
        ran.exits(127);
        assert!(ran.stderr.contains("no-such-command-anywhere"), "{ran}");
    }
}

#[test]
fn a_command_that_cannot_be_executed() {
    for verb in ["run", "verify"] {
        let project = small();
        project.belljar([verb, "--", "./source.txt"]).exits(126);
    }
}

#[test]
fn the_time_budget_ends_a_build_that_never_ends() {
    for verb in ["run", "verify"] {
        let project = small();
        let ran = project.belljar([
            verb,
            "--timeout",
            "1s",
            "--",
            "sh",
            "-c",
            "trap '' TERM; while :; do sleep 1; done",
        ]);
        ends(&ran, &project, 124, "timeout");
    }
}

/// The code is the budget's also where the build ends well when it is asked to.
#[test]
fn the_time_budget_shows_though_the_build_ends_with_0() {
    let project = small();
    let ran = run(
        &project,
        &["--timeout", "1s"],
        "trap 'exit 0' TERM; while :; do sleep 0.1; done",
    );
    ends(&ran, &project, 124, "timeout");
}

#[test]
fn a_layer_that_can_not_be_had_ends_in_125_and_the_command_does_not_run() {
    let project = small();
    let ran = run(&project, &["--require", "landlock=99"], "echo ran");
    ran.exits(125);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("landlock"), "{ran}");
    assert_eq!(project.evidence().ended_by(), "setup");
}

#[test]
fn a_build_that_fails_in_both_runs() {
    let project = small();
    let ran = verify(&project, &[], "echo half >out; exit 9");
    ends(&ran, &project, 1, "command");
    let evidence = project.evidence();
    assert_eq!(evidence.verdict(), "build-failed");
    assert_eq!(evidence.result["runs"][0]["status"], 9);
}

#[test]
fn a_build_that_makes_nothing_is_incomplete() {
    let project = small();
    let ran = verify(&project, &[], "true");
    ends(&ran, &project, 6, "incomplete");
    let evidence = project.evidence();
    assert_eq!(evidence.verdict(), "incomplete");
    assert!(ran.stderr.contains("--source git"), "the hint\n{ran}");
    verify(&project, &["--allow-empty"], "true").exits(0);
}

#[test]
fn a_gating_denial_ends_in_4() {
    let reach = "echo made >out; python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 1)' || true";
    for verb in ["run", "verify"] {
        let project = small();
        let ran = project.belljar([verb, "--on-deny", "fail", "--", "sh", "-c", reach]);
        ends(&ran, &project, 4, "policy");
    }
    let project = small();
    verify(&project, &[], reach).exits(0);
}

#[test]
fn usage_errors_end_in_2_before_anything_is_written() {
    for args in [
        &["run"][..],
        &["frobnicate"],
        &["verify", "--memory", "4Q", "--", "true"],
    ] {
        let project = small();
        project.belljar(args).exits(2);
        assert!(!project.dir().join("artifacts").exists());
    }
}

#[test]
fn diff_says_0_or_3() {
    let project = small();
    project
        .write("a/f", "one\n")
        .write("b/f", "one\n")
        .write("c/f", "two\n");
    project.belljar(["diff", "a", "b"]).exits(0);
    let ran = project.belljar(["diff", "a", "c"]);
    assert!(ran.exits(3).stdout.contains('f'), "{ran}");
    project.belljar(["diff", "a", "nowhere"]).exits(2);
}
