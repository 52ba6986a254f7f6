//! What can go wrong, as the caller sees it: one sentence, a hint, an exit code.
//!
//! Crates below have their own errors; here alone they are given a class, and the class alone
//! gives the exit code.

use std::fmt;
use std::io::{self, Write as _};

use belljar_model::exit;
use belljar_sandbox::SetupError;
use nix::errno::Errno;

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// What was typed or configured.
    Usage,
    /// The machine: a required layer could not be set up or kept.
    Setup,
    /// Evidence could not be completed or written.
    Incomplete,
    /// A document is not what it should be.
    Invalid,
    /// The command is there and can't be executed.
    NotExecutable,
    /// The command was not found.
    NotFound,
    /// The user or the CI system interrupted.
    Interrupted,
}

impl Class {
    /// The class of a set-up that failed: the sandbox knows whether it was the command itself.
    pub fn of_setup(e: &SetupError) -> Self {
        match e.exit_code() {
            exit::NOT_FOUND => Self::NotFound,
            exit::NOT_EXECUTABLE => Self::NotExecutable,
            exit::INTERRUPTED => Self::Interrupted,
            _ => Self::Setup,
        }
    }
    /// The exit code of this class.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage => exit::USAGE,
            Self::Setup => exit::SETUP,
            Self::Incomplete => exit::INCOMPLETE,
            Self::Invalid => exit::DIFFERS,
            Self::NotExecutable => exit::NOT_EXECUTABLE,
            Self::NotFound => exit::NOT_FOUND,
            Self::Interrupted => exit::INTERRUPTED,
        }
    }
}

/// A command of belljar's failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    /// Whose fault.
    pub class: Class,
    /// One sentence, lower case, without a full stop.
    pub message: String,
    /// What to do next, most useful first.
    pub hints: Vec<String>,
}

impl CommandError {
    /// An error of this class.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            hints: Vec::new(),
        }
    }
    /// What was typed or configured can't be done.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Class::Usage, message)
    }
    /// Evidence could not be completed.
    pub fn incomplete(message: impl Into<String>) -> Self {
        Self::new(Class::Incomplete, message)
    }
    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
    /// Says it on stderr. That stderr is gone is no further error.
    pub fn print(&self) {
        let _ = write!(anstream::stderr(), "{self}");
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "belljar: {}", self.message)?;
        for hint in &self.hints {
            writeln!(f, "  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CommandError {}

/// The kernel's answer by name, as all of belljar's errors have it.
pub fn answer(e: &io::Error) -> String {
    match e.raw_os_error().map(Errno::from_raw) {
        Some(errno) => format!("{errno:?} ({})", errno.desc()),
        None => e.to_string(),
    }
}

/// What became of a text for stdout. A reader that closed the pipe has had enough: no error.
pub fn on_stdout(written: io::Result<()>) -> Result<(), CommandError> {
    match written {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::incomplete(format!(
            "could not write to stdout: {}",
            answer(&e)
        ))
        .hint("send it to a place that can be written and has room")),
        _ => Ok(()),
    }
}

impl From<SetupError> for CommandError {
    fn from(e: SetupError) -> Self {
        let class = match e.exit_code() {
            exit::NOT_FOUND => Class::NotFound,
            exit::NOT_EXECUTABLE => Class::NotExecutable,
            exit::INTERRUPTED => Class::Interrupted,
            _ => Class::Setup,
        };
        let made = Self::new(class, e.to_string());
        match e.hint {
            Some(hint) => made.hint(hint),
            None => made.hint(match e.errno {
                Some(Errno::EMFILE) => "raise the limit on open files: ulimit -n 1024",
                Some(Errno::EAGAIN) => "raise the limit on processes: ulimit -u",
                _ => "`belljar doctor` tries each layer and names what is missing",
            }),
        }
    }
}
