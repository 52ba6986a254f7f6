//! What the caller left open is not there.

use belljar_tests::{Project, Ran, belljar_bin};

#[test]
fn descriptors_of_the_caller_are_not_inherited() {
    let project = Project::empty();
    let script = "import os; print(sorted(int(f) for f in os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')))";
    let with = |redirections: &str| {
        let ran = Ran::of(
            project
                .command("sh")
                .arg("-c")
                .arg(format!("exec {redirections} \"$@\""))
                .arg("sh")
                .arg(belljar_bin())
                .args(["run", "-q", "--", "python3", "-c", script]),
        );
        ran.exits(0).stdout.clone()
    };
    // the fourth is the folder being listed
    assert_eq!(with(""), "[0, 1, 2] 4\n");
    assert_eq!(with("5</ 7</etc 9>>/dev/null"), "[0, 1, 2] 4\n");
}

#[test]
fn a_file_as_stdout_can_not_be_read_back_or_truncated() {
    let project = Project::empty();
    let log = project.beside("log");
    let ran = Ran::of(
        project
            .command("sh")
            .arg("-c")
            .arg(format!(
                "printf earlier >{0}; exec 1<>{0}; exec \"$@\" >>{0}",
                log.display()
            ))
            .arg("sh")
            .arg(belljar_bin())
            .args([
                "run",
                "-q",
                "--",
                "sh",
                "-c",
                "readlink /proc/self/fd/1 | cut -d: -f1; truncate -s 0 /proc/self/fd/1; true",
            ]),
    );
    ran.exits(0);
    let kept = std::fs::read_to_string(log).expect("the log");
    assert_eq!(kept, "earlierpipe\n");
}

#[test]
fn the_command_keeps_its_own_options() {
    let project = Project::empty();
    let ran = project.belljar(["run", "-q", "--", "echo", "--memory", "4Q", "--", "-q"]);
    assert_eq!(ran.exits(0).stdout, "--memory 4Q -- -q\n");
    project.write("--help", "#!/bin/sh\necho \"ran $0\"\n");
    let ran = project.belljar(["run", "-q", "--", "sh", "./--help"]);
    assert_eq!(ran.exits(0).stdout, "ran ./--help\n");
}
