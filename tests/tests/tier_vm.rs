//! Other kernels, each in an emulated machine of its own.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use belljar_tests::{KERNELS, Ran, Vm, coverage};

/// The line before a document that a script prints at its end.
const DOCUMENT: &str = "=== document";

/// Runs a script as the guest's ordinary user, in a folder of its own that it may write.
fn as_user(script: &str) -> String {
    format!(
        "su user -c \"$(cat <<'END'\ncd && mkdir src && cd src && echo source >source.txt\n{script}\nEND\n)\""
    )
}

/// Prints a document of the evidence for [`document`].
fn show(name: &str) -> String {
    format!("echo '{DOCUMENT}'; cat artifacts/{name}")
}

/// The document that was printed last.
#[track_caller]
fn document(ran: &Ran) -> Value {
    let text = ran
        .stdout
        .rsplit_once(DOCUMENT)
        .unwrap_or_else(|| panic!("no document\n{ran}"))
        .1;
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}\n{ran}"))
}

fn layer<'a>(result: &'a Value, name: &str) -> &'a Value {
    let layers = result["runs"][0]["layers"].as_array().expect("layers");
    layers
        .iter()
        .find(|l| l["layer"] == name)
        .unwrap_or_else(|| panic!("{name} in {layers:#?}"))
}

