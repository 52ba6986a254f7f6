//! Reads a run's outputs.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

/// What a run wrote, and what it was written over.
#[derive(Debug)]
pub struct Workspace {
    /// The folder that holds what the build wrote: an overlay's upper, or the copy.
    pub upper: OwnedFd,
    /// The root folder on the host.
    pub lower: OwnedFd,
    /// Which kind of workspace it was.
    pub rung: Rung,
    /// Real time just before the build could write, nanoseconds since the epoch.
    pub started_ns: i64,
    /// Seconds that the build's clock was ahead of the real one.
    pub offset_s: i64,
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
