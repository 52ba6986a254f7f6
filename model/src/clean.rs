//! What a sweep found of runs that are gone.

use serde::{Deserialize, Serialize};

use crate::DoctorFailure;

/// What `belljar clean --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CleanDoc {
    /// `belljar.clean/1`.
    pub schema: String,
    /// What dead runs had left and is gone.
    pub removed: Vec<Leftover>,
    /// Runs that still go on, by name; what they hold is not touched.
    pub alive: Vec<String>,
    /// What could not be removed.
    pub failures: Vec<DoctorFailure>,
}

impl CleanDoc {
    /// Its schema.
    pub const SCHEMA: &str = "belljar.clean/1";
}

/// Something that a dead run had left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Leftover {
    /// What it was.
    pub kind: LeftoverKind,
    /// The path of the folder; the name of the cgroup.
    pub name: String,
}

/// What a run can leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LeftoverKind {
    /// Its cgroup.
    Cgroup,
    /// Its scratch folder.
    Folder,
}