/// One module a kernel, each with every test.
macro_rules! on_each_kernel {
    ($($test:ident)*) => {
        mod linux_6_1 { $(#[test] fn $test() { super::$test(super::KERNELS[0].0, super::KERNELS[0].1); })* }
        mod linux_6_12 { $(#[test] fn $test() { super::$test(super::KERNELS[1].0, super::KERNELS[1].1); })* }
    };
}

on_each_kernel! {
    boots_and_hands_output_and_exit_code_back
    doctor_agrees_with_a_run
    a_run_has_every_layer_of_this_kernel
    folders_of_the_source_can_be_removed_and_renamed
    verify_tells_good_from_bad
    a_static_program_sees_the_moved_clock
    a_clock_that_only_the_kernel_reads_is_moved_once
    every_program_sees_the_moved_clock_by_every_call
    budgets_hold_in_a_cgroup_of_version_2
    a_delegated_cgroup_holds_a_users_budgets
    a_killed_run_leaves_no_cgroup
    a_leaf_is_made_where_it_may_be_and_holds
}

fn boots_and_hands_output_and_exit_code_back(series: &str, _: u32) {
    let ran = Vm::of(series).shell("uname -r; ls /sys/fs/cgroup/cgroup.controllers; exit 7");
    ran.exits(7);
    assert!(ran.stdout.starts_with(&format!("{series}.")), "{ran}");
    assert!(
        ran.stdout.contains("/sys/fs/cgroup/cgroup.controllers\n"),
        "{ran}"
    );
}

fn doctor_agrees_with_a_run(series: &str, _: u32) {
    let script = "belljar doctor; echo doctor $?; belljar run -- true; echo run $?; \
        belljar doctor --require landlock=99; echo strict $?; belljar run --require landlock=99 -- true; echo strict run $?";
    let ran = Vm::with_belljar(series).shell(&as_user(script));
    for line in ["doctor 0\n", "run 0\n", "strict 125\n", "strict run 125\n"] {
        assert!(ran.stdout.contains(line), "{line}{ran}");
    }
}

fn a_run_has_every_layer_of_this_kernel(series: &str, abi: u32) {
    let script = format!(
        "belljar run -- sh -c 'id; hostname; echo made >out' && cat out; {}",
        show("result.json")
    );
    let ran = Vm::with_belljar(series).shell(&as_user(&script));
    assert!(
        ran.stdout.contains("uid=1000(builder)") && ran.stdout.contains("\nmade\n"),
        "{ran}"
    );
    let result = document(&ran);
    let landlock = layer(&result, "landlock");
    assert_eq!(landlock["got"], format!("abi {abi}"), "{landlock:#}");
    for name in [
        "user-namespace",
        "mount-namespace",
        "pid-namespace",
        "net-namespace",
        "ipc-namespace",
        "uts-namespace",
        "time-namespace",
        "cgroup-namespace",
        "capabilities",
        "no-new-privs",
        "seccomp",
        "notify",
    ] {
        assert_eq!(
            layer(&result, name)["state"],
            "full",
            "{name}: {:#}",
            layer(&result, name)
        );
    }
}

/// An overlay on a tmpfs of 6.1 mounts and then can't do this: another rung must be chosen.
fn folders_of_the_source_can_be_removed_and_renamed(series: &str, _: u32) {
    let script = "mkdir -p one two; touch one/f two/f
        belljar run -- sh -c 'rm -r one && mkdir one && mv two three && ls one three'; echo code $?";
    let ran = Vm::with_belljar(series).shell(&as_user(script));
    assert!(
        ran.stdout.contains("one:\n\nthree:\nf\n") && ran.stdout.contains("code 0\n"),
        "{ran}"
    );
}

fn verify_tells_good_from_bad(series: &str, _: u32) {
    let script = format!(
        "belljar verify -- sh -c 'echo same >out'; echo good $?; belljar verify -- sh -c 'date >out'; echo bad $?; {}",
        show("determinism/differences.json")
    );
    let ran = Vm::with_belljar(series).shell(&as_user(&script));
    assert!(
        ran.stdout.contains("good 0\n") && ran.stdout.contains("bad 3\n"),
        "{ran}"
    );
    let differences = document(&ran);
    assert_eq!(
        differences["items"][0]["causes"][0]["slug"], "clock",
        "{differences:#}"
    );
}

/// Without a clock that user space can read, the vDSO's own functions make system calls: their
/// hook adds the offset, so the notified call must not.
fn a_clock_that_only_the_kernel_reads_is_moved_once(series: &str, _: u32) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let programs = belljar_tests::repository().join("sandbox/src/clock/tests/programs");
    let waits = dir.path().join("waits");
    Ran::of(
        Command::new("cc")
            .args(["-static", "-pthread", "-o"])
            .arg(&waits)
            .arg(programs.join("waits.c"))
            .arg("-lrt"),
    )
    .exits(0);
    let script = format!(
        "belljar verify -- sh -c 'date >out; for w in cond nanosleep timerfd timer pi-mutex; do echo wait $(waits $w 0.2); done'; \
         grep '^wait' artifacts/logs/b.log; {}",
        show("result.json")
    );
    let clock = "cd /sys/devices/system/clocksource/clocksource0; echo hpet >current_clocksource; cat current_clocksource; cd /; ";
    let ran = Vm::with_belljar(series)
        .file(waits.to_str().expect("a path"), "/bin/waits")
        .shell(&format!("{clock}{}", as_user(&script)));
    assert!(ran.stdout.contains("hpet\n"), "{ran}");
    // The milliseconds that each wait took, in A, which is shown, and in B.
    let took: Vec<u64> = ran
        .stdout
        .lines()
        .filter_map(|l| l.strip_prefix("wait ")?.split_once(' ')?.1.parse().ok())
        .collect();
    assert!(
        took.len() == 10 && took.iter().all(|t| (190..60_000).contains(t)),
        "{ran}"
    );
    let result = document(&ran);
    assert_eq!(result["verdict"], "differs", "{result:#}");
    let clock = &result["runs"][1]["clock"];
    assert_eq!(clock["uncovered"], serde_json::json!([]), "{clock:#}");
    let readers = clock["readers"].as_object().expect("readers");
    assert!(
        readers.len() == 21 && readers.values().all(|saw| *saw == true),
        "{clock:#}"
    );
}

/// Runs the programs of the coverage table in a guest; returns the table and the result.
fn covered_in(mut vm: Vm) -> (coverage::Table, Value, Ran) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let programs = coverage::Programs::build(folder.path());
    std::fs::write(folder.path().join("all.sh"), programs.script()).expect("the script");
    let script = folder.path().join("all.sh");
    for file in programs.files.iter().chain([&script]) {
        let name = file.file_name().and_then(|n| n.to_str()).expect("a name");
        let from = file.to_str().expect("a path");
        vm = vm.file(from, &format!("/home/user/all/{name}"));
    }
    let glibc = libraries(&folder.path().join("readers-g"));
    for library in glibc.iter().map(String::as_str).chain([MUSL]) {
        vm = vm.file(library, library);
    }
    let script = format!(
        "su user -c 'cd /home/user/all && belljar verify --output out -- sh all.sh >/dev/null; echo code $?; cat artifacts/logs/b.log; {}'",
        show("result.json").replace('\'', "\"")
    );
    let ran = vm.shell(&script);
    assert!(ran.stdout.contains("code 0\n"), "{ran}");
    let result = document(&ran);
    (coverage::table(&ran.stdout, &result), result, ran)
}

/// musl, which is its own loader.
const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

/// The libraries of a dynamic program, its loader among them, by what the loader says.
fn libraries(program: &Path) -> Vec<String> {
    let ran = Ran::of(Command::new("ldd").arg(program));
    let words = ran.exits(0).stdout.split_whitespace();
    let paths = words.filter(|w| w.starts_with('/') && !w.contains("belljar"));
    paths.map(str::to_owned).collect()
}

fn every_program_sees_the_moved_clock_by_every_call(series: &str, _: u32) {
    let (table, result, ran) = covered_in(Vm::with_belljar(series));
    let clock = &result["runs"][1]["clock"];
    assert_eq!(clock["uncovered"], serde_json::json!([]), "{ran}");
    coverage::compare(&format!("Linux {series}"), &table);
}

/// A kernel that gives its programs no vDSO, and two on which a program's memory can't be written
/// past its protections, or only by who traces it.
#[test]
fn kernels_that_leave_less_to_do_it_with() {
    for words in [
        "vdso=0",
        "proc_mem.force_override=never",
        "proc_mem.force_override=ptrace",
    ] {
        let (table, result, ran) = covered_in(Vm::with_belljar("6.12").append(words));
        let clock = &result["runs"][1]["clock"];
        assert_eq!(clock["uncovered"], serde_json::json!([]), "{words}: {ran}");
        let readers = clock["readers"].as_object().expect("readers");
        assert!(
            readers.values().all(|saw| *saw == true),
            "{words}: {clock:#}"
        );
        let has_vdso = readers.keys().any(|reader| reader.starts_with("vdso "));
        assert_eq!(has_vdso, words != "vdso=0", "{clock:#}");
        let mut cells: Vec<_> = table
            .values()
            .flat_map(|row| row.values())
            .copied()
            .collect();
        cells.sort_unstable();
        cells.dedup();
        // Without a vDSO nobody can read it unseen.
        let real: &[&str] = if has_vdso { &["real"] } else { &[] };
        let wanted = [&["as it is", "moved", "on time"], real].concat();
        assert_eq!(cells, wanted, "{words}: {}\n{ran}", coverage::page(&table));
    }
}

fn a_static_program_sees_the_moved_clock(series: &str, _: u32) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (source, program) = (dir.path().join("now.c"), dir.path().join("now"));
    let text = "#include <stdio.h>\n#include <sys/syscall.h>\n#include <time.h>\n#include <unistd.h>\n\
        int main(void) { long raw[2]; syscall(SYS_clock_gettime, 0, raw); printf(\"%ld\\n%80s\\n%ld\\n\", (long)time(0), \"apart\", raw[0]); return 0; }\n";
    std::fs::write(&source, text).expect("a source file");
    Ran::of(
        Command::new("cc")
            .args(["-static", "-o"])
            .arg(&program)
            .arg(&source),
    )
    .exits(0);
    let script = format!(
        "belljar verify -- sh -c 'now >out'; echo code $?; {}",
        show("determinism/differences.json")
    );
    let program = program.to_str().expect("a path");
    let ran = Vm::with_belljar(series)
        .file(program, "/bin/now")
        .shell(&as_user(&script));
    assert!(ran.stdout.contains("code 3\n"), "{ran}");
    let item = &document(&ran)["items"][0];
    assert!(item["causes"].to_string().contains("clock"), "{item:#}");
    assert!(
        item["kind"]["regions_total"]
            .as_u64()
            .is_some_and(|n| n >= 2),
        "both readers moved: {item:#}"
    );
}

/// What a budget's end looks like: the word in the result, and who held it.
const BUDGETS: &str = "
belljar run --memory 48M -- sh -c 'tail /dev/zero'; echo memory $?; grep -o '\"ended_by\": *\"[a-z]*\"' artifacts/result.json | head -n 1; grep -o '\"held_by\": *\"[a-z0-9]*\"' artifacts/result.json
belljar run --pids 12 -- sh -c 'i=0; while [ $i -lt 40 ]; do sleep 2 & i=$((i+1)); done; wait'; echo pids $?; grep -o '\"ended_by\": *\"[a-z]*\"' artifacts/result.json | head -n 1
belljar run --memory 256M --pids 64 --cpus 0.5 -- sh -c 'cat /sys/fs/cgroup/memory.max; echo >/sys/fs/cgroup/cgroup.procs || echo sealed'; echo fits $?";

#[track_caller]
fn budgets_held(ran: &Ran) {
    let compact = ran.stdout.replace("\": \"", "\":\"");
    assert!(
        compact.contains("\"ended_by\":\"oom\"\n\"held_by\":\"cgroup2\""),
        "{ran}"
    );
    assert!(compact.contains("\"ended_by\":\"pids\""), "{ran}");
    assert!(
        !ran.stdout.contains("memory 0\n") && !ran.stdout.contains("pids 0\n"),
        "{ran}"
    );
    // as the build sees it
    for line in ["\n268435456\n", "\nsealed\n", "\nfits 0\n"] {
        assert!(ran.stdout.contains(line), "{line}{ran}");
    }
}

fn budgets_hold_in_a_cgroup_of_version_2(series: &str, _: u32) {
    let script = format!(
        "mkdir /tmp/src && cd /tmp/src && echo s >source.txt\n{BUDGETS}\nls -d /sys/fs/cgroup/*/ | grep belljar; true"
    );
    let ran = Vm::with_belljar(series).shell(&script);
    budgets_held(&ran);
    assert!(
        !ran.stdout.contains("/sys/fs/cgroup/belljar"),
        "no leaf is left\n{ran}"
    );
}

fn a_delegated_cgroup_holds_a_users_budgets(series: &str, _: u32) {
    let delegate = "cd /sys/fs/cgroup && mkdir user && echo '+memory +pids +cpu' >user/cgroup.subtree_control && mkdir user/shell && \
        chown user user user/cgroup.procs user/cgroup.subtree_control user/cgroup.threads user/shell user/shell/* && echo $$ >user/shell/cgroup.procs; cd /";
    let ran = Vm::with_belljar(series).shell(&format!("{delegate}\n{}", as_user(BUDGETS)));
    budgets_held(&ran);
}

fn a_killed_run_leaves_no_cgroup(series: &str, _: u32) {
    let script = "mkdir /tmp/src && cd /tmp/src && echo s >source.txt
        sleepers() { grep -q '^sleep$' /proc/[0-9]*/comm 2>/dev/null; }
        await() { i=0; until eval \"$1\"; do i=$((i+1)); [ $i -lt 100 ] || { echo \"NEVER: $1\"; return; }; usleep 100000; done; }
        belljar run --memory 256M -- sh -c 'setsid sleep 1000 & sleep 1000' 2>/dev/null & pid=$!
        await sleepers
        find /sys/fs/cgroup -name 'belljar-*' | grep -q . && echo there was one
        kill -9 $pid; wait $pid
        await '! sleepers'
        belljar clean; echo clean $?
        find /sys/fs/cgroup -name 'belljar-*' | grep . && echo A CGROUP IS LEFT
        echo end";
    let ran = Vm::with_belljar(series).shell(script);
    assert!(
        ran.stdout.contains("clean 0\n") && ran.stdout.ends_with("end\n"),
        "{ran}"
    );
    assert!(ran.stdout.contains("there was one\n"), "{ran}");
    assert!(
        !ran.stdout.contains("IS LEFT") && !ran.stdout.contains("NEVER"),
        "{ran}"
    );
}

fn a_leaf_is_made_where_it_may_be_and_holds(series: &str, _: u32) {
    let script = "export RUST_BACKTRACE=0; budget --test-threads=1 cgroup::tier_root; echo code $?; \
        budget --test-threads=1 --ignored on_v2; echo code $?; find /sys/fs/cgroup -mindepth 1 -type d";
    let ran = Vm::with_budget_tests(series).shell(script);
    let passed = ran.stdout.matches("test result: ok.").count();
    assert!(passed == 2 && !ran.stdout.contains(" 0 passed"), "{ran}");
    assert!(ran.stdout.ends_with("code 0\n"), "no cgroup is left\n{ran}");
}
