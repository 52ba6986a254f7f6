//! `--require LAYER[=LEVEL]`: the layer stands as it was asked for, or the build does not run.

use belljar_tests::{Project, Ran};

use crate::{run, small, verify};

/// The build did not run, the layer is named, and there is a fix.
#[track_caller]
fn is_kept_from_running(ran: &Ran, project: &Project, layer: &str) {
    ran.exits(125);
    let named = format!("belljar: could not keep a required layer: {layer}: ");
    assert!(ran.stderr.contains(&named), "{ran}");
    assert!(ran.stderr.contains("\n  hint: "), "{ran}");
    assert_eq!(ran.stdout, "", "the build ran\n{ran}");
    assert!(!project.dir().join("out").exists(), "{ran}");
    assert_eq!(project.evidence().ended_by(), "setup", "{ran}");
    let runs = &project.evidence().result["runs"];
    assert!(runs.as_array().is_some_and(Vec::is_empty), "{runs}");
}

const BUILD: &str = "echo ran; echo ran >out";

#[test]
fn a_layer_that_is_not_there() {
    let project = small();
    let ran = run(&project, &["--require", "cgroup"], BUILD);
    is_kept_from_running(&ran, &project, "cgroup");
    assert!(ran.stderr.contains("--memory"), "what asks for one\n{ran}");
    let ran = run(&project, &["--require", "clock"], BUILD);
    is_kept_from_running(&ran, &project, "clock");
    assert!(ran.stderr.contains("belljar verify"), "{ran}");
}

#[test]
fn a_level_above_what_the_kernel_has() {
    for verb in [run, verify] {
        let project = small();
        let ran = verb(&project, &["--require", "landlock=99"], BUILD);
        is_kept_from_running(&ran, &project, "landlock");
        assert!(ran.stderr.contains("wanted 99, got "), "{ran}");
    }
}

/// One above what the kernel has is refused and what it has is enough: the level is read from the
/// evidence of a run that asks for none.
#[test]
fn a_level_is_a_floor() {
    let project = small();
    run(&project, &[], BUILD).exits(0);
    let report = |project: &Project| {
        let layers = project.evidence().result["runs"][0]["layers"].clone();
        let mut layers = layers.as_array().expect("layers").clone();
        layers.retain(|l| l["layer"] == "landlock");
        layers.pop().expect("a report of landlock")
    };
    let got = report(&project)["got"].as_str().expect("text").to_owned();
    let abi = got
        .strip_prefix("abi ")
        .map_or(0, |n| n.parse().expect("a number"));
    let project = small();
    let above = format!("landlock={}", abi + 1);
    let ran = run(&project, &["--require", &above], BUILD);
    is_kept_from_running(&ran, &project, "landlock");
    if abi > 0 {
        let enough = format!("landlock={abi}");
        run(&project, &["--require", &enough], BUILD).exits(0);
        assert_eq!(report(&project)["required"], true);
    }
}

#[test]
fn a_layer_that_stands() {
    let project = small();
    let options = ["--require", "seccomp", "--require", "net-namespace"];
    run(&project, &options, BUILD).exits(0);
    project.write("belljar.toml", "require = [\"capabilities\"]\n");
    run(&project, &[], BUILD).exits(0);
}

#[test]
fn run_a_of_a_pair_is_not_made_in_vain() {
    let project = small();
    let ran = verify(&project, &["--require", "clock"], BUILD);
    if ran.code == 125 {
        is_kept_from_running(&ran, &project, "clock");
        assert!(!ran.stderr.contains("nothing in this run"), "{ran}");
    }
}

#[test]
fn a_name_that_is_none_is_refused_with_the_names() {
    let project = small();
    for wrong in ["bogus", "landlok=6", ""] {
        let ran = run(&project, &["--require", wrong], BUILD);
        ran.exits(2);
        for name in ["user-namespace", "landlock", "seccomp", "cgroup", "clock"] {
            assert!(ran.stderr.contains(name), "{name} is named\n{ran}");
        }
        assert!(!project.dir().join("out").exists(), "{ran}");
    }
    let ran = run(&project, &["--require", "seccomp=2"], BUILD);
    assert!(ran.exits(2).stderr.contains("landlock=6"), "{ran}");
}
