//! What of the host a run needs: paths, owners, the file table, toolchains, identity.
//!
//! A [`Request`] is what was asked for, [`View`] is how the host is looked at, and [`resolve`]
//! makes of them the frozen [`belljar_model::Plan`] and its [`Host`]. Nothing here runs a build,
//! mounts anything or reads a flag.

mod caches;
mod env;
mod error;
mod facts;
mod files;
mod identity;
mod places;
mod request;
mod resolve;
mod toolchains;

use std::path::PathBuf;

use belljar_model::OsText;

pub use caches::lacks as lacks_cache;
pub use error::PlanError;
pub use facts::{Caller, Kind, Readable, Real, View};
pub(crate) use files::{NOTHING, lexical};
pub use places::{Places, SCRATCH, places};
pub use request::{Command, DateEpoch, Request};
pub use resolve::{Resolved, resolve};

/// The host's side of a plan: paths and ids, which no document holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The folder that stands at `/build` inside, canonical.
    pub root: PathBuf,
    /// Owner of `root`: becomes `builder` inside; exports and evidence belong to it.
    pub owner: Ids,
    /// The effective ids of the caller.
    pub caller: Ids,
    /// The evidence folder, absolute; need not exist.
    pub evidence: PathBuf,
    /// The folder in which scratch folders are made.
    pub scratch: PathBuf,
    /// What stands inside, in mount order.
    pub entries: Vec<HostEntry>,
    /// Paths below `root` that the build does not see (the evidence folder, ignored files),
    /// relative to it.
    pub hidden: Vec<PathBuf>,
    /// A git folder that lies outside `root`, mounted read-only at `/gitdir`; `/build/.git` then
    /// is a made file that names it.
    pub gitdir: Option<PathBuf>,
    /// The caller's home folder, which no document names.
    pub home: Option<PathBuf>,
}

/// A user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// One thing of the file table that stands inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// Absolute path inside.
    pub target: OsText,
    /// What it is.
    pub kind: HostEntryKind,
    /// Why it is there.
    pub reason: &'static str,
}

/// What an entry of the file table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostEntryKind {
    /// A folder or file of the host, bound read-only.
    Bind {
        /// Path on the host.
        source: PathBuf,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        to: OsText,
    },
    /// A small file that belljar makes.
    Made {
        /// Its content.
        content: Vec<u8>,
    },
    /// A download cache of the host as the read-only lower layer of an overlay whose upper is
    /// dropped with the run.
    Cache {
        /// Path on the host.
        source: PathBuf,
    },
}
