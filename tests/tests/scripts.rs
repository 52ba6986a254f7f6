//! The scripts on a machine that lacks what they need, for a user who may not install it.
#![forbid(unsafe_code)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use belljar_tests::{Project, Ran, repository};

/// The scripts in a folder of an ordinary user; the machine they see has these programs alone.
fn on_a_machine_with(programs: &[&str], script: &str) -> Ran {
    let project = Project::empty();
    for name in [
        ".ci/run",
        ".config/required-tiers",
        "scripts/lib/common.sh",
        "scripts/lib/need.sh",
        "scripts/test",
    ] {
        project.write(name, fs::read(repository().join(name)).expect(name));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(project.dir().join(name), mode).expect(name);
    }
    let bin = project.beside("bin");
    fs::create_dir(&bin).expect("a folder for programs");
    for program in ["bash", "dirname", "env", "id", "sed"]
        .iter()
        .chain(programs)
    {
        let there = ["/usr/bin", "/bin"]
            .iter()
            .map(|d| Path::new(d).join(program));
        let found = there.into_iter().find(|p| p.exists()).expect(program);
        symlink(found, bin.join(program)).expect(program);
    }
    let line = format!("PATH={} exec {script}", bin.display());
    Ran::of(project.command("/bin/sh").args(["-c", &line]))
}

#[test]
fn what_is_missing_is_named_with_the_command_that_installs_it() {
    for script in ["scripts/test", ".ci/run", "scripts/test --tier pure"] {
        let ran = on_a_machine_with(&["cc", "setpriv"], script);
        ran.exits(2);
        assert!(ran.stderr.contains("missing packages: python3"), "{ran}");
        let last = ran.stderr.lines().last().unwrap_or_default();
        let install =
            "only root may install them; run: sudo apt-get install --no-install-recommends python3";
        assert!(last.contains(install), "{ran}");
        assert!(
            !ran.stderr.contains("build-essential"),
            "cc is there\n{ran}"
        );
    }
}

#[test]
fn without_rust_the_way_to_it_is_named() {
    let ran = on_a_machine_with(&["cc", "setpriv", "python3"], "scripts/test --tier pure");
    assert!(
        ran.exits(2)
            .stderr
            .ends_with("no cargo: install Rust with rustup, then run this again\n"),
        "{ran}"
    );
}
