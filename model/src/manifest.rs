//! The manifest: the list of a run's outputs with digests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Blake3, Label, OsText, Sha256};

/// The outputs of one run, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Manifest {
    /// `belljar.manifest/1`.
    pub schema: String,
    /// Which run.
    pub run: Label,
    /// One entry a path.
    pub entries: Vec<Entry>,
    /// Version of the scratch list that sorted entries into gating and scratch.
    pub scratch_list: String,
    /// Paths of the source tree that the build deleted.
    pub deleted: Vec<OsText>,
    /// Paths that the build wrote and that no declared glob selects.
    #[serde(default)]
    pub left_out: u64,
}

impl Manifest {
    /// Its schema.
    pub const SCHEMA: &str = "belljar.manifest/1";
}

/// One path that the build created or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Entry {
    /// Relative to the root folder (`/build`).
    pub path: OsText,
    /// What it is, with what only that kind has.
    pub kind: EntryKind,
    /// Permission bits, with set-id and sticky.
    pub mode: u32,
    /// Extended attributes (without the overlay's own and SELinux labels): value digests.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub xattrs: BTreeMap<OsText, Sha256>,
    /// Paths that are hard links of one file share a number; absent: one link.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hardlink_group: Option<u32>,
    /// Scratch: recorded, not gating.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scratch: Option<Scratch>,
    /// Set-user-id or set-group-id bit, device, socket or FIFO: flagged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flag: Option<String>,
    /// Facts of the moment.
    pub when: EntryWhen,
}

/// An entry's facts of the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EntryWhen {
    /// Modification time, nanoseconds since the epoch, as the build sees it.
    pub mtime_ns: i64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// Digest of the content.
        blake3: Blake3,
        /// Digest of the content.
        sha256: Sha256,
    },
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink {
        /// Where it points, as written.
        target: OsText,
    },
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A device node.
    Device,
}

/// The rule of the scratch list that made an entry scratch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Scratch {
    /// The glob.
    pub rule: String,
}
