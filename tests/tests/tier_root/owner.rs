//! Root starts belljar: whose build it is, whose files come out, and what of the machine reaches in.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::{MetadataExt as _, chown},
    process::Stdio,
};

use belljar_tests::{Project, Ran, belljar_bin};

fn project() -> Project {
    let project = Project::empty_for_caller();
    project.write("source.txt", "source\n");
    project
}

/// The user ids of the processes of this machine with this marker among their arguments.
fn users_of(marker: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    processes
        .filter(|p| {
            fs::read(p.path().join("cmdline")).is_ok_and(|line| {
                line.starts_with(b"sleep\0") && String::from_utf8_lossy(&line).contains(marker)
            })
        })
        .filter_map(|p| Some(fs::metadata(p.path()).ok()?.uid()))
        .collect()
}

#[test]
fn the_builder_is_not_root_for_the_kernel_and_owns_the_folder_all_the_same() {
    let project = project();
    let mut belljar = project
        .belljar_command([
            "run",
            "--",
            "sh",
            "-c",
            "id -un; stat -c %U source.txt; echo more >>source.txt; sleep 2.71",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("belljar starts");
    let mut lines = BufReader::new(belljar.stdout.take().expect("stdout"))
        .lines()
        .map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("builder"));
    assert_eq!(lines.next().as_deref(), Some("builder"));
    belljar_tests::eventually(std::time::Duration::from_secs(2), || {
        !users_of("2.71").is_empty()
    });
    assert!(users_of("2.71").iter().all(|uid| *uid != 0));
    assert!(belljar.wait().expect("belljar ends").success());
    assert_eq!(
        fs::read_to_string(project.dir().join("source.txt")).expect("source.txt"),
        "source\nmore\n"
    );
}

#[test]
fn outputs_and_evidence_belong_to_the_folders_owner() {
    let project = project();
    for path in [project.dir(), project.dir().join("source.txt")] {
        chown(path, Some(12_345), Some(12_345)).expect("chown");
    }
    let ran = project.belljar([
        "run",
        "--",
        "sh",
        "-c",
        "mkdir -p d; echo x >d/out; id -u; stat -c %u source.txt",
    ]);
    assert_eq!(ran.exits(0).stdout, "1000\n1000\n", "{ran}");
    for name in [
        "d",
        "d/out",
        "artifacts",
        "artifacts/result.json",
        "artifacts/security/egress.ndjson",
        "artifacts/logs",
    ] {
        let at = fs::metadata(project.dir().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((at.uid(), at.gid()), (12_345, 12_345), "{name}");
    }
}

#[test]
fn a_tree_of_mixed_owners_is_refused_with_a_hint() {
    let project = project();
    project.write("other.txt", "x\n");
    chown(project.dir().join("other.txt"), Some(4242), Some(4242)).expect("chown");
    let ran = project.belljar(["run", "--", "true"]);
    assert!([2, 125].contains(&ran.code), "{ran}");
    assert!(
        ran.stderr.contains("other.txt") && ran.stderr.contains("chown"),
        "{ran}"
    );
}

/// A script in a mount namespace of its own.
fn apart(project: &Project, propagation: &str, script: &str) -> Ran {
    let belljar = belljar_bin();
    Ran::of(
        project
            .command("unshare")
            .args(["-m", "--propagation", propagation, "sh", "-c", script, "sh"])
            .arg(belljar),
    )
}

/// What container engines do: parts of /proc covered. The kernel then refuses a new /proc.
#[test]
fn a_masked_proc_is_recognised_and_the_readme_has_the_flags() {
    let project = project();
    let user = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let own = "mkdir tree && chown 65534:65534 tree && cd tree";
    let masked = apart(
        &project,
        "private",
        &format!("{own}; mount --bind /dev/null /proc/keys && {user} $1 run -- true"),
    );
    masked.exits(125);
    assert!(
        masked.stderr.contains("/proc") && masked.stderr.contains("README"),
        "{masked}"
    );
    let open = apart(
        &project,
        "private",
        &format!("cd tree; {user} $1 run -- true"),
    );
    open.exits(0);
    let readme =
        fs::read_to_string(belljar_tests::repository().join("README.md")).expect("README.md");
    assert!(readme.contains("systempaths=unconfined") && readme.contains("unmask=ALL"));
}

/// A mount that the host makes under a folder of the build's does not turn up inside.
#[test]
fn later_mounts_of_the_host_stay_outside() {
    let project = project();
    let script = "$1 run -q -- sh -c 'echo first; sleep 1; ls /usr/local/games' >inside.log & \
        until [ -s inside.log ]; do sleep 0.05; done; \
        mount -t tmpfs t /usr/local/games && touch /usr/local/games/late && ls /usr/local/games; wait; cat inside.log";
    let ran = apart(&project, "shared", script);
    assert_eq!(ran.exits(0).stdout, "late\nfirst\n", "{ran}");
}

/// Attack case 68: root may set back what a user may not.
#[test]
fn case_68_a_strange_rank_of_root_is_not_passed_on() {
    let project = project();
    let script = "nice; chrt -p $$ | sed 's/.*: //'; cat /proc/self/oom_score_adj";
    let strange = |command: &[&str]| {
        let line = "echo 300 >/proc/self/oom_score_adj; renice -n -7 -p $$ >/dev/null; exec chrt -f 5 \"$@\"";
        Ran::of(project.command("sh").args(["-c", line, "sh"]).args(command))
    };
    let free = strange(&["sh", "-c", script]);
    assert_eq!(free.exits(0).stdout, "-7\nSCHED_FIFO\n5\n300\n", "{free}");
    let belljar = belljar_bin();
    let belljar = belljar.to_str().expect("a path");
    let run = [
        "run",
        "-q",
        "--no-export",
        "--require",
        "scheduling",
        "--",
        "sh",
        "-c",
        script,
    ];
    let ran = strange(&[&[belljar], &run[..]].concat());
    assert_eq!(ran.exits(0).stdout, "0\nSCHED_OTHER\n0\n0\n", "{ran}");
}

/// Attack case 4: groups that a user can't drop are shown as nobody's, and said.
#[test]
fn case_4_further_groups_are_dropped_or_said() {
    let project = project();
    let root = Ran::of(
        project
            .command("setpriv")
            .args(["--groups", "4,24"])
            .arg(belljar_bin())
            .args(["run", "-q", "--", "id", "-G"]),
    );
    assert_eq!(root.exits(0).stdout, "1000\n", "{root}");
    let own = "mkdir tree && chown 12345:12345 tree && cd tree";
    let user = "setpriv --reuid=12345 --regid=12345 --groups 4,24";
    let script = format!("{own}; {user} $1 run -q --no-export -- id -G; cat artifacts/result.json");
    let ran = apart(&project, "private", &script);
    let (ids, result) = ran.exits(0).stdout.split_once('\n').expect("two parts");
    assert_eq!(ids, "1000 65534", "{ran}");
    let result: serde_json::Value = serde_json::from_str(result).expect("result.json");
    let layers = result["runs"][0]["layers"].as_array().expect("layers");
    let groups = layers.iter().find(|l| l["layer"] == "supplementary-groups");
    assert_eq!(groups.expect("groups")["got"], "2, shown as nogroup");
}
