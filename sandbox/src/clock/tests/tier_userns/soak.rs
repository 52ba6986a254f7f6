//! Many processes and threads: none hangs, none reads a wrong time, and the supervisor keeps nothing
//! of them.

use std::fs;

use super::*;

/// Descriptors of this process and kibibytes of its memory.
fn held() -> (usize, usize) {
    let descriptors = fs::read_dir("/proc/self/fd").expect("descriptors").count();
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
    (descriptors, kib.expect("kibibytes"))
}

fn crowd(program: &Path, count: u32, threads: u32) -> Ran {
    let (count, threads) = (count.to_string(), threads.to_string());
    skewed(command(program, &[&count, &threads, "8"]), OFFSET)
}

fn soak(count: u32, threads: u32) {
    let folder = folder();
    let program = compile(folder.path(), "gcc", "crowd.c", &["-pthread"]);
    // The first run fills what is kept for good.
    crowd(&program, 200, 64);
    let before = held();
    let ran = crowd(&program, count, threads);
    let after = held();
    assert_eq!(ran.text, format!("{count} {threads} 0\n"), "{ran:?}");
    assert_eq!(ran.uncovered, [""; 0], "{ran:?}");
    let asked = u64::from(count) + u64::from(threads);
    assert!(ran.counters.received > asked, "{ran:?}");
    // Other tests of this process may run beside this one.
    assert!(after.0 < before.0 + 64, "descriptors: {before:?} {after:?}");
    assert!(
        after.1 < before.1 + 16 * 1024,
        "memory: {before:?} {after:?}"
    );
    eprintln!("{before:?} {after:?} {:?}", ran.counters);
}

#[test]
fn ten_thousand_processes_and_two_thousand_threads() {
    let name = "ten_thousand_processes_and_two_thousand_threads";
    // Alone: what other tests of this process hold is not to be counted.
    if !in_its_own_process(module_path!(), name, None) {
        soak(10_000, 2016);
    }
}
