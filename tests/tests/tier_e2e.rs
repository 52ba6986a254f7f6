//! Whole builds through the command line.
#![forbid(unsafe_code)]

use belljar_tests::{Project, Ran};

#[test]
fn the_hello_fixture_builds_and_greets() {
    let project = Project::copy_of("fixtures/hello-c");
    Ran::of(&mut project.command("make")).exits(0);
    let hello = Ran::of(project.command("./hello").arg("reader"));
    assert_eq!(hello.exits(0).stdout, "hello, reader\n");
}
