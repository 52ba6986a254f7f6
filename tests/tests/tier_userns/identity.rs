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
    let script = "ulimit -n -c -u -s -f -t -v; umask";
    let usual = inside(&project, script);
    let belljar = belljar_tests::belljar_bin();
    let strange = Ran::of(
        project
            .command("sh")
            .arg("-c")
            .arg("ulimit -S -n 333; ulimit -S -c 77; ulimit -S -s 4096; ulimit -S -t 5000; umask 077; exec \"$@\"")
            .arg("sh")
            .arg(belljar)
            .args(["run", "-q", "--", "sh", "-c", script]),
    );
    assert_eq!(strange.exits(0).stdout, usual);
}

/// What a process inherits besides limits, as it is inside.
const INHERITED: &str = "nice; chrt -p $$ | sed 's/.*: //'; ionice -p $$; cat /proc/self/timerslack_ns /proc/self/oom_score_adj /proc/self/personality";

/// The signal mask and what is ignored, without a shell, which would change them.
const SIGNALS: [&str; 3] = ["grep", "-E", "^Sig(Blk|Ign)"];

/// Starts a program with everything set that an unprivileged caller may set.
const STRANGE: &str = "
import ctypes, os, signal, sys
libc = ctypes.CDLL(None)
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
libc.prctl(29, 777)
libc.syscall(251, 1, 0, 2 << 13 | 6)
libc.personality(0x0040000)
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
for s in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGCHLD, 40, 63): signal.signal(s, signal.SIG_IGN)
if sys.argv[1] != '0': os.nice(int(sys.argv[1]))
with open('/proc/self/oom_score_adj', 'w') as f: f.write(sys.argv[2])
os.execvp(sys.argv[3], sys.argv[3:])
";

#[test]
fn case_68_what_the_caller_inherited_is_not_passed_on() {
    let project = Project::empty();
    // 0, if nobody started the tests with another one
    let own: i32 = outside(&project, "nice").trim().parse().expect("a number");
    let usual = inside(&project, INHERITED);
    let want = "\nSCHED_OTHER\n0\nnone: prio 0\n50000\n0\n00000000\n";
    let want = format!("{own}{want}");
    assert_eq!(usual, want);
    let strange = |command: &[&str], nice: &str, score: &str| {
        let head = ["-c", STRANGE, nice, score];
        Ran::of(project.command("python3").args(head).args(command))
    };
    let free = strange(&["sh", "-c", INHERITED], "0", "300");
    let same = free
        .exits(0)
        .stdout
        .lines()
        .zip(want.lines())
        .filter(|(f, w)| f == w);
    // nice and the priority in the policy's class
    assert_eq!(same.count(), 2, "the caller is strange: {free}");
    let belljar = belljar_tests::belljar_bin();
    let belljar = belljar.to_str().expect("a path");
    let run = [
        belljar,
        "run",
        "-q",
        "--no-export",
        "--",
        "sh",
        "-c",
        INHERITED,
    ];
    let ran = strange(&run, "0", "300");
    assert_eq!(ran.exits(0).stdout, want, "{ran}");
    let layer = |project: &Project| {
        let result = project.evidence().document("result.json");
        let layers = result["runs"][0]["layers"]
            .as_array()
            .expect("layers")
            .clone();
        let found = layers.into_iter().find(|l| l["layer"] == "scheduling");
        found.expect("scheduling")
    };
    let signals = [&SIGNALS[..], &["/proc/self/status"]].concat();
    let none = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n";
    let free = strange(&signals, "0", "0");
    let zero = |text: &str| text.matches("\t0000000000000000").count();
    assert_eq!(
        zero(&free.exits(0).stdout),
        0,
        "the caller is strange: {free}"
    );
    let ran = strange(&[&run[..5], &signals].concat(), "0", "0");
    assert_eq!(ran.exits(0).stdout, none, "{ran}");
    let state = if own == 0 { "full" } else { "partial" };
    assert_eq!(layer(&project)["state"], state);
    // What only root may lower stays, and is said by name.
    let ran = strange(&run, "5", "300");
    let more = own + 5;
    assert!(
        ran.exits(0).stdout.starts_with(&format!("{more}\n")),
        "{ran}"
    );
    let partial = layer(&project);
    assert_eq!(partial["state"], "partial");
    assert_eq!(partial["wanted"], "nice 0");
    assert_eq!(partial["got"], format!("nice {more}"));
    let strict = strange(
        &[
            belljar,
            "run",
            "--require",
            "scheduling",
            "--",
            "touch",
            "ran",
        ],
        "5",
        "0",
    );
    assert!(
        strict.exits(125).stderr.contains(&format!("nice {more}")),
        "{strict}"
    );
    // On fewer processors: the caller's to give, and held.
    let fewer = Ran::of(project.command("taskset").args(["-c", "0"]).args([
        belljar,
        "run",
        "-q",
        "--no-export",
        "--",
        "nproc",
    ]));
    assert_eq!(fewer.exits(0).stdout, "1\n");
    let held = project.evidence().document("result.json")["variations"]["held"].clone();
    assert!(
        held.as_array().expect("held").iter().any(|h| h == "cpu"),
        "{held}"
    );
}

/// Attack case 5: one id inside is one id outside; nothing asks a set-id helper for more.
#[test]
fn case_5_the_id_map_is_of_one_and_no_helper_is_asked() {
    let project = Project::empty();
    for helper in ["newuidmap", "newgidmap"] {
        project.write(
            format!("bin/{helper}"),
            "#!/bin/sh\ntouch \"$HOME/asked\"; sleep 60\n",
        );
    }
    Ran::of(project.command("chmod").args(["-R", "755", "bin"])).exits(0);
    let path = format!("{}:/usr/bin:/bin", project.dir().join("bin").display());
    let ran = Ran::of(
        project
            .belljar_command(["run", "-q", "--no-export", "--", "sh", "-c"])
            .arg("cd /proc/self; cat uid_map gid_map setgroups; chown 1:1 /tmp 2>/dev/null || echo refused")
            .env("PATH", path),
    );
    let lines: Vec<Vec<&str>> = ran
        .exits(0)
        .stdout
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 4, "{ran}");
    for map in &lines[..2] {
        assert_eq!((map[0], map[2]), ("1000", "1"), "{ran}");
    }
    assert_eq!(
        (&lines[2], &lines[3]),
        (&vec!["deny"], &vec!["refused"]),
        "{ran}"
    );
    assert!(!project.home().join("asked").exists());
}
