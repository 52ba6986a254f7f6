//! Brings outputs into a folder of the host: copies beside, then renames.
//!
//! Nothing is deleted, no link is followed, a file that changed on the host meanwhile is refused
//! by name. First everything is looked at, then everything is copied under other names, and only
//! then the names change: what fails before that leaves the folder as it was.

mod check;
mod stage;

use std::os::fd::BorrowedFd;

use belljar_model::{Entry, EntryKind, Manifest, OsText};
use nix::errno::Errno;

use super::Workspace;
use super::error::shown;
use crate::plan::Ids;
use stage::Stage;

/// What was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Files, links and folders that were written.
    pub written: u64,
    /// Outputs that are no files: devices, sockets, FIFOs.
    pub skipped: u64,
}

/// Where to, and as whose.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// The folder.
    pub folder: BorrowedFd<'a>,
    /// Paths of the manifest below this one lose it; others keep all of theirs.
    pub strip: &'a OsText,
    /// Below this path of the manifest nothing is written: the evidence lies there.
    pub keep: Option<&'a OsText>,
    /// Who gets what is written; absent: the caller.
    pub owner: Option<Ids>,
}

/// Why outputs were not brought.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The host's folder is not as the build saw it; nothing was written.
    #[error("did not export, because on the host {}", list(.0))]
    Refused(Vec<Refused>),
    /// A file changed between the check and the last moment; those before it are written.
    #[error("stopped exporting after {done} files, because on the host {why}")]
    Late {
        /// How many were written.
        done: u64,
        /// Which one.
        why: Refused,
    },
    /// The kernel refused a step; files not yet renamed are taken back.
    #[error("could not {step} {path}: {errno:?} ({})", errno.desc())]
    Io {
        /// What was tried, as a verb phrase.
        step: &'static str,
        /// On what, relative to the folder that is exported to.
        path: OsText,
        /// The kernel's answer.
        errno: Errno,
    },
}

impl ExportError {
    /// The one thing to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::Late { .. } => {
                "put it aside and run again, or take the outputs with --export DIR"
            }
            Self::Io {
                errno: Errno::ENOSPC | Errno::EDQUOT,
                ..
            } => "make room on the disk",
            Self::Io { .. } => "make the folder writable, or name another one with --export",
        }
    }

    fn io(step: &'static str, path: &[u8], errno: Errno) -> Self {
        let path = shown(path);
        Self::Io { step, path, errno }
    }
}

/// A path that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which one.
    pub path: OsText,
    /// What of it.
    pub why: &'static str,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.path, self.why)
    }
}

fn list(all: &[Refused]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = all.iter().take(SHOWN).map(Refused::to_string).collect();
    match all.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

/// One output and the path that it gets.
struct Item<'m> {
    entry: &'m Entry,
    path: &'m [u8],
}

/// Brings the outputs of `manifest` from `ws` to their destination. Scratch stays behind, and so
/// does what is no file, folder or link.
pub fn export(
    ws: &Workspace,
    manifest: &Manifest,
    to: Destination<'_>,
) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    let mut items: Vec<Item<'_>> = Vec::new();
    for entry in manifest.entries.iter().filter(|e| e.scratch.is_none()) {
        match entry.kind {
            EntryKind::Fifo | EntryKind::Socket | EntryKind::Device => exported.skipped += 1,
            _ => items.push(Item {
                entry,
                path: target(&entry.path, to.strip),
            }),
        }
    }
    let targets = check::all(ws, to, &items)?;
    let mut stage = Stage::new(ws, to)?;
    for (item, before) in items.iter().zip(targets) {
        stage.put(item, before)?;
    }
    stage.commit()?;
    exported.written = items.len() as u64;
    Ok(exported)
}

fn target<'p>(path: &'p OsText, strip: &OsText) -> &'p [u8] {
    below(path.as_bytes(), strip.as_bytes()).unwrap_or(path.as_bytes())
}

/// What of a path lies below `folder`, which is not the whole tree.
fn below<'p>(path: &'p [u8], folder: &[u8]) -> Option<&'p [u8]> {
    let rest = path.strip_prefix(folder)?.strip_prefix(b"/")?;
    (!folder.is_empty()).then_some(rest)
}

/// The folder of a path and its name in it.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(i) => (&path[..i], &path[i + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests;
