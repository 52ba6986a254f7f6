//! A disk that is full before the build is done.

use std::process::Command;

use belljar_tests::{Project, Ran};

#[test]
fn a_build_that_did_not_notice_a_full_disk_has_not_passed() {
    let project = Project::empty_for_caller();
    let small = project.beside("small");
    std::fs::create_dir(&small).expect("a folder");
    let mount = ["-t", "tmpfs", "-o", "size=2m,mode=0700", "none"];
    Ran::of(Command::new("mount").args(mount).arg(&small)).exits(0);
    let scratch = small.to_str().expect("a path");
    let build = "head -c 9000000 /dev/zero >big; true";
    let run = project.belljar(["run", "--scratch", scratch, "--", "sh", "-c", build]);
    let pair = project.belljar(["verify", "--scratch", scratch, "--", "sh", "-c", build]);
    Ran::of(Command::new("umount").arg(&small)).exits(0);
    assert_ne!(run.code, 0, "{run}");
    assert!(run.stderr.contains("room on disk"), "{run}");
    assert!(
        !project.dir().join("big").exists(),
        "half a file was exported"
    );
    pair.exits(1);
}
