//! Budgets from the command line to the evidence, held by whatever cgroup version the host has.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use belljar_tests::{Project, Ran};
use serde_json::Value;

fn project() -> Project {
    let project = Project::empty_for_caller();
    project.write("source.txt", "source\n");
    project
}

fn run(project: &Project, options: &[&str], script: &str) -> Ran {
    let args = [&["run"][..], options, &["--", "sh", "-c", script]].concat();
    project.belljar(args)
}

/// The report on one budget.
#[track_caller]
fn budget(project: &Project, name: &str) -> Value {
    let evidence = project.evidence();
    let budgets = evidence.result["budgets"]
        .as_array()
        .expect("budgets")
        .clone();
    let found = budgets.iter().find(|b| b["name"] == name);
    found
        .unwrap_or_else(|| panic!("{name} in {budgets:#?}"))
        .clone()
}

/// Every cgroup of a run that there is.
fn leaves() -> Vec<PathBuf> {
    fn below(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with("belljar-") {
                    found.push(entry.path());
                }
                below(&entry.path(), found);
            }
        }
    }
    let mut found = Vec::new();
    below(Path::new("/sys/fs/cgroup"), &mut found);
    found
}

#[track_caller]
fn out_of_memory(ran: &Ran, project: &Project) {
    assert_eq!(project.evidence().ended_by(), "oom", "{ran}");
    assert_eq!(ran.code, 137, "{ran}");
    assert!(!ran.stdout.contains("past the budget"), "{ran}");
    let memory = budget(project, "memory");
    assert_eq!(memory["hit"], true, "{memory:#}");
    assert!(
        ["cgroup1", "cgroup2"]
            .map(Value::from)
            .contains(&memory["held_by"]),
        "{memory:#}"
    );
}

#[test]
fn memory_of_every_kind_counts() {
    for (what, script) in [
        ("a program's own", "head -c 400000000 /dev/zero | tail"),
        ("a file in /tmp", "head -c 100000000 /dev/zero >/tmp/f"),
        (
            "a file in /dev/shm",
            "head -c 100000000 /dev/zero >/dev/shm/f",
        ),
        (
            "a file without a name",
            "python3 -c 'import os; f = os.memfd_create(\"f\"); [os.write(f, bytes(1 << 20)) for _ in range(100)]'",
        ),
        (
            "pipe buffers",
            "python3 -c '
import fcntl, os
pipes = [os.pipe() for _ in range(60)]
for _, end in pipes:
    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 1 << 20)
    os.write(end, bytes(1 << 20))'",
        ),
        (
            // 24 MiB of pages, each with a page of its own to find it.
            "page tables",
            "python3 -c '
import mmap
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000
m = mmap.mmap(-1, 6000 << 21, flags=flags)
m.madvise(mmap.MADV_NOHUGEPAGE)
for i in range(6000):
    m[i << 21] = 1'",
        ),
    ] {
        let project = project();
        let ran = run(
            &project,
            &["--memory", "40M"],
            &format!("{script} && echo past the budget"),
        );
        println!("{what}: {ran}");
        out_of_memory(&ran, &project);
    }
}

