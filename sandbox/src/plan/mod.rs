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
use serde::{Deserialize, Serialize};

pub use caches::lacks as lacks_cache;
pub use env::proxy_variables;
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

/// A path of any bytes; serde's own form takes UTF-8 alone.
mod path_bytes {
    use std::path::{Path, PathBuf};

    use belljar_model::OsText;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(path: &Path, s: S) -> Result<S::Ok, S::Error> {
        OsText::from(path).serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<PathBuf, D::Error> {
        OsText::deserialize(d).map(|text| text.as_path().to_owned())
    }
}

/// One thing of the file table that stands inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEntry {
    /// Absolute path inside.
    pub target: OsText,
    /// What it is.
    pub kind: HostEntryKind,
    /// Why it is there; not told to the sandbox.
    #[serde(skip)]
    pub reason: &'static str,
}

/// What an entry of the file table is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostEntryKind {
    /// A folder or file of the host, bound read-only.
    Bind {
        /// Path on the host.
        #[serde(with = "path_bytes")]
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
        ///
        /// Not in its serialised form: who needs it there carries it beside.
        #[serde(skip)]
        content: Vec<u8>,
    },
    /// The same in place of a file of the host, wherever one stands there.
    Covered {
        /// Its content, carried beside as well.
        #[serde(skip)]
        content: Vec<u8>,
    },
    /// A download cache of the host as the read-only lower layer of an overlay whose upper is
    /// dropped with the run.
    Cache {
        /// Path on the host.
        #[serde(with = "path_bytes")]
        source: PathBuf,
    },
}
