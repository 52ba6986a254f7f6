//! Random sequences of file operations on inputs, inside whole runs: the times that a program sees after each are the
//! same in run A and in run B, as distances from its own clock. The same program is held against itself without
//! any sandbox in the clock's own tests; here there are inputs, the overlay and its copy-ups.

use std::{fs, ops::Range};

use belljar_tests::{Project, repository};

use crate::verify;

/// A project with the program, and for each seed inputs of 1970 to work on: files, a link, a second name, a
/// folder.
fn project(seeds: Range<u32>) -> Project {
    let project = Project::empty();
    let program = repository().join("sandbox/src/clock/tests/programs/ops.c");
    project.write("ops.c", fs::read(program).expect("the program"));
    let script = "for s in $*; do mkdir -p w$s/d; cd w$s; for f in a b c d/a d/e; do echo an input >$f; done; \
                  ln -s a e; ln b f; touch -hd @500000 a b c e d/a d/e d .; cd ..; done";
    let seeds = seeds.map(|s| s.to_string());
    let made = project
        .command("sh")
        .args(["-c", script, "sh"])
        .args(seeds)
        .status();
    assert!(made.expect("sh starts").success());
    project
}

#[track_caller]
fn agree(options: &[&str], seeds: Range<u32>) {
    let project = project(seeds);
    let script = "cc -O1 -o ops ops.c && for w in w*; do ./ops $w ${w#w} 150 no-atime >told.$w || exit 1; done";
    let ran = verify(
        &project,
        &[options, &["--output", "told*"]].concat(),
        script,
    );
    let evidence = project.evidence();
    assert_eq!(evidence.verdict(), "reproducible", "{ran}");
    assert!(evidence.outputs().len() >= 10, "{ran}");
}

#[test]
fn the_same_operations_show_the_same_times_in_both_runs() {
    agree(&[], 0..40);
}

#[test]
fn and_where_the_workspace_is_a_copy() {
    agree(&["--workspace", "copy"], 40..60);
}

#[test]
fn and_for_other_skews() {
    agree(&["--skew", "1y"], 60..70);
    agree(&["--skew", "3h"], 70..80);
    agree(&["--skew", "2100-01-01"], 80..90);
}

/// The test can fail: without the moved times of files, by a clock that the program alone believes in, it does.
#[test]
fn a_program_that_is_lied_to_about_its_clock_disagrees() {
    let project = project(1..2);
    // run B starts a year after this
    let made = project.command("date").arg("+%s").output();
    project.write("made", made.expect("date").stdout);
    let script = "[ $(date +%s) -lt $(($(cat made) + 86400)) ] || sed -i 's/(t.tv_sec - now.tv_sec)/(t.tv_sec - now.tv_sec - 86400)/' ops.c; \
                  cc -O1 -o ops ops.c && ./ops w1 1 50 no-atime >told";
    let ran = verify(&project, &["--output", "told"], script);
    assert_eq!(project.evidence().verdict(), "differs", "{ran}");
}
