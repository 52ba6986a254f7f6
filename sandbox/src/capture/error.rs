//! Why outputs could not be read.

use belljar_model::OsText;
use nix::errno::Errno;

/// Outputs could not be read: no statement can be made about them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// The kernel refused a step.
    #[error("could not {step} {path}: {errno:?} ({})", errno.desc())]
    Io {
        /// What was tried, as a verb phrase.
        step: &'static str,
        /// On what, relative to the folder that is walked.
        path: OsText,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A declared output is no glob.
    #[error("`{glob}` is no glob for outputs: {why}")]
    Glob {
        /// As it was declared.
        glob: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file changed while it was read.
    #[error("{path} changed while it was read")]
    Changed {
        /// Which one.
        path: OsText,
    },
    /// Deeper than the walk goes.
    #[error(
        "a path below {path} is longer than {} bytes",
        super::beneath::LONGEST_PATH
    )]
    TooDeep {
        /// Its beginning.
        path: OsText,
    },
    /// Larger than can be read in a reasonable time (a sparse file).
    #[error("{path} has {size} bytes, more than an output may have")]
    TooLarge {
        /// Which one.
        path: OsText,
        /// Its size.
        size: u64,
    },
    /// More paths than fit in memory.
    #[error("the paths of the outputs together need more than {limit} bytes")]
    TooMany {
        /// The limit.
        limit: u64,
    },
}

impl CaptureError {
    /// The one thing to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io {
                errno: Errno::ENOSYS,
                ..
            } => {
                "belljar needs openat2: a kernel of 5.6 or later, and a container profile that allows it"
            }
            Self::Io {
                errno: Errno::EACCES | Errno::EPERM,
                ..
            } => "make the file readable for the user that runs belljar",
            Self::Io { .. } => {
                "look at that path, and declare outputs with --output to leave it out"
            }
            Self::Glob { .. } => {
                "write globs relative to the start folder, such as `dist/**` or `*.tar.gz`"
            }
            Self::Changed { .. } => "compare when nothing writes to the folder",
            Self::TooDeep { .. } | Self::TooLarge { .. } | Self::TooMany { .. } => {
                "declare outputs with --output, so that it is left out"
            }
        }
    }

    pub(super) fn io(step: &'static str, path: &[u8], errno: Errno) -> Self {
        Self::Io {
            step,
            path: shown(path),
            errno,
        }
    }
}

/// The path as messages show it: the root folder has a name, a long path its beginning.
pub(super) fn shown(path: &[u8]) -> OsText {
    match path {
        b"" => ".".into(),
        p if p.len() > 300 => [&p[..300], b"..."].concat().into(),
        p => p.into(),
    }
}
