//! Wrong flags, keys, paths, globs and sizes: exit code 2, or 125 after the plan is frozen, with one
//! sentence and a hint. Odd names and big trees: no harm.

use std::{fs, os::unix::ffi::OsStrExt as _};

use belljar_tests::{Project, Ran};

use crate::{run, small, verify};

/// Exit code 2, and what is wrong is named in belljar's own words.
#[track_caller]
fn is_refused(project: &Project, args: &[&str], named: &str) {
    let ran = project.belljar(args);
    ran.exits(2);
    let own = ran.own_lines().join("\n");
    assert!(own.contains(named), "`{named}` is named in:\n{ran}");
    assert!(!ran.stderr.contains("panicked"), "{ran}");
    assert_eq!(ran.stdout, "", "{ran}");
}

#[test]
fn an_empty_command() {
    is_refused(&small(), &["run", "--"], "command");
    is_refused(&small(), &["verify"], "command");
    is_refused(&small(), &["verify", "--", ""], "command");
}

#[test]
fn a_missing_workdir() {
    is_refused(
        &small(),
        &["run", "--workdir", "nowhere", "--", "true"],
        "nowhere",
    );
}

#[test]
fn a_workdir_that_is_a_file() {
    is_refused(
        &small(),
        &["run", "--workdir", "source.txt", "--", "true"],
        "source.txt",
    );
}

#[test]
fn the_root_of_the_machine_as_workdir() {
    is_refused(&small(), &["run", "--workdir", "/", "--", "true"], "/");
}

#[test]
fn a_workdir_outside_of_the_root() {
    let project = small();
    project.write("inner/f", "");
    is_refused(
        &project,
        &["run", "--root", "inner", "--workdir", ".", "--", "true"],
        "inner",
    );
}

#[test]
fn an_output_glob_that_matches_nothing() {
    let project = small();
    let ran = verify(&project, &["--output", "dist/*.whl"], "echo made >out");
    ran.exits(6);
    assert!(ran.stderr.contains("dist/*.whl"), "{ran}");
}

#[test]
fn an_output_glob_that_is_none() {
    is_refused(
        &small(),
        &["verify", "--output", "dist/[", "--", "true"],
        "dist/[",
    );
}

#[test]
fn evidence_in_place_of_the_workdir_or_above_it() {
    let project = small();
    is_refused(
        &project,
        &["run", "--evidence", ".", "--", "true"],
        "evidence",
    );
    is_refused(
        &project,
        &["run", "--evidence", "..", "--", "true"],
        "evidence",
    );
    is_refused(
        &project,
        &["run", "--evidence", "/", "--", "true"],
        "evidence",
    );
}

#[test]
fn a_key_that_is_not_known_is_named_with_its_line() {
    let project = small();
    project.write("belljar.toml", "timeout = \"5m\"\n\nmemoty = \"4G\"\n");
    let ran = project.belljar(["run", "--", "true"]);
    ran.exits(2);
    assert!(
        ran.stderr.contains("memoty") && ran.stderr.contains('3'),
        "{ran}"
    );
    assert!(ran.stderr.contains("memory"), "what was meant\n{ran}");
}

#[test]
fn a_value_that_fits_no_key() {
    let project = small();
    project.write("belljar.toml", "memory = \"4Q\"\n");
    is_refused(&project, &["run", "--", "true"], "memory");
}

#[test]
fn a_configuration_that_is_no_toml() {
    let project = small();
    project.write("belljar.toml", "memory = = 4\n");
    is_refused(&project, &["run", "--", "true"], "belljar.toml");
}

#[test]
fn a_configuration_that_is_not_there() {
    is_refused(
        &small(),
        &["run", "--config", "other.toml", "--", "true"],
        "other.toml",
    );
}

#[test]
fn names_that_are_not_utf8_and_names_with_newlines() {
    let project = small();
    project.write(std::ffi::OsStr::from_bytes(b"in-\xff\xfe.txt"), "odd\n");
    let script = "printf a >'new\nline'; printf b >\"$(printf 'caf\\351')\"; printf c >\"$(printf 'esc\\033[31mred')\"; cat in-*";
    let ran = verify(&project, &[], script);
    ran.exits(0);
    let evidence = project.evidence();
    assert_eq!(evidence.verdict(), "reproducible", "{ran}");
    assert_eq!(evidence.result["counts"]["outputs"], 3, "{ran}");
    assert!(
        !ran.stderr.contains('\u{1b}'),
        "no escape of the build reaches belljar's own words"
    );
    let summary = evidence.text("determinism/summary.md");
    assert!(!summary.contains('\u{1b}'), "{summary}");
    run(&project, &[], script).exits(0);
    assert_eq!(
        fs::read(project.dir().join("new\nline")).expect("exported"),
        b"a"
    );
    let latin = project.dir().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    assert_eq!(fs::read(latin).expect("exported"), b"b");
}

#[test]
fn a_tree_of_300_000_files() {
    let project = small();
    let make = "mkdir many && cd many && for d in $(seq 300); do mkdir $d; (cd $d && seq 1000 | xargs touch); done";
    Ran::of(project.command("sh").args(["-c", make])).exits(0);
    let ran = verify(&project, &[], "find many -type f | wc -l | tee count");
    ran.exits(0);
    assert!(ran.stdout.contains("300000\n"), "{ran}");
}

#[test]
fn a_build_that_writes_300_000_files() {
    let project = small();
    let make = "mkdir many && cd many && for d in $(seq 300); do mkdir $d; (cd $d && seq 1000 | xargs touch); done";
    verify(&project, &[], make).exits(0);
    let outputs = &project.evidence().result["counts"]["outputs"];
    assert!(outputs.as_u64().is_some_and(|n| n >= 300_000), "{outputs}");
}

#[test]
fn a_build_that_writes_10_gib_against_a_disk_budget_of_1() {
    let project = small();
    let ran = run(
        &project,
        &["--disk", "1G"],
        "dd if=/dev/zero of=big bs=1M count=10240",
    );
    assert_ne!(ran.code, 0, "{ran}");
    assert_eq!(project.evidence().ended_by(), "disk", "{ran}");
    assert!(
        !project.dir().join("big").exists(),
        "nothing of it is exported"
    );
}
