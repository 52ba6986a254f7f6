//! Kernel surface: what a build may not ask of it.

use belljar_tests::Project;

use crate::{inside, outside, syscalls};

/// Calls that any user may make, and a build may not.
const FREE_OUTSIDE: &[(&str, &str)] = &[
    ("unshare user", "272, 0x10000000"),
    ("unshare user and mounts", "272, 0x10020000"),
    ("keyctl", "250, 0, -3, 0"),
    ("personality read-implies-exec", "135, 0x400000"),
    ("userfaultfd or its absence", "323, 0x1"),
    ("inet raw by user namespace", "272, 0x50000000"),
    ("kcmp", "312, os.getpid(), os.getpid(), 0, 0, 1"),
    (
        "name_to_handle_at",
        "303, -100, b'/', ctypes.create_string_buffer(b'\\x80' + b'\\0' * 200), ctypes.create_string_buffer(8), 0",
    ),
    ("io_uring_setup", "425, 4, ctypes.create_string_buffer(256)"),
    ("add_key", "248, b'user', b'd', b'x', 1, -2"),
];

#[test]
fn calls_that_users_may_make_and_builds_may_not() {
    let project = Project::empty();
    let calls = syscalls(FREE_OUTSIDE);
    let free = outside(&project, &calls);
    assert!(
        free.lines().filter(|l| l.ends_with(": ok")).count() >= 8,
        "they work without belljar:\n{free}"
    );
    let seen = inside(&project, &calls);
    assert_eq!(seen.lines().count(), FREE_OUTSIDE.len(), "{seen}");
    for line in seen.lines() {
        assert!(
            line.ends_with(": EPERM") || line.ends_with(": ENOSYS"),
            "{line} in\n{seen}"
        );
    }
}

#[test]
fn each_namespace_is_refused_and_none_can_be_entered() {
    let project = Project::empty();
    let flags = [
        0x0002_0000,
        0x0200_0000,
        0x0400_0000,
        0x0800_0000,
        0x1000_0000,
        0x2000_0000,
        0x4000_0000,
        0x80,
    ];
    let named: Vec<(String, String)> = flags
        .iter()
        .map(|f| (format!("unshare {f:#x}"), format!("272, {f}")))
        .collect();
    let mut calls: Vec<(&str, &str)> = named
        .iter()
        .map(|(n, c)| (n.as_str(), c.as_str()))
        .collect();
    let open = "308, os.open('/proc/1/ns/mnt', os.O_RDONLY) if os.access('/proc/1/ns/mnt', os.R_OK) else os.open('/proc/self/ns/mnt', os.O_RDONLY), 0";
    calls.push(("setns", open));
    let seen = inside(&project, &syscalls(&calls));
    assert_eq!(seen.lines().count(), 9, "{seen}");
    assert!(
        seen.lines()
            .all(|l| l.ends_with(": EPERM") || l.ends_with(": ENOSYS")),
        "{seen}"
    );
}

/// The 32-bit ABI has other numbers for the same calls. (x32 is not in most kernels: what the filter
/// says to it is tested with the filter itself.)
#[test]
fn foreign_abis_are_closed() {
    let project = Project::empty();
    project.write(
        "int80.c",
        "int main(void) { int r = 20; __asm__ volatile(\"int $0x80\" : \"+a\"(r)); return r > 0 ? 0 : 7; }\n",
    );
    let script = "cc -o int80 int80.c && ./int80; echo code $?";
    assert_eq!(
        outside(&project, &format!("{script}; rm int80")),
        "code 0\n",
        "it works without belljar"
    );
    // SIGSYS: 128 + 31
    assert_eq!(inside(&project, script), "code 159\n");
}

#[test]
fn the_first_process_can_not_be_touched() {
    let project = Project::empty();
    let script = "for f in environ mem maps root cwd exe fd; do \
        { head -c1 /proc/1/$f || ls /proc/1/$f/ || readlink /proc/1/$f; } >/dev/null 2>&1 && echo OPEN $f; done; \
        kill -9 1 2>/dev/null; kill -STOP 1 2>/dev/null; sleep 0.1; echo alive";
    let seen = inside(&project, script);
    assert_eq!(seen, "alive\n");
    let traced = inside(
        &project,
        &syscalls(&[
            ("attach", "101, 16, 1, 0, 0"),
            ("seize", "101, 0x4206, 1, 0, 0"),
            ("readv", "310, 1, 0, 0, 0, 0, 0"),
        ]),
    );
    assert!(!traced.contains(": ok"), "{traced}");
}

#[test]
fn strace_and_gdb_work_on_the_builds_own_processes() {
    let project = Project::empty();
    let seen = inside(
        &project,
        "strace -f -e trace=execve -o t sh -c 'exec true' && grep -c execve t; gdb -batch -ex 'set startup-with-shell off' -ex run --args true 2>&1 | grep -c 'exited normally'",
    );
    assert_eq!(seen.lines().last(), Some("1"), "{seen}");
    assert!(
        seen.lines()
            .next()
            .is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n >= 2)),
        "{seen}"
    );
}

/// Characters pushed into the terminal would be read by the caller's shell afterwards.
#[test]
fn nothing_can_be_typed_into_the_callers_terminal() {
    let project = Project::empty();
    project.write(
        "push.py",
        "import fcntl\nfor request in (0x5412, 0x100005412, 0x541c):\n    for where in (0, 1, 2):\n        try:\n            fcntl.ioctl(where, request & 0xffffffff, b'x')\n            print('PUSHED', hex(request))\n        except OSError:\n            print('refused')\n",
    );
    let line = format!(
        "{} run -q -- python3 push.py",
        belljar_tests::belljar_bin().display()
    );
    let ran = belljar_tests::Ran::of(project.command("script").args(["-qec", &line, "/dev/null"]));
    assert!(!ran.exits(0).stdout.contains("PUSHED"), "{ran}");
    assert_eq!(ran.stdout.matches("refused").count(), 9, "{ran}");
}
