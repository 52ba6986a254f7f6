//! belljar started by a build that belljar runs.

use belljar_tests::{Project, belljar_bin};

#[test]
fn a_sandbox_inside_a_sandbox_is_refused_in_one_sentence() {
    let project = Project::empty();
    project.write("inner", std::fs::read(belljar_bin()).expect("belljar"));
    let script = "chmod 755 inner; ./inner run -- touch ran";
    let ran = project.belljar(["run", "--no-export", "--", "sh", "-c", script]);
    ran.exits(125);
    assert!(
        ran.stderr.contains("belljar runs inside belljar already"),
        "{ran}"
    );
    assert!(
        ran.stderr.contains("hint: leave out the inner belljar"),
        "{ran}"
    );
}

#[test]
fn a_build_that_stopped_itself_still_hears_the_end_of_its_time() {
    let project = Project::empty();
    let script = "trap 'echo heard; exit 3' TERM; kill -STOP $$; sleep 60";
    let ran = project.belljar(["run", "--timeout", "1s", "--", "sh", "-c", script]);
    ran.exits(124);
    assert!(ran.stdout.contains("heard"), "{ran}");
}
