//! Reads a run's outputs: which files the build wrote, and their digests.
//!
//! Everything goes by descriptor, beneath a folder that was opened once: no symbolic link is
//! followed, no path of the host is resolved, nothing that a build can leave behind makes the
//! walk hang or leave the folder. What a difference means is not known here.

mod beneath;
mod error;
mod export;
mod found;
mod hash;
mod select;
mod single;
mod walk;
mod worker;
mod written;
mod xattr;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use belljar_model::{Label, Manifest, OsText, Outputs};
use serde::{Deserialize, Serialize};

use crate::clock::Stamps;

pub use error::CaptureError;
pub use export::{Destination, ExportError, Exported, export};
pub use select::{SCRATCH_LIST, ScratchRule, Selection, scratch_rules};
pub use single::single;

/// What a run wrote, and what it was written over.
#[derive(Debug)]
pub struct Workspace {
    /// The folder that holds what the build wrote: an overlay's upper, or the copy.
    pub upper: OwnedFd,
    /// The root folder on the host.
    pub lower: OwnedFd,
    /// Paths below the root folder that the build did not see, relative to it.
    pub hidden: Vec<OsText>,
    /// Which kind of workspace it was.
    pub rung: Rung,
    /// Real time just before the build could write, nanoseconds since the epoch.
    pub started_ns: i64,
    /// Seconds that the build's clock was ahead of the real one.
    pub offset_s: i64,
    /// The rule by which the build saw the times of files.
    pub stamps: Stamps,
}

impl Workspace {
    /// Opens a regular file that the build wrote, by its path in the manifest.
    pub fn open(&self, path: &OsText) -> io::Result<File> {
        Ok(beneath::open_file(self.upper.as_fd(), path.as_bytes())?.into())
    }
}

/// The rungs of the workspace ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// An overlay with its upper on disk.
    OverlayDisk,
    /// An overlay with its upper in memory.
    OverlayTmpfs,
    /// A copy.
    Copy,
}

impl Rung {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::OverlayDisk => "overlay-disk",
            Self::OverlayTmpfs => "overlay-tmpfs",
            Self::Copy => "copy",
        }
    }
}

/// A run's outputs, and what the selection left of the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The outputs, sorted by path.
    pub manifest: Manifest,
    /// Declared globs that no output matches: no statement can be made about them.
    pub unmatched: Vec<String>,
}

impl Captured {
    /// How many entries count as outputs; `strict`: scratch does too.
    pub fn outputs(&self, strict: bool) -> usize {
        let counts = |e: &&belljar_model::Entry| strict || e.scratch.is_none();
        self.manifest.entries.iter().filter(counts).count()
    }
}

/// What the build wrote in `ws`, as far as `outputs` selects it. `cwd` is the start folder below
/// the root folder, to which globs are relative.
pub fn capture(
    ws: &Workspace,
    outputs: &Outputs,
    cwd: &OsText,
    run: Label,
) -> Result<Captured, CaptureError> {
    let selection = Selection::new(outputs, cwd)?;
    let walked = walk::Walk::workspace(ws, &selection).run()?;
    let mut captured = walked.into_captured(run, &selection);
    for entry in &mut captured.manifest.entries {
        entry.when.mtime_ns = ws.stamps.outside_ns(entry.when.mtime_ns);
    }
    Ok(captured)
}

/// Every path below `dir`, a folder on the host. `run` says which side of a comparison it is.
pub fn walk(dir: BorrowedFd<'_>, run: Label) -> Result<Manifest, CaptureError> {
    let selection = Selection::everything();
    let walked = walk::Walk::host(dir, &selection).run()?;
    Ok(walked.into_captured(run, &selection).manifest)
}

/// Opens a regular file below `dir` by its path in the manifest that [`walk`] made.
pub fn open(dir: BorrowedFd<'_>, path: &OsText) -> io::Result<File> {
    Ok(beneath::open_file(dir, path.as_bytes())?.into())
}
