//! The sandbox as an ordinary user gets it.
#![forbid(unsafe_code)]

use belljar_tests::{Project, Ran};

#[test]
fn the_tests_of_this_tier_run_as_an_ordinary_user() {
    let project = Project::empty();
    let id = Ran::of(project.command("id").arg("-u"));
    assert_ne!(id.exits(0).stdout.trim(), "0");
    let groups = Ran::of(project.command("id").arg("-G"));
    assert_eq!(groups.exits(0).stdout.split_whitespace().count(), 1);
    Ran::of(project.command("touch").arg("mine")).exits(0);
}
