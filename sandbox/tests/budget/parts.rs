//! Second processes: this binary again, with one ignored function.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The folder that a part is told to work in.
const DIR: &str = "BELLJAR_PART_DIR";

/// A command that runs the `part_` function of this path (`scratch::part_hold`) on `dir`.
pub(crate) fn part(function: &str, dir: &Path) -> Command {
    // The link needs no way through the folders above the binary, which others may not pass.
    let mut command = Command::new("/proc/self/exe");
    command
        .args([
            "--exact",
            function,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// The same as a plain user.
pub(crate) fn part_as_nobody(function: &str, dir: &Path) -> Command {
    let mut command = part(function, dir);
    if nix::unistd::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    command
}

/// In a part: the folder it is told to work in; `None` if it is run as a test by mistake.
pub(crate) fn told() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}

/// In a part: says `ready` and waits until it is killed or its stdin is closed.
pub(crate) fn ready_and_wait() {
    println!("\nready");
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).unwrap();
}

/// Waits until the part says that it is ready.
pub(crate) fn wait_ready(child: &mut Child) {
    let out = BufReader::new(child.stdout.as_mut().unwrap());
    assert!(
        out.lines()
            .map_while(Result::ok)
            .any(|line| line == "ready"),
        "the part ended early"
    );
}

/// Runs a part to its end and hands back what it printed.
pub(crate) fn passes(mut command: Command) -> String {
    let out = command.stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success() && text.contains("1 passed"),
        "{}: {text}{stderr}",
        out.status
    );
    text
}
