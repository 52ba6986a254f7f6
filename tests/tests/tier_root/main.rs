//! The sandbox as root gets it, and cgroup budgets.
#![forbid(unsafe_code)]

mod binds;
mod budgets;
mod door;
mod evidence;
mod full_disk;
mod owner;
mod pids;

use belljar_tests::{Project, Ran};

#[test]
fn the_tests_of_this_tier_run_as_root() {
    let project = Project::empty_for_caller();
    let id = Ran::of(project.command("id").arg("-u"));
    assert_eq!(id.exits(0).stdout.trim(), "0");
}
