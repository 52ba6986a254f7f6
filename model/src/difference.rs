//! Differences: outputs that are not the same in A and B.

use serde::{Deserialize, Serialize};

use crate::{Cause, OsText};

/// All differences of a pair, sorted by path, gating ones marked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Differences {
    /// `belljar.differences/1`.
    pub schema: String,
    /// Paths compared.
    pub compared: u64,
    /// The differences.
    pub items: Vec<Difference>,
}

impl Differences {
    /// Its schema.
    pub const SCHEMA: &str = "belljar.differences/1";
    /// Those that gate.
    pub fn gating(&self) -> impl Iterator<Item = &Difference> {
        self.items.iter().filter(|d| d.gating)
    }
}

/// One output that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Difference {
    /// Relative to the root folder.
    pub path: OsText,
    /// False for scratch.
    pub gating: bool,
    /// In what it differs; several for one path are several items.
    pub kind: DifferenceKind,
    /// Why; never empty for differing content (at the least `unknown`).
    pub causes: Vec<Cause>,
}

/// In what an output differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// Only run A made it.
    OnlyInA,
    /// Only run B made it.
    OnlyInB,
    /// File against directory and the like.
    Type {
        /// In A.
        a: String,
        /// In B.
        b: String,
    },
    /// Permission bits.
    Mode {
        /// In A, octal.
        a: String,
        /// In B, octal.
        b: String,
    },
    /// Content, with the first differing regions.
    Content {
        /// Bytes in A.
        size_a: u64,
        /// Bytes in B.
        size_b: u64,
        /// The first differing regions, at most 16.
        regions: Vec<Region>,
        /// Regions in all, as far as counted.
        regions_total: u64,
    },
    /// Target of a symbolic link.
    Target {
        /// In A.
        a: OsText,
        /// In B.
        b: OsText,
    },
    /// An extended attribute.
    Xattr {
        /// Its name.
        name: OsText,
    },
    /// Which paths are links of one file.
    HardLinks {
        /// The group in A.
        a: Vec<OsText>,
        /// The group in B.
        b: Vec<OsText>,
    },
    /// Modification time, with `--strict-mtime` only.
    Mtime {
        /// In A, nanoseconds.
        a_ns: i64,
        /// In B, nanoseconds.
        b_ns: i64,
    },
    /// Deleted in one run only.
    Deleted {
        /// `a` or `b`: the run that deleted it.
        only_in: String,
    },
}

/// A run of differing bytes. Its ends in A and in B may be apart: what is inserted moves the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Region {
    /// Offset in A's file.
    pub offset: u64,
    /// Length in A in bytes.
    pub len: u64,
    /// Offset in B's file.
    pub offset_b: u64,
    /// Length in B in bytes.
    pub len_b: u64,
    /// A's bytes with a little context, escaped, at most 64.
    pub a: OsText,
    /// B's bytes likewise.
    pub b: OsText,
}
