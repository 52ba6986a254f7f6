//! However a run ends, nothing of it stays: no process, no mount, no scratch, no half-written file.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use belljar_tests::{Project, Ran, eventually};

use crate::{run, small};

/// Starts `belljar run` on a script whose first line of output says that it runs.
fn started(project: &Project, script: &str) -> Child {
    let mut belljar = project
        .belljar_command([
            "run",
            "--scratch",
            scratch(project).as_str(),
            "--",
            "sh",
            "-c",
            script,
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("belljar starts");
    let mut line = String::new();
    let out = belljar.stdout.as_mut().expect("stdout");
    BufReader::with_capacity(1, out)
        .read_line(&mut line)
        .expect("a line");
    assert_eq!(line, "running\n");
    belljar
}

fn scratch(project: &Project) -> String {
    let dir = project.beside("scratch");
    Ran::of(project.command("mkdir").arg("-p").arg(&dir)).exits(0);
    dir.to_str().expect("a path").to_owned()
}

/// The processes of this machine with this marker among their arguments.
fn marked(marker: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("/proc");
    processes
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|pid| pid.bytes().all(|b| b.is_ascii_digit()))
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(marker))
        })
        .collect()
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    assert!(sent.expect("kill starts").success());
}

#[track_caller]
fn nothing_is_left(project: &Project, marker: &str) {
    eventually(Duration::from_secs(10), || marked(marker).is_empty());
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let place = project.dir();
    assert!(
        !mounts.contains(place.parent().expect("a parent").to_str().expect("a path")),
        "{mounts}"
    );
}

#[test]
fn ctrl_c() {
    let project = small();
    let belljar = started(&project, "echo running; sleep 987.31");
    signal(belljar.id(), "INT");
    let ran = Ran::from(belljar.wait_with_output().expect("belljar ends"));
    ran.exits(130);
    assert_eq!(project.evidence().ended_by(), "interrupt");
    nothing_is_left(&project, "987.31");
}

#[test]
fn term_from_a_ci_system() {
    let project = small();
    let belljar = started(
        &project,
        "trap '' TERM; echo running; while :; do sleep 987.32; done",
    );
    signal(belljar.id(), "TERM");
    let ran = Ran::from(belljar.wait_with_output().expect("belljar ends"));
    assert_ne!(ran.code, 0, "{ran}");
    assert_eq!(project.evidence().ended_by(), "interrupt");
    nothing_is_left(&project, "987.32");
}

#[test]
fn kill_9_of_belljar_takes_the_build_with_it_and_the_next_start_sweeps() {
    let project = small();
    let mut belljar = started(&project, "echo running; setsid sleep 987.33 & sleep 987.33");
    signal(belljar.id(), "KILL");
    belljar.wait().expect("belljar ends");
    nothing_is_left(&project, "987.33");
    assert!(
        !project.dir().join("artifacts/result.json").exists(),
        "nothing half-written"
    );
    let scratch = scratch(&project);
    run(&project, &["--scratch", &scratch], "true").exits(0);
    let left: Vec<_> = fs::read_dir(&scratch).expect("scratch").collect();
    assert!(left.is_empty(), "{left:?}");
}

/// belljar on a terminal of its own (it leads a session there): what the line discipline is before,
/// while the build runs, and after belljar ended in the way that is named.
const ON_A_TERMINAL: &str = r"
import os, pty, select, signal, sys, termios, time
how, command = sys.argv[1], sys.argv[2:]
master, slave = pty.openpty()
# held open by the shell that a user would be in
modes = lambda: termios.tcgetattr(slave)[:4]
before = modes()
pid = os.fork()
if pid == 0:
    os.setsid()
    for fd in range(3): os.dup2(slave, fd)
    import fcntl; fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.execv(command[0], command)
seen = b''
while b'running' not in seen:
    if not select.select([master], [], [], 60)[0]: sys.exit(f'no output but {seen}')
    seen += os.read(master, 4096)
print('raw' if modes() != before else 'as before')
if how == 'kill': os.killpg(pid, signal.SIGKILL)
elif how == 'shell':
    os.kill(pid, signal.SIGSTOP)
    own = termios.tcgetattr(slave); own[3] &= ~termios.ECHO; own[0] |= termios.ICRNL
    termios.tcsetattr(slave, termios.TCSANOW, own); mine = modes()
    os.killpg(pid, signal.SIGKILL)
else: os.write(master, b'\r')
os.waitpid(pid, 0)
end = time.monotonic() + (1 if how == 'shell' else 20)
wanted = mine if how == 'shell' else before
while (modes() != wanted) != (how == 'shell') and time.monotonic() < end: time.sleep(0.01)
print('restored' if modes() == wanted else f'left as {modes()}')
";

