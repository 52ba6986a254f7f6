//! Why evidence could not be written or read. Whatever it is, it never changes a verdict.

use std::io;

use belljar_model::OsText;
use nix::errno::Errno;

/// Evidence could not be written or read: one sentence, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The kernel refused.
    #[error("could not {tried} {path}: {errno:?} ({})", errno.desc())]
    Refused {
        /// A verb phrase: `create`.
        tried: &'static str,
        /// On what.
        path: OsText,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A name that belljar would replace holds something that belljar did not write.
    #[error(
        "{name} in the evidence folder {folder} is not belljar's: there is no result of belljar's beside it"
    )]
    NotOurs {
        /// The name.
        name: &'static str,
        /// Where it stands.
        folder: OsText,
    },
    /// Another belljar holds the folder.
    #[error(
        "the evidence folder {folder} is being written by another belljar (waited {seconds} s)"
    )]
    Busy {
        /// The folder.
        folder: OsText,
        /// How long was waited.
        seconds: u64,
    },
    /// A document is not what it should be.
    #[error("{path} is not readable as {schema}: {why}")]
    Malformed {
        /// The document.
        path: OsText,
        /// The schema it should follow.
        schema: &'static str,
        /// The parser's words.
        why: String,
    },
    /// It was written already.
    #[error("evidence is written once")]
    Done,
    /// A path that would lead out of the folder.
    #[error("{path} is no path below the evidence folder")]
    Outside {
        /// The path.
        path: OsText,
    },
}

impl EvidenceError {
    /// The one thing to do next, where it was to be written.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { errno, .. } => match errno {
                Errno::EROFS | Errno::EACCES | Errno::EPERM => {
                    Some("name a folder that you can write with --evidence")
                }
                Errno::ENOSPC | Errno::EDQUOT => {
                    Some("free some space or name a folder elsewhere with --evidence")
                }
                Errno::ENOTDIR | Errno::ELOOP => Some(
                    "the evidence folder and those above it must be folders, and inside the root folder no symbolic links",
                ),
                _ => Some("name another folder with --evidence"),
            },
            Self::NotOurs { .. } => Some("move it away, or name another folder with --evidence"),
            Self::Busy { .. } => Some("give each command that runs at one time its own --evidence"),
            Self::Malformed { .. } => Some(
                "run the command again to write it anew, or read it with the belljar that wrote it",
            ),
            Self::Done | Self::Outside { .. } => None,
        }
    }
}

/// The errno inside an `io::Error`; `EIO` where there is none.
pub fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Names what was tried on what, for `map_err`.
pub fn refused<E: Into<io::Error>>(
    tried: &'static str,
    path: impl Into<OsText>,
) -> impl FnOnce(E) -> EvidenceError {
    let path = path.into();
    move |error| EvidenceError::Refused {
        tried,
        path,
        errno: errno_of(&error.into()),
    }
}