#[test]
fn the_page_tables_of_the_other_test_are_what_is_too_much() {
    let project = project();
    let script = "python3 -c '
import mmap
m = mmap.mmap(-1, 24 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m.madvise(mmap.MADV_NOHUGEPAGE)
for i in range(6000):
    m[i << 12] = 1'";
    run(&project, &["--memory", "40M"], script).exits(0);
    assert_eq!(budget(&project, "memory")["hit"], false);
}

#[test]
fn a_memory_budget_too_small_for_the_sandbox_is_a_setup_error() {
    let project = project();
    let ran = run(&project, &["--memory", "64K"], "echo ran");
    ran.exits(125);
    assert!(!ran.stdout.contains("ran"), "{ran}");
    assert!(ran.stderr.contains("--memory"), "{ran}");
}

#[test]
fn a_fork_bomb_is_held_and_said() {
    let project = project();
    let options = ["--pids", "60", "--timeout", "3s"];
    let begun = Instant::now();
    // It ends at 511 processes where no budget holds.
    let bomb = "f() { [ $1 = 0 ] || { f $(($1 - 1)) & f $(($1 - 1)) & }; sleep 60; }; f 8; wait";
    let ran = run(&project, &options, bomb);
    assert!(begun.elapsed() < Duration::from_mins(1), "{ran}");
    assert!(
        ["pids", "timeout"].contains(&project.evidence().ended_by()),
        "{ran}"
    );
    assert_eq!(budget(&project, "pids")["hit"], true, "{ran}");
}

#[test]
fn a_build_that_does_with_fewer_processes_is_not_ended() {
    let project = project();
    let script = "for i in 1 2 3 4 5 6 7 8; do (sleep 1) & done 2>/dev/null; wait; echo done";
    run(&project, &["--pids", "16"], script).exits(0);
    assert_eq!(project.evidence().ended_by(), "command");
    assert_eq!(budget(&project, "pids")["hit"], false);
    // One task: the shell itself.
    run(&project, &["--pids", "1"], "echo alone").exits(0);
    assert_eq!(project.evidence().ended_by(), "command");
}

#[test]
fn a_share_of_a_processor_is_no_more() {
    let project = project();
    // So small that a busy machine has it to give.
    let script = "timeout 3 sh -c 'while :; do :; done'; exit 0";
    run(&project, &["--cpus", "0.05"], script).exits(0);
    let cpus = budget(&project, "cpus");
    assert_eq!(
        (&cpus["asked"], &cpus["hit"]),
        (&50.into(), &false.into()),
        "{cpus:#}"
    );
    let usage = &project.evidence().result["runs"][0]["when"]["usage"];
    let ms = |key: &str| usage[key].as_u64().expect("a number");
    let (used, wall) = (ms("user_ms") + ms("system_ms"), ms("wall_ms"));
    // And what belljar itself uses outside of the leaf, for the set-up.
    assert!(used <= wall / 20 + 300, "{usage:#}");
    assert!(ms("throttled_ms") > 0, "{usage:#}");
}

#[test]
fn what_is_written_to_the_workspace_and_the_temporary_folders_counts() {
    for script in [
        "head -c 4000000000 /dev/zero >big",
        "for i in $(seq 4000); do head -c 1000000 /dev/zero >f$i; done",
        "mkdir d && cd d && head -c 4000000000 /dev/zero >big",
        "head -c 50000000 /dev/zero >a; head -c 50000000 /dev/zero >/tmp/b; head -c 50000000 /dev/zero >c; sleep 600",
        "head -c 4000000000 /dev/zero >~/big; sleep 600",
        "head -c 90000000 /dev/zero >big",
    ] {
        let project = project();
        let ran = run(&project, &["--disk", "64M"], script);
        assert_eq!(project.evidence().ended_by(), "disk", "{script}\n{ran}");
        let disk = budget(&project, "disk");
        assert_eq!(
            (&disk["hit"], &disk["held_by"]),
            (&true.into(), &"watched".into())
        );
        let left: Vec<_> = fs::read_dir(project.dir()).expect("the folder").collect();
        assert_eq!(left.len(), 2, "nothing is exported: {left:?}");
    }
    let project = project();
    let fits = "head -c 20000000 /dev/zero >big; for i in $(seq 100); do ln big l$i; done; truncate -s 1T sparse; rm l* sparse";
    run(&project, &["--disk", "64M"], fits).exits(0);
    assert_eq!(budget(&project, "disk")["hit"], false);
}

#[test]
fn the_build_sees_its_own_cgroup_and_can_not_change_it() {
    let project = project();
    let script = "grep -v ':/$' /proc/self/cgroup; find /sys/fs/cgroup /proc/self/ -name 'cgroup*' -writable 2>/dev/null | grep -v /proc/self/task; \
        mount -t cgroup2 none /tmp && echo mounted; echo end";
    let ran = run(
        &project,
        &["--memory", "256M", "--pids", "64", "--cpus", "1"],
        script,
    );
    ran.exits(0);
    assert_eq!(ran.stdout, "end\n", "{ran}");
    // what runtimes read, on either version; the processes in it are the sandbox's
    let script = "cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes 2>/dev/null; cat pids.max pids/pids.max 2>/dev/null; \
        cat cgroup.procs memory/cgroup.procs 2>/dev/null | grep -cvE '^(1|[2-9]|1[0-9])$'; ls -d */.. | grep -c .; (: >cgroup.procs || : >memory/cgroup.procs) 2>/dev/null && echo WROTE; true";
    let ran = run(&project, &["--memory", "256M", "--pids", "64"], script);
    let lines: Vec<&str> = ran.exits(0).stdout.lines().collect();
    // init is not the budget's
    assert_eq!(lines[..3], ["268435456", "65", "0"], "{ran}");
    assert!(!ran.stdout.contains("WROTE"), "{ran}");
    let ran = run(&project, &[], "ls /sys/fs/cgroup");
    assert_eq!(ran.exits(0).stdout, "", "without a budget there is none");
}

#[test]
fn two_runs_at_one_time_share_nothing_and_the_death_of_one_is_its_own() {
    let (one, two) = (project(), project());
    let start = |project: &Project| {
        let mut command =
            project.belljar_command(["run", "--memory", "256M", "--pids", "64", "--"]);
        command.args(["sh", "-c", "sleep 3; echo made"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().expect("belljar starts")
    };
    let before = leaves();
    let (mut a, b) = (start(&one), start(&two));
    let new = || leaves().into_iter().filter(|l| !before.contains(l));
    let begun = Instant::now();
    let names = loop {
        let mut names: Vec<_> = new()
            .filter_map(|l| l.file_name().map(ToOwned::to_owned))
            .collect();
        names.sort();
        names.dedup();
        if names.len() >= 2 {
            break names;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{names:?}");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(names.len() >= 2);
    a.kill().expect("the signal is sent");
    a.wait().expect("belljar ends");
    let b = b.wait_with_output().expect("belljar ends");
    assert!(b.status.success());
    assert_eq!(b.stdout, b"made\n");
    Ran::of(&mut two.belljar_command(["clean"])).exits(0);
    let left: Vec<_> = new()
        .filter(|l| names.iter().any(|n| Some(&**n) == l.file_name()))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_next_start_sweeps_the_cgroup_of_a_killed_run() {
    let project = project();
    let scratch = project.beside("scratch");
    fs::create_dir(&scratch).expect("a folder for scratch");
    let scratch = scratch.to_str().expect("a path");
    let before = leaves();
    let new = || leaves().into_iter().filter(|l| !before.contains(l));
    let mut command = project.belljar_command(["run", "--pids", "64", "--scratch", scratch, "--"]);
    command.args(["sh", "-c", "echo running; sleep 600"]);
    let mut killed = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("belljar starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(killed.stdout.take().expect("its stdout"));
    stdout.read_line(&mut line).expect("it runs");
    let names: Vec<_> = fs::read_dir(scratch)
        .expect("scratch")
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let is_its = |leaf: &PathBuf| leaf.file_name() == Some(&*names[0]);
    assert!(new().any(|l| is_its(&l)));
    killed.kill().expect("the signal is sent");
    killed.wait().expect("belljar ends");
    // What it had started ends a moment after it.
    let begun = Instant::now();
    while fs::read_dir(scratch).expect("scratch").count() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "never swept");
        run(&project, &["--scratch", scratch], "true").exits(0);
    }
    assert!(!new().any(|l| is_its(&l)));
}

#[test]
fn a_plain_user_without_delegation_is_refused_with_the_fix() {
    let project = Project::empty();
    project.write("source.txt", "source\n");
    for options in [["--memory", "64M"], ["--pids", "10"], ["--cpus", "1"]] {
        let ran = run(&project, &options, "echo ran");
        ran.exits(125);
        assert!(!ran.stdout.contains("ran"), "{ran}");
        assert!(
            ran.stderr
                .contains("systemd-run --user --scope -p Delegate=yes"),
            "{ran}"
        );
    }
    // What needs no cgroup needs no rights.
    run(&project, &["--disk", "64M", "--timeout", "1m"], "echo ran").exits(0);
}
