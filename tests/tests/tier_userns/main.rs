//! The sandbox as an ordinary user gets it: what a build sees, and what it can't do.
//!
//! Where a wall is tried, the same attempt is first made without belljar: it must get through there,
//! or the test would prove nothing.
#![forbid(unsafe_code)]

mod attacks;
mod clock;
mod descriptors;
mod identity;
mod kernel;
mod lifetime;
mod mounts;
mod nested;
mod tree;

use belljar_tests::{Project, Ran};

/// What a script prints in the sandbox, which must end well.
#[track_caller]
fn inside(project: &Project, script: &str) -> String {
    let ran = project.belljar(["run", "-q", "--", "sh", "-c", script]);
    ran.exits(0).stdout.clone()
}

/// What the same script prints without belljar, as the same user.
#[track_caller]
fn outside(project: &Project, script: &str) -> String {
    Ran::of(project.command("sh").args(["-c", script]))
        .exits(0)
        .stdout
        .clone()
}

/// Syscalls by number from Python; prints `name: ok` or `name: ERRNO` a line.
fn syscalls(calls: &[(&str, &str)]) -> String {
    let calls: Vec<String> = calls
        .iter()
        .map(|(name, call)| format!("try_call('{name}', {call})"))
        .collect();
    format!(
        "exec python3 - <<'END'\nimport ctypes, errno, os\nlibc = ctypes.CDLL(None, use_errno=True)\n\
         def try_call(name, *call):\n    \
             if os.fork() == 0:\n        \
                 r = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in call])\n        \
                 print(name + ': ' + ('ok' if r >= 0 else errno.errorcode.get(ctypes.get_errno(), '?')), flush=True)\n        \
                 os._exit(0)\n    \
             os.wait()\n{}\nEND",
        calls.join("\n")
    )
}

#[test]
fn the_tests_of_this_tier_run_as_an_ordinary_user() {
    let project = Project::empty();
    assert_ne!(outside(&project, "id -u").trim(), "0");
    assert_eq!(outside(&project, "id -G").split_whitespace().count(), 1);
    outside(&project, "touch mine");
}

/// No user namespaces to be had: one sentence with the fix, and the command has not run.
#[test]
fn a_machine_without_user_namespaces_is_told_apart() {
    let project = Project::empty();
    let belljar = belljar_tests::belljar_bin();
    let scratch = project.beside("scratch");
    outside(&project, &format!("mkdir {}", scratch.display()));
    let script = format!(
        "echo 0 >/proc/sys/user/max_user_namespaces && \
         exec setpriv --inh-caps=-all --ambient-caps=-all \"$0\" run --scratch {} -- touch ran",
        scratch.display()
    );
    let as_before = [
        "-U",
        "--map-current-user",
        "--keep-caps",
        "sh",
        "-c",
        &script,
    ];
    let ran = Ran::of(project.command("unshare").args(as_before).arg(belljar));
    ran.exits(125);
    assert!(ran.stderr.contains("max_user_namespaces"), "{ran}");
    assert!(!project.dir().join("ran").exists());
}
