//! `--far`: a third run sixteen years ahead, reported as a time bomb, and never gating.

use std::{process::Stdio, time::Duration};

use belljar_tests::{Project, Ran, eventually};
use serde_json::{Value, json};

use crate::{small, verify};

/// A licence that runs out in ten years: the pair does not see it.
const LICENCE: &str = "[ $(date +%s) -lt $(($(cat sold) + 315360000)) ] || { echo licence ran out; exit 7; }; echo built >out";

/// Text that is the same until 2038.
const YEAR_2038: &str = "if [ $(date +%s) -lt 2147483648 ]; then echo 32 bits; else echo overflow; fi >out; echo same >other";

fn sold_now() -> Project {
    let project = small();
    let now = Ran::of(project.command("date").arg("+%s")).stdout;
    project.write("sold", now);
    project
}

fn far(project: &Project) -> Value {
    project.evidence().result["far"].clone()
}

fn labels(project: &Project) -> Vec<String> {
    let evidence = project.evidence();
    let runs = evidence.result["runs"].as_array().expect("runs");
    runs.iter()
        .map(|r| r["run"].as_str().expect("a label").to_owned())
        .collect()
}

#[test]
fn a_build_that_fails_only_far_ahead_is_a_time_bomb_and_passes() {
    let project = sold_now();
    let ran = verify(&project, &["--far"], LICENCE);
    ran.exits(0);
    let evidence = project.evidence();
    assert_eq!(
        (evidence.verdict(), evidence.ended_by()),
        ("reproducible", "command")
    );
    assert_eq!(
        far(&project),
        json!({"outcome": "time-bomb", "why": "run C ended with exit status 7"})
    );
    assert_eq!(labels(&project), ["a", "b", "c"]);
    assert_eq!(evidence.text("logs/c.log"), "licence ran out\n");
    let ahead = evidence.result["when"]["far_offset_s"]
        .as_i64()
        .expect("an offset");
    assert!((ahead - 5844 * 86_400).abs() < 60 * 86_400, "{ahead}");
    assert!(evidence.result["plan"]["clock"]["far"] == true);
    for said in [
        "far (+58",
        "time bomb",
        "exit status 7",
        "does not gate",
        "logs/c.log",
    ] {
        assert!(ran.stderr.contains(said), "{said}\n{ran}");
    }
    // the far run is told as every other is, and not shown
    assert!(!ran.stdout.contains("ran out"), "{ran}");
    let summary = evidence.text("determinism/summary.md");
    assert!(
        summary.contains("Sixteen years ahead") && summary.contains("time bomb"),
        "{summary}"
    );
    let again = project.belljar(["explain", "--format", "markdown"]);
    assert!(again.exits(0).stdout.contains("time bomb"), "{again}");
}

#[test]
fn an_output_that_differs_only_far_ahead_is_named_and_kept() {
    let project = small();
    let ran = verify(&project, &["--far"], YEAR_2038);
    ran.exits(0);
    let evidence = project.evidence();
    assert_eq!(evidence.verdict(), "reproducible", "{ran}");
    let far = far(&project);
    assert_eq!(
        (&far["outcome"], &far["outputs"]),
        (&json!("time-bomb"), &json!(["out"]))
    );
    assert_eq!(evidence.text("determinism/kept/a/out"), "32 bits\n");
    assert_eq!(evidence.text("determinism/kept/c/out"), "overflow\n");
    assert!(ran.stderr.contains("out: differs only far ahead"), "{ran}");
    project.belljar(["explain"]).exits(0);
}

#[test]
fn a_build_that_bears_every_date_passes() {
    let project = small();
    let ran = verify(&project, &["--far"], "echo built >out");
    ran.exits(0);
    assert_eq!(far(&project), json!({"outcome": "passed"}));
    // what run B shows already is no bomb
    let ran = verify(&project, &["--far"], "date >out");
    ran.exits(3);
    assert_eq!(project.evidence().verdict(), "differs");
    assert_eq!(far(&project), json!({"outcome": "passed"}));
}

