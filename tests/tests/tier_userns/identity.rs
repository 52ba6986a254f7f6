//! Who the build is, the same for everyone everywhere.

use belljar_tests::{Project, Ran};

use crate::{inside, outside};

#[test]
fn user_home_host_place_and_time_zone() {
    let project = Project::empty();
    let script = "id; echo $HOME $USER $LANG $TZ; hostname; pwd; umask; date +%Z; ls -A $HOME; whoami; cat /etc/hosts /etc/resolv.conf /etc/nsswitch.conf | grep -c .";
    let seen = inside(&project, script);
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(
        lines[0], "uid=1000(builder) gid=1000(builder) groups=1000(builder)",
        "{seen}"
    );
    let rest = [
        "/home/builder builder C.UTF-8 UTC",
        "belljar",
        "/build",
        "0022",
        "UTC",
        "builder",
    ];
    assert_eq!(lines[1..7], rest, "{seen}");
}

#[test]
fn no_variable_but_the_declared_ones() {
    let project = Project::empty();
    let ran = Ran::of(
        project
            .belljar_command([
                "run",
                "-q",
                "--env",
                "MINE=1",
                "--pass-env",
                "CI",
                "--",
                "env",
            ])
            .env("CI", "true")
            .env("LD_PRELOAD", "")
            .env("LD_LIBRARY_PATH", "/x")
            .env("BASH_ENV", "/x")
            .env("GIT_DIR", "/x")
            .env("https_proxy", "http://proxy.example")
            .env("SSH_AUTH_SOCK", "/x")
            .env("AWS_SECRET_ACCESS_KEY", "x"),
    );
    let mut names: Vec<&str> = ran
        .exits(0)
        .stdout
        .lines()
        .filter_map(|l| l.split_once('='))
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["CI", "HOME", "LANG", "MINE", "PATH", "TZ", "USER"],
        "{ran}"
    );
    assert!(ran.stdout.contains("CI=true"), "{ran}");
}

#[test]
fn variables_that_were_not_passed_are_counted_and_the_important_ones_named() {
    let project = Project::empty();
    let ran = Ran::of(
        project
            .belljar_command(["run", "--", "true"])
            .env("CFLAGS", "-O3")
            .env("UNIMPORTANT", "1"),
    );
    let own = ran.own_lines().join("\n");
    assert!(
        own.contains("CFLAGS") && !own.contains("UNIMPORTANT"),
        "{ran}"
    );
}

#[test]
fn no_capability_and_no_new_privileges() {
    let project = Project::empty();
    let status = inside(
        &project,
        "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status",
    );
    let sets: Vec<&str> = status.lines().filter(|l| l.starts_with("Cap")).collect();
    assert_eq!(sets.len(), 5, "{status}");
    assert!(
        sets.iter().all(|l| l.ends_with("\t0000000000000000")),
        "{status}"
    );
    assert!(
        status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"),
        "{status}"
    );
    let bounding = outside(&project, "grep CapBnd /proc/self/status");
    assert!(
        !bounding.ends_with("\t0000000000000000\n"),
        "there was something to drop: {bounding}"
    );
}

#[test]
fn processes_of_the_sandbox_alone() {
    let project = Project::empty();
    let seen = inside(
        &project,
        "ls /proc | grep -c '^[0-9]'; tr '\\0' '\\n' </proc/1/cmdline; grep ^PPid /proc/1/status",
    );
    let lines: Vec<&str> = seen.lines().collect();
    assert!(lines[0].parse::<u32>().is_ok_and(|n| n <= 6), "{seen}");
    assert_eq!(lines[2], "PPid:\t0", "{seen}");
    // nothing of the caller's command line is told by the first process, not even its length
    assert_eq!(lines[1], "belljar-init", "{seen}");
    let ran = project.belljar([
        "run",
        "-q",
        "--env",
        "A=tell",
        "--",
        "cat",
        "/proc/1/cmdline",
    ]);
    assert_eq!(ran.exits(0).stdout, "belljar-init\0", "{ran}");
}

#[test]
fn cgroup_paths_tell_nothing() {
    let project = Project::empty();
    let seen = inside(&project, "cat /proc/self/cgroup");
    assert!(
        !seen.is_empty() && seen.lines().all(|l| l.ends_with(":/")),
        "{seen}"
    );
}

#[test]
fn system_v_memory_of_the_host_is_not_seen_and_ours_goes_with_us() {
    let project = Project::empty();
    let id = outside(&project, "ipcmk -M 4096 | tr -dc 0-9");
    // one of a size of its own, so that it would be found outside
    let seen = inside(
        &project,
        "ipcs -m | grep -c '^0x'; ipcmk -M 40961 >/dev/null; ipcs -m | grep -c '^0x'",
    );
    let host = outside(&project, &format!("ipcs -m; ipcrm -m {id}"));
    assert_eq!(seen, "0\n1\n");
    assert!(!host.contains(" 40961 "), "{host}");
}

#[test]
fn limits_of_the_caller_do_not_matter() {
    let project = Project::empty();
    let script = "ulimit -n -c -u -s -f -t -v; umask; nice; cat /proc/self/oom_score_adj /proc/self/timerslack_ns 2>/dev/null; taskset -p $$ | sed 's/.*: //'";
    let usual = inside(&project, script);
    let belljar = belljar_tests::belljar_bin();
    let strange = Ran::of(
        project
            .command("sh")
            .arg("-c")
            .arg("ulimit -S -n 333; ulimit -S -c 77; ulimit -S -s 4096; ulimit -S -t 5000; umask 077; exec nice -n 0 \"$@\"")
            .arg("sh")
            .arg(belljar)
            .args(["run", "-q", "--", "sh", "-c", script]),
    );
    assert_eq!(strange.exits(0).stdout, usual);
}
