//! Why a sandbox could not be set up: `(step, path, errno)` with one hint.

use belljar_model::OsText;
use nix::errno::Errno;

/// What was being done. The name is part of the message and of `result.json`.
pub type Step = &'static str;

/// A step of the set-up failed: the command was not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupError {
    /// What was tried, as a verb phrase: `mount the overlay`.
    pub step: Step,
    /// On what, if on a path.
    pub path: Option<OsText>,
    /// The kernel's answer; absent where a rule of belljar's own refused.
    pub errno: Option<Errno>,
    /// Further words where neither path nor errno says enough.
    pub detail: Option<String>,
    /// The one thing to do next.
    pub hint: Option<String>,
}

impl SetupError {
    /// `step` failed with `errno`.
    pub fn new(step: Step, errno: Errno) -> Self {
        Self {
            step,
            path: None,
            errno: Some(errno),
            detail: None,
            hint: None,
        }
    }
    /// `step` is refused by a rule of belljar's own.
    pub fn refused(step: Step, detail: impl Into<String>) -> Self {
        Self {
            step,
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
    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
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