#[test]
fn a_pair_that_fails_already_is_not_followed_and_says_so() {
    let project = sold_now();
    let ran = verify(&project, &["--far", "--skew", "11y"], LICENCE);
    ran.exits(5);
    assert_eq!(project.evidence().verdict(), "fails-under-variation");
    assert_eq!(far(&project)["outcome"], "skipped");
    assert_eq!(labels(&project), ["a", "b"]);
    assert!(
        ran.stderr.contains("far: skipped: run B fails already"),
        "{ran}"
    );
    let ran = verify(&project, &["--far"], "exit 9");
    ran.exits(1);
    assert_eq!(far(&project)["outcome"], "skipped");
}

#[test]
fn without_the_option_there_is_no_third_run() {
    let project = sold_now();
    verify(&project, &[], LICENCE).exits(0);
    assert_eq!(far(&project), Value::Null);
    assert_eq!(labels(&project), ["a", "b"]);
    assert!(!project.dir().join("artifacts/logs/c.log").exists());
}

#[test]
fn belljar_toml_asks_for_it_too() {
    let project = sold_now();
    project.write("belljar.toml", "far = true\n");
    verify(&project, &[], LICENCE).exits(0);
    assert_eq!(far(&project)["outcome"], "time-bomb");
}

/// A time budget that only the far run exceeds says nothing of the date.
#[test]
fn a_budget_that_only_the_far_run_exceeds_is_no_time_bomb() {
    let project = small();
    let script = "echo built >out; [ $(date +%Y) -lt 2040 ] || sleep 60";
    verify(&project, &["--far", "--timeout", "3s"], script).exits(0);
    let far = far(&project);
    assert_eq!(far["outcome"], "unknown", "{far}");
    assert_eq!(project.evidence().verdict(), "reproducible");
}

/// Whoever stops belljar then is told that it was stopped, and the verdict on the pair is kept.
#[test]
fn an_interrupt_in_the_far_run_keeps_the_verdict_and_ends_in_130() {
    let project = small();
    let script = "echo built >out; [ $(date +%Y) -lt 2040 ] || sleep 60";
    let belljar = project
        .belljar_command(["verify", "--far", "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("belljar starts");
    let staged = project.dir().join("artifacts");
    eventually(Duration::from_secs(30), || {
        let mut below = std::fs::read_dir(&staged).into_iter().flatten().flatten();
        below.any(|e| e.path().join("logs/c.log").exists())
    });
    std::thread::sleep(Duration::from_millis(500));
    let id = belljar.id().to_string();
    let killed = project.command("kill").args(["-INT", &id]).status();
    assert!(killed.expect("kill starts").success());
    let ran = Ran::from(belljar.wait_with_output().expect("belljar ends"));
    ran.exits(130);
    let evidence = project.evidence();
    assert_eq!(
        (evidence.ended_by(), evidence.verdict()),
        ("interrupt", "reproducible"),
        "{ran}"
    );
    assert_eq!(
        far(&project),
        json!({"outcome": "unknown", "why": "interrupted in run C"})
    );
    project.belljar(["explain"]).exits(0);
}

/// A call that only the far run makes is recorded, and gates as little as the rest of it.
#[test]
fn what_the_far_run_reaches_for_does_not_gate() {
    let project = small();
    let script = "echo built >out; [ $(date +%Y) -lt 2040 ] || \
        python3 -c 'import socket; socket.socket().connect_ex((\"192.0.2.9\", 80))'";
    let ran = verify(&project, &["--far", "--on-deny", "fail"], script);
    ran.exits(0);
    let records = project.evidence().text("security/egress.ndjson");
    assert!(
        records.contains("192.0.2.9") && records.contains("\"run\":\"c\""),
        "{records}"
    );
}
