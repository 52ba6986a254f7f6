//! Programs under the notifying filter of a run, served by a [`Skewer`].

mod cancel;
mod debuggers;
mod files;
mod objects;
mod readers;
mod soak;
mod strange;
mod uncovered;
mod waits;

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use nix::poll::{PollFd, PollFlags, poll};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::super::{Skewer, Stamps};
use crate::launch::seccomp::{Notify, install_notify};
use crate::notify::{Counters, Service};
use crate::sys::process::pidfd_open;
use crate::sys::testing::spawn_trapped;

/// 400 days.
const OFFSET: i64 = 400 * 86_400;

/// A program that hangs is ended after this many milliseconds, and the test is red.
const LIMIT: u16 = 60_000;

/// What became of a program.
#[derive(Debug)]
struct Ran {
    /// What it printed, both streams.
    text: String,
    /// Its exit status; None after a signal.
    code: Option<i32>,
    /// Wall clock just before and just after, seconds.
    real: (i64, i64),
    /// Programs that could not be covered.
    uncovered: Vec<String>,
    counters: Counters,
}

impl Ran {
    /// Asserts that a reading lies between the moved start and the moved end.
    #[track_caller]
    fn assert_reads(&self, what: &str, seconds: i64, offset: i64) {
        let (low, high) = (self.real.0 + offset, self.real.1 + offset);
        assert!(
            (low - 1..=high + 1).contains(&seconds),
            "{what}: read {seconds}, wanted {low} to {high}: {self:?}"
        );
    }
}

/// The second that the kernel stamps files with, which may be a tick behind the clock.
fn now() -> i64 {
    let now = clock_gettime(ClockId::CLOCK_REALTIME_COARSE);
    now.expect("a clock").tv_sec()
}

/// Runs a command under the filter of a run with the clock moved by `offset`.
fn skewed(command: Command, offset: i64) -> Ran {
    skewed_by(
        command,
        &Skewer::prepare(offset, now()).expect("the skewer"),
    )
}

fn skewed_by(mut command: Command, skewer: &Arc<Skewer>) -> Ran {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let what = format!("{command:?}");
    let start = now();
    let install = || install_notify(Notify::ObserveAndClock);
    let (starting, listener) =
        spawn_trapped(command, install, || ()).unwrap_or_else(|e| absent(&what, &e));
    let service = Service::start(listener, vec![Arc::clone(skewer) as _]).expect("the service");
    let child = starting.child().unwrap_or_else(|e| absent(&what, &e));
    let (text, code) = finish(child, &what);
    let counters = service.stop();
    let ran = Ran {
        text,
        code,
        real: (start, now()),
        uncovered: skewer.report(),
        counters,
    };
    assert_eq!(ran.counters.failed, 0, "{what}: {ran:?}");
    ran
}

/// Runs a command as it is.
fn plain(mut command: Command) -> Ran {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let what = format!("{command:?}");
    let start = now();
    let child = command.spawn().unwrap_or_else(|e| absent(&what, &e));
    let (text, code) = finish(child, &what);
    Ran {
        text,
        code,
        real: (start, now()),
        uncovered: Vec::new(),
        counters: Counters::default(),
    }
}

fn finish(mut child: Child, what: &str) -> (String, Option<i32>) {
    let mut out = child.stdout.take().expect("a pipe");
    let mut err = child.stderr.take().expect("a pipe");
    let errors = thread::spawn(move || {
        let mut text = String::new();
        err.read_to_string(&mut text).map(|_| text)
    });
    let output = thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    // Not by waiting for it: `waitpid` from this thread would take the stops for which a thread of
    // the service waits.
    let pid = i32::try_from(child.id()).expect("a process id");
    let process = pidfd_open(Pid::from_raw(pid)).expect("its descriptor");
    let mut ended = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    if poll(&mut ended, LIMIT).expect("its end") == 0 {
        child.kill().expect("the kill");
        panic!("{what} hangs");
    }
    let status = child.wait().expect("its end");
    let text = output.join().expect("a reader").expect("its output");
    let errors = errors.join().expect("a reader").expect("its errors");
    (text + &errors, status.code())
}

fn command(program: impl AsRef<Path>, args: &[&str]) -> Command {
    let mut command = Command::new(program.as_ref());
    command.args(args);
    command
}

/// Set in the copy of a test that runs in a process of its own.
const INNER: &str = "BELLJAR_TEST_INNER";

/// Runs the test `name` of this binary alone in another process, as the user given; false in that
/// process.
fn in_its_own_process(module: &str, name: &str, user: Option<u32>) -> bool {
    if std::env::var_os(INNER).is_some() {
        return false;
    }
    let path = module.split_once("::").expect("a crate and a path").1;
    let mut command = Command::new("/proc/self/exe");
    command.args([
        "--exact",
        &format!("{path}::{name}"),
        "--nocapture",
        "--test-threads=1",
    ]);
    command.env(INNER, "1").current_dir("/");
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let output = command.output().expect("this test again");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    eprintln!("{text}");
    true
}

/// Compiles a C program of `programs/`.
fn compile(folder: &Path, compiler: &str, name: &str, flags: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/clock/tests/programs")
        .join(name);
    let program = folder.join(format!("{name}.{compiler}{}", flags.concat()));
    build(
        command(compiler, &["-O1", "-Wall", "-Werror", "-o"])
            .arg(&program)
            .arg(source)
            .args(flags),
    );
    program
}

/// Runs a compiler.
fn build(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|e| absent(&format!("{command:?}"), &e));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

/// A program that these tests need is not there: a failure, never a test left out.
fn absent(command: &str, error: &std::io::Error) -> ! {
    panic!(
        "{command} did not start: {error}; apt-get install build-essential musl-tools golang-go \
         default-jdk-headless nodejs python3 perl strace gdb util-linux"
    )
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}
