//! Process numbers inside, moved on from outside.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use belljar_tests::{Project, Ran};

/// The number, as this machine has it, of the process inside with this argument.
fn of_argument(argument: &str) -> Option<String> {
    let processes = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    processes
        .filter(|p| {
            let read = |name| fs::read_to_string(p.path().join(name)).unwrap_or_default();
            let inside = read("status")
                .lines()
                .any(|l| l.starts_with("NSpid:") && l.split_whitespace().count() > 2);
            inside && read("cmdline").split('\0').any(|a| a == argument)
        })
        .find_map(|p| p.file_name().into_string().ok())
}

/// Attack case 81: there are more processes than numbers, and init goes on reaping.
#[test]
fn case_81_process_numbers_come_round() {
    let project = Project::empty_for_caller();
    project.write(
        "round.py",
        "import os, sys\nprint('up', flush=True)\nsys.stdin.readline()\nlast = 0\n\
         for n in range(20000):\n    pid = os.fork()\n    if pid == 0:\n        n % 2 or os.fork()\n        os._exit(0)\n    \
         os.waitpid(pid, 0)\n    if pid < last:\n        print('round from', last)\n        break\n    last = pid\n\
         print(os.waitstatus_to_exitcode(os.system('exit 3')))\n",
    );
    let marker = format!("marker-{}", std::process::id());
    let mut belljar = project
        .belljar_command(["run", "-q", "--no-export", "--timeout", "60s", "--"])
        .args(["python3", "round.py", &marker])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("belljar starts");
    let mut out = BufReader::new(belljar.stdout.take().expect("stdout"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    assert_eq!(line, "up\n");
    let inside = of_argument(&marker).expect("the process inside");
    let script = "cd /proc/sys/kernel; last=$(($(cat pid_max) - 100)); echo $last >ns_last_pid && echo $last";
    let moved = Ran::of(Command::new("nsenter").args(["-p", "-t", &inside, "sh", "-c", script]));
    let near: u64 = moved.exits(0).stdout.trim().parse().expect("a number");
    drop(belljar.stdin.take());
    let lines: Vec<String> = out.lines().map_while(Result::ok).collect();
    let ran = Ran::from(belljar.wait_with_output().expect("belljar ends"));
    ran.exits(0);
    let last = lines[0].strip_prefix("round from ").expect("it came round");
    assert!(last.parse::<u64>().expect("a number") >= near, "{lines:?}");
    assert_eq!(lines[1..], ["3"]);
}
