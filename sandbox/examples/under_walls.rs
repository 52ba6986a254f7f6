//! Runs a command under the walls that a build gets last, and nothing else: resource limits, no
//! capabilities, landlock, seccomp. No namespace, so nothing hides the host: for trying whether a
//! tool gets along with the walls, and for seeing what they refuse.
//!
//! ```text
//! cargo run -p belljar-sandbox --example under_walls -- /tmp /dev -- make -C /tmp/project
//! ```
//!
//! The paths before `--` are the folders that may be written. Needs CAP_SETPCAP: run it as root or
//! through `unshare -Ur`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use belljar_sandbox::SetupError;
use belljar_sandbox::launch::{caps, landlock, rlimits, seccomp};

#[expect(clippy::print_stderr, reason = "an example talks to a person")]
fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut parts = args.splitn(2, |arg| arg == "--");
    let (Some(writable), Some([program, arguments @ ..])) = (parts.next(), parts.next()) else {
        eprintln!("usage: under_walls WRITABLE... -- COMMAND...");
        return ExitCode::from(2);
    };
    let writable: Vec<&Path> = writable.iter().map(Path::new).collect();
    let error = match confine(&writable) {
        Ok(()) => Command::new(program).args(arguments).exec().to_string(),
        Err(e) => e.to_string(),
    };
    eprintln!("under_walls: {error}");
    ExitCode::from(125)
}

#[expect(clippy::print_stderr, reason = "an example talks to a person")]
fn confine(writable: &[&Path]) -> Result<(), SetupError> {
    for lowered in rlimits::set_fixed()? {
        eprintln!("under_walls: {lowered:?}");
    }
    caps::drop_all()?;
    let landlocked = landlock::restrict(writable)?;
    eprintln!("under_walls: {landlocked:?}");
    seccomp::install_walls().map_err(|errno| SetupError::new("install the seccomp filters", errno))
}
