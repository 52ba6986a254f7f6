//! Why a sandbox could not be set up: `(step, path, errno)` with one hint.

use std::borrow::Cow;

use belljar_model::OsText;
use nix::errno::Errno;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What was being done, as a verb phrase: `mount the overlay`. Part of the message and of
/// `result.json`.
pub type Step = Cow<'static, str>;

/// A step of the set-up failed: the command was not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupError {
    /// What was tried.
    pub step: Step,
    /// On what, if on a path.
    pub path: Option<OsText>,
    /// The kernel's answer; absent where a rule of belljar's own refused.
    #[serde(serialize_with = "errno_out", deserialize_with = "errno_in")]
    pub errno: Option<Errno>,
    /// Further words where neither path nor errno says enough.
    pub detail: Option<String>,
    /// The one thing to do next.
    pub hint: Option<String>,
}

// Serde calls this with a reference to the field.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::ref_option,
    reason = "serde's signature"
)]
fn errno_out<S: Serializer>(e: &Option<Errno>, s: S) -> Result<S::Ok, S::Error> {
    e.map(|e| e as i32).serialize(s)
}

fn errno_in<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Errno>, D::Error> {
    Ok(Option::<i32>::deserialize(d)?.map(Errno::from_raw))
}

/// The step of execve(2) itself.
const EXECUTE: &str = "execute the command";

/// The step that a request to stop cut short.
const INTERRUPTED: &str = "finish the set-up";

impl SetupError {
    /// The command could not be executed: not found (127) or not executable (126).
    pub(crate) fn command(errno: Errno, name: Option<&OsText>) -> Self {
        let error = Self::new(EXECUTE, errno);
        let error = match name {
            Some(name) => error.at(name.clone()),
            None => error,
        };
        error.hint(match errno {
            Errno::ENOENT if name.is_some_and(|n| n.as_bytes().contains(&b'/')) => {
                "it, or the interpreter that its first line names, is not there inside: look with belljar run -- ls -l"
            }
            Errno::ENOENT => {
                "see which folders are in the PATH inside: belljar run -- sh -c 'echo $PATH'"
            }
            Errno::EACCES => "make it executable (chmod +x), or name its interpreter",
            _ => "check that the file is a program for this machine",
        })
    }
    /// Somebody asked belljar to stop before the command had started.
    pub(crate) fn interrupted() -> Self {
        Self::refused(INTERRUPTED, "interrupted")
    }
    /// The exit code that this failure ends belljar with.
    pub fn exit_code(&self) -> u8 {
        use belljar_model::exit;
        match (&*self.step, self.errno) {
            (EXECUTE, Some(Errno::ENOENT | Errno::ENOTDIR)) => exit::NOT_FOUND,
            (EXECUTE, _) => exit::NOT_EXECUTABLE,
            (INTERRUPTED, _) => exit::INTERRUPTED,
            _ => exit::SETUP,
        }
    }
    /// `step` failed with `errno`.
    pub fn new(step: impl Into<Step>, errno: Errno) -> Self {
        Self {
            step: step.into(),
            path: None,
            errno: Some(errno),
            detail: None,
            hint: None,
        }
    }
    /// `step` failed with the error of a standard library call.
    pub fn io(step: impl Into<Step>, error: &std::io::Error) -> Self {
        let errno = error.raw_os_error().map(Errno::from_raw);
        let detail = errno.is_none().then(|| error.to_string());
        Self {
            step: step.into(),
            path: None,
            errno,
            detail,
            hint: None,
        }
    }
    /// `step` is refused by a rule of belljar's own.
    pub fn refused(step: impl Into<Step>, detail: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            path: None,
            errno: None,
            detail: Some(detail.into()),
            hint: None,
        }
    }
    /// Names the path.
    #[must_use]
    pub fn at(mut self, path: impl Into<OsText>) -> Self {
        self.path = Some(path.into());
        self
    }
    /// Says what to do, unless something closer to the cause has said it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }
}

impl std::fmt::Display for SetupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "could not {}", self.step)?;
        if let Some(path) = &self.path {
            write!(f, " at {path}")?;
        }
        match (&self.errno, &self.detail) {
            (Some(e), Some(d)) => write!(f, ": {e:?} ({d})"),
            (Some(e), None) => write!(f, ": {e:?} ({})", e.desc()),
            (None, Some(d)) => write!(f, ": {d}"),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for SetupError {}

/// Turns an errno into a [`SetupError`] with its step.
pub(crate) trait At<T> {
    /// Names the step.
    fn step(self, step: &'static str) -> Result<T, SetupError>;
    /// Names the step and the path.
    fn step_at(self, step: &'static str, path: impl Into<OsText>) -> Result<T, SetupError>;
}

impl<T> At<T> for nix::Result<T> {
    fn step(self, step: &'static str) -> Result<T, SetupError> {
        self.map_err(|e| SetupError::new(step, e))
    }
    fn step_at(self, step: &'static str, path: impl Into<OsText>) -> Result<T, SetupError> {
        self.map_err(|e| SetupError::new(step, e).at(path))
    }
}

impl<T> At<T> for std::io::Result<T> {
    fn step(self, step: &'static str) -> Result<T, SetupError> {
        self.map_err(|e| SetupError::io(step, &e))
    }
    fn step_at(self, step: &'static str, path: impl Into<OsText>) -> Result<T, SetupError> {
        self.map_err(|e| SetupError::io(step, &e).at(path))
    }
}