fn on_a_terminal(project: &Project, how: &str, script: &str) -> Ran {
    let belljar = belljar_tests::belljar_bin();
    let mut python = project.command("python3");
    python.args(["-c", ON_A_TERMINAL, how]).arg(belljar);
    python.args(["run", "--scratch", &scratch(project)]);
    Ran::of(python.args(["--", "sh", "-c", script]))
}

#[test]
fn the_callers_terminal_is_put_back_after_kill_9() {
    let project = small();
    let ran = on_a_terminal(&project, "kill", "echo running; sleep 987.37");
    assert_eq!(ran.exits(0).stdout, "raw\nrestored\n", "{ran}");
    nothing_is_left(&project, "987.37");
}

#[test]
fn the_callers_terminal_is_put_back_at_the_end() {
    let project = small();
    let ran = on_a_terminal(&project, "end", "echo running; read line; : 987.38");
    assert_eq!(ran.exits(0).stdout, "raw\nrestored\n", "{ran}");
    nothing_is_left(&project, "987.38");
}

/// A shell that puts its own modes in place at once keeps them.
#[test]
fn a_terminal_that_somebody_else_took_over_is_left_alone() {
    let project = small();
    let ran = on_a_terminal(&project, "shell", "echo running; sleep 987.39");
    assert_eq!(ran.exits(0).stdout, "raw\nrestored\n", "{ran}");
    nothing_is_left(&project, "987.39");
}

#[test]
fn clean_sweeps_what_a_killed_run_left() {
    let project = small();
    let mut belljar = started(&project, "echo running; sleep 987.34");
    signal(belljar.id(), "KILL");
    belljar.wait().expect("belljar ends");
    nothing_is_left(&project, "987.34");
    let scratch = scratch(&project);
    assert!(
        fs::read_dir(&scratch).expect("scratch").next().is_some(),
        "there is something to sweep"
    );
    project.belljar(["clean", "--scratch", &scratch]).exits(0);
    let left: Vec<_> = fs::read_dir(&scratch).expect("scratch").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn clean_knows_the_scratch_folder_of_the_configuration_and_says_json() {
    let project = small();
    let mut belljar = started(&project, "echo running; sleep 987.40");
    let scratch = scratch(&project);
    project.write("belljar.toml", format!("scratch = \"{scratch}\"\n"));
    let clean = || {
        let ran = project.belljar(["clean", "--json"]);
        let doc: serde_json::Value = serde_json::from_str(&ran.exits(0).stdout).expect("JSON");
        assert_eq!(doc["schema"], "belljar.clean/1", "{ran}");
        // Runs of other tests may die and be swept at the same time.
        let named = |list: &str, text: &str| doc[list].to_string().contains(text);
        let name = fs::read_dir(&scratch).expect("scratch").next();
        let name = name.map(|e| {
            e.expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        });
        (
            named("removed", &scratch),
            name.is_some_and(|n| named("alive", &n)),
        )
    };
    assert_eq!(
        clean(),
        (false, true),
        "what a live run holds is kept and named"
    );
    signal(belljar.id(), "KILL");
    belljar.wait().expect("belljar ends");
    nothing_is_left(&project, "987.40");
    assert_eq!(clean(), (true, false));
    assert_eq!(clean(), (false, false));
    let left: Vec<_> = fs::read_dir(&scratch).expect("scratch").collect();
    assert!(left.is_empty(), "{left:?}");
    project.write("belljar.toml", "scratch = \"nowhere\"\n");
    project.belljar(["clean"]).exits(0);
    project.belljar(["clean", "--scratch", "nowhere"]).exits(2);
}

#[test]
fn a_daemon_that_holds_the_output_open_is_ended_with_the_build() {
    let project = small();
    let ran = run(
        &project,
        &["--timeout", "30s"],
        "(trap '' TERM HUP; setsid setsid sleep 987.35 &) ; echo done",
    );
    ran.exits(0);
    assert_eq!(project.evidence().ended_by(), "command");
    nothing_is_left(&project, "987.35");
}

#[test]
fn a_run_leaves_its_scratch_folder_empty() {
    let project = small();
    let scratch = scratch(&project);
    run(
        &project,
        &["--scratch", &scratch],
        "mkdir -p a/b && chmod 000 a && echo x >out",
    )
    .exits(0);
    let left: Vec<_> = fs::read_dir(&scratch).expect("scratch").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn two_runs_side_by_side_do_not_touch_each_other() {
    let project = small();
    let other = small();
    let mut long = started(&project, "echo running; sleep 3; echo end >out");
    let mut killed = started(&other, "echo running; sleep 987.36");
    signal(killed.id(), "KILL");
    killed.wait().expect("belljar ends");
    run(&other, &[], "true").exits(0);
    assert!(long.wait().expect("belljar ends").success());
    assert_eq!(
        fs::read_to_string(project.dir().join("out")).expect("exported"),
        "end\n"
    );
}
