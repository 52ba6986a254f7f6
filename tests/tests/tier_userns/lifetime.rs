//! What could keep a run from ending: a parent that dies at the wrong moment, processes that hold
//! each other. The numbers are those of the attack cases.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use belljar_tests::{Project, Ran, belljar_bin, eventually};

fn children(pid: u32) -> Vec<u32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|p| p.parse().ok())
        .collect()
}

/// The process `depth` generations below, once it is there.
fn descendant(pid: u32, depth: usize) -> u32 {
    let find = || (0..depth).try_fold(pid, |at, _| children(at).first().copied());
    eventually(Duration::from_secs(10), || find().is_some());
    find().expect("a descendant")
}

/// belljar under strace, which holds each process for a second and a half before the call with
/// which it ties its life to its parent's.
fn held(project: &Project, trace: &Path) -> Child {
    project
        .command("strace")
        .args(["-f", "-qq", "-e", "trace=prctl"])
        .args(["-e", "inject=prctl:delay_enter=1500000:when=1", "-o"])
        .arg(trace)
        .arg(belljar_bin())
        .args(["run", "-q", "--no-export", "--", "echo", "ran"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace starts")
}

/// Below strace: 1 the supervisor, 2 the launcher, 3 init.
#[test]
fn case_75_a_parent_that_dies_before_its_child_is_tied_to_it_takes_it_along() {
    let whole = Project::empty();
    let ran = Ran::from(
        held(&whole, &whole.beside("trace"))
            .wait_with_output()
            .expect("strace ends"),
    );
    assert_eq!(ran.exits(0).stdout, "ran\n", "held and not killed: {ran}");
    for (killed, waits) in [(1, 2), (1, 3), (2, 3), (2, 4)] {
        let project = Project::empty();
        let trace = project.beside("trace");
        let strace = held(&project, &trace);
        // in its second and a half when it is seen
        descendant(strace.id(), waits);
        let victim = descendant(strace.id(), killed);
        let sent = Command::new("kill")
            .args(["-9", &victim.to_string()])
            .status();
        assert!(sent.expect("kill starts").success());
        // strace goes when all that it traces is gone
        let at = Instant::now();
        let ran = Ran::from(strace.wait_with_output().expect("strace ends"));
        assert!(at.elapsed() < Duration::from_secs(20), "{killed} {waits}");
        assert_eq!(ran.stdout, "", "{killed} {waits}: {ran}");
        let expected = if killed == 1 { 137 } else { 125 };
        assert_eq!(ran.code, expected, "{killed} {waits}: {ran}");
    }
}

/// Compiles a program and runs it inside; the run must be over in good time.
fn bounded(source: &str, options: &[&str]) -> Ran {
    let project = Project::empty();
    project.write("p.c", source);
    let cc = Ran::of(project.command("cc").args(["-o", "p", "p.c"]));
    cc.exits(0);
    let at = Instant::now();
    let ran = project.belljar(
        ["run", "--no-export"]
            .iter()
            .chain(options)
            .chain(&["--", "./p"]),
    );
    assert!(at.elapsed() < Duration::from_secs(30), "{ran}");
    ran
}

/// A tracer that has stopped another process in its exit, and never lets it go.
const HOLD: &str = "
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
  int go[2], held[2]; char c;
  pipe(go); pipe(held);
  pid_t leaves = fork();
  if (!leaves) { read(go[0], &c, 1); _exit(0); }
  if (!fork()) {
    int status;
    if (ptrace(PTRACE_SEIZE, leaves, 0, PTRACE_O_TRACEEXIT)) return 1;
    write(go[1], \"g\", 1);
    waitpid(leaves, &status, __WALL);
    if (status >> 8 != (SIGTRAP | PTRACE_EVENT_EXIT << 8)) return 1;
    write(held[1], \"h\", 1);
    for (;;) pause();
  }
  if (read(held[0], &c, 1) == 1) { printf(\"held\\n\"); fflush(stdout); }
  if (WAITS) waitpid(leaves, 0, 0);
  return 0;
}";

#[test]
fn case_80_a_process_held_in_its_exit_by_a_tracer_holds_up_nothing() {
    let ran = bounded(&HOLD.replace("WAITS", "0"), &[]);
    assert_eq!(ran.exits(0).stdout, "held\n", "{ran}");
    // the build itself waits for it
    let ran = bounded(&HOLD.replace("WAITS", "1"), &["--timeout", "1s"]);
    assert_eq!(ran.exits(124).stdout, "held\n", "{ran}");
}

#[test]
fn case_81_a_vfork_child_that_never_execs_is_ended_with_its_parent() {
    let source = "#include <unistd.h>
        int main(void) { write(1, \"up\\n\", 3); if (vfork() == 0) for (;;) pause(); return 0; }";
    let ran = bounded(source, &["--timeout", "1s"]);
    assert_eq!(ran.exits(124).stdout, "up\n", "{ran}");
}
