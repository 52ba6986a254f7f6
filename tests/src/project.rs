//! A folder that belongs to whoever runs belljar, and belljar run in it.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::Evidence;

/// The id of the ordinary user that tests drop to when they are started as root.
const NOBODY: u32 = 65_534;

/// The top of the repository.
pub fn repository() -> PathBuf {
    let mut dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    dir.pop();
    dir
}

/// The program under test: `BELLJAR_BIN`, else the one that Cargo put beside the tests.
///
/// # Panics
/// If there is none.
pub fn belljar_bin() -> PathBuf {
    let bin = std::env::var_os("BELLJAR_BIN").map_or_else(beside_the_tests, PathBuf::from);
    assert!(
        bin.is_file(),
        "{} is missing: scripts/test builds it",
        bin.display()
    );
    bin
}

/// Tests are in `deps/`, below the folder of the programs.
fn beside_the_tests() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let programs = test.ancestors().nth(2);
    programs
        .expect("tests are two folders deep")
        .join("belljar")
}

/// Who runs belljar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// An ordinary user, also where the tests run as root.
    User,
    /// Whoever runs the tests.
    Caller,
}

/// A folder with a home beside it, removed at the end.
#[derive(Debug)]
pub struct Project {
    root: TempDir,
    who: Who,
}

impl Project {
    /// An empty folder, for an ordinary user.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn empty() -> Self {
        Self::made(Who::User)
    }

    /// An empty folder, for whoever runs the tests (root, in the root tier).
    ///
    /// # Panics
    /// If it can't be made.
    pub fn empty_for_caller() -> Self {
        Self::made(Who::Caller)
    }

    fn made(who: Who) -> Self {
        let root = tempfile::Builder::new()
            .prefix("belljar-project.")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .expect("a temporary folder");
        for sub in ["src", "home", "tmp"] {
            fs::create_dir(root.path().join(sub)).expect("a folder in the temporary folder");
        }
        let project = Self { root, who };
        project.own();
        project
    }

    /// A copy of a folder of this repository, for an ordinary user.
    ///
    /// # Panics
    /// If it can't be copied.
    pub fn copy_of(dir: impl AsRef<Path>) -> Self {
        let project = Self::empty();
        project.add(repository().join(dir));
        project
    }

    /// Copies the contents of a folder into this one.
    ///
    /// # Panics
    /// If it can't be copied.
    pub fn add(&self, dir: impl AsRef<Path>) {
        let mut from = dir.as_ref().as_os_str().to_owned();
        from.push("/.");
        let copied = Command::new("cp")
            .arg("-R")
            // times too: make and configure look at their order
            .args([
                "--preserve=mode,timestamps,links",
                "--no-preserve=ownership",
            ])
            .arg(from)
            .arg(self.dir())
            .status()
            .expect("cp starts");
        assert!(copied.success(), "cp of {}", dir.as_ref().display());
        self.own();
    }

    /// Writes a file into the folder.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &Self {
        let path = self.dir().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder for the file");
        fs::write(path, content).expect("a file in the project");
        self.own();
        self
    }

    /// Gives everything to the user who will run belljar.
    fn own(&self) {
        if self.who == Who::User && caller_is_root() {
            let owned = Command::new("chown")
                .args(["-hR", &format!("{NOBODY}:{NOBODY}")])
                .arg(self.root.path())
                .status()
                .expect("chown starts");
            assert!(owned.success(), "chown of {}", self.root.path().display());
        }
    }

    /// The folder.
    pub fn dir(&self) -> PathBuf {
        self.root.path().join("src")
    }

    /// The home folder of the user who runs belljar here.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// A path beside the folder, for what must not lie in it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.root.path().join("tmp").join(name)
    }

    /// A command that starts in the folder as the right user, in a small environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = if self.who == Who::User && caller_is_root() {
            let mut drop = Command::new("setpriv");
            drop.arg(format!("--reuid={NOBODY}"))
                .arg(format!("--regid={NOBODY}"))
                .args(["--clear-groups", "--"])
                .arg(program);
            drop
        } else {
            Command::new(program)
        };
        command
            .current_dir(self.dir())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.home())
            .env("USER", "tester")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }

    /// `belljar ARGS...` in the folder, ready to be changed further.
    pub fn belljar_command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.command(belljar_bin());
        command.args(args);
        command
    }

    /// Runs `belljar ARGS...` in the folder.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn belljar<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        Ran::of(&mut self.belljar_command(args))
    }

    /// The evidence in `artifacts/`.
    ///
    /// # Panics
    /// If there is none.
    pub fn evidence(&self) -> Evidence {
        Evidence::read(&self.dir().join("artifacts"))
    }
}

pub(crate) fn caller_is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// What a program did.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; 128 + n for signal n.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Ran {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn of(command: &mut Command) -> Self {
        let output = command
            .output()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        Self::from(output)
    }

    /// Fails the test, with everything that was printed, unless the exit code is this one.
    ///
    /// # Panics
    /// If it is another one.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "exit code\n{self}");
        self
    }

    /// belljar's own lines on stderr.
    pub fn own_lines(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter(|l| l.starts_with("belljar:"))
            .collect()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let status = output.status;
        Self {
            code: status
                .code()
                .or_else(|| status.signal().map(|s| 128 + s))
                .unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "exit {}\n--- stdout\n{}--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

/// Waits until something is so, and fails the test if it is not within the limit.
///
/// # Panics
/// If it is not.
#[track_caller]
pub fn eventually(limit: Duration, so: impl Fn() -> bool) {
    let end = Instant::now() + limit;
    while !so() {
        assert!(Instant::now() < end, "it was not so within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
