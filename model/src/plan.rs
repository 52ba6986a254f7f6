//! The plan: the frozen, hashed description of a run. Rules only, never facts of the moment, and
//! never a path of the host: those are in the sandbox crate's `Host`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Layer, OsText, Policy, Sha256, Skew};

/// What is to be run and under which walls. After it is made nothing reads a flag, the
/// environment or the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Plan {
    /// `belljar.plan/1`.
    pub schema: String,
    /// The command and its arguments.
    pub command: Vec<OsText>,
    /// The folder below `/build` in which it starts; empty for `/build` itself.
    pub cwd: OsText,
    /// Which files of the root folder the build sees.
    pub source: Source,
    /// Which kind of workspace is wanted.
    pub workspace: WorkspaceWish,
    /// The whole environment of the build, sorted by name.
    pub env: BTreeMap<OsText, EnvValue>,
    /// What is mounted read-only from the host, by its path inside, sorted.
    pub files: Vec<FileRule>,
    /// Download caches of the host that serve as read-only lower layers.
    pub caches: Vec<CacheKind>,
    /// What counts as output.
    pub outputs: Outputs,
    /// What of the network the build may reach.
    pub egress: Policy,
    /// Whether an external denial gates.
    pub on_deny: OnDeny,
    /// Layers required beyond the default ones, with the level asked (`landlock=6`).
    pub require: BTreeMap<Layer, Option<String>>,
    /// The limits.
    pub budgets: Budgets,
    /// The clock of a pair; absent for a single run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// How the build's streams are connected.
    pub streams: Streams,
    /// `SOURCE_DATE_EPOCH` as set by the configuration: listed as held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_date_epoch: Option<i64>,
}

impl Plan {
    /// Its schema.
    pub const SCHEMA: &str = "belljar.plan/1";

    /// The digest that stands for the request: SHA-256 over the compact JSON form, whose maps
    /// are sorted.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Which files of the root folder the build sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The folder as it is.
    #[default]
    Tree,
    /// Tracked and untracked files, ignored ones hidden.
    Git,
}

/// Which kind of workspace is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum WorkspaceWish {
    /// The first rung of the ladder that works.
    #[default]
    Auto,
    /// An overlay, or error 125.
    Overlay,
    /// A copy (reflinked where the file system can).
    Copy,
}

/// A variable's value. Documents show a salted digest, never the value.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvValue {
    /// The value itself.
    pub value: OsText,
    /// Public: set by belljar from its fixed identity, shown as it is.
    pub public: bool,
}

impl std::fmt::Debug for EnvValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

impl EnvValue {
    /// What documents say of it.
    pub fn shown(&self) -> String {
        if self.public {
            return self.value.to_string();
        }
        let mut salted = b"belljar.env/1\0".to_vec();
        salted.extend_from_slice(self.value.as_bytes());
        Sha256::of(&salted).to_string()
    }
}

impl Serialize for EnvValue {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.shown())
    }
}

/// What is read back from a document is what the document shows, so it shows as the same text
/// again and the plan keeps its digest. A hidden value stays hidden: a plan that was read back
/// describes a run, and can't be run with that environment.
impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = OsText::deserialize(d)?;
        Ok(Self {
            value,
            public: true,
        })
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for EnvValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EnvValue".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "the value if it is belljar's own, else a salted sha256 of it",
        })
    }
}

/// One read-only path from the host, with the reason why it is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileRule {
    /// Where it stands inside.
    pub target: OsText,
    /// Why.
    pub reason: String,
}

/// A download cache that may serve as a read-only lower layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CacheKind {
    /// `$CARGO_HOME/registry` and `git`.
    Cargo,
    /// `~/.npm/_cacache`.
    Npm,
    /// The module download cache.
    Go,
    /// pip's HTTP and wheel cache.
    Pip,
    /// `~/.m2/repository`.
    Maven,
}

impl CacheKind {
    /// Every one there is.
    pub const ALL: [Self; 5] = [Self::Cargo, Self::Npm, Self::Go, Self::Pip, Self::Maven];

    /// Its name on the command line and in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Npm => "npm",
            Self::Go => "go",
            Self::Pip => "pip",
            Self::Maven => "maven",
        }
    }
}

/// What counts as output.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Outputs {
    /// Globs relative to the start folder; empty: everything created or changed, minus scratch.
    pub globs: Vec<String>,
    /// Scratch files gate too.
    pub strict: bool,
    /// No outputs at all is no reason for `incomplete`.
    pub allow_empty: bool,
    /// mtimes gate.
    pub strict_mtime: bool,
}

/// What an external denial does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OnDeny {
    /// It is recorded.
    #[default]
    Record,
    /// It is recorded and the run gates with exit code 4.
    Fail,
}

/// The limits; absent: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Budgets {
    /// Bytes of memory, page cache and tmpfs included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Thousandths of a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<u32>,
    /// Tasks at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// Bytes written to the workspace and the temporary folders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// Milliseconds of wall-clock time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
}

impl Budgets {
    /// Whether a cgroup is needed.
    pub fn need_cgroup(&self) -> bool {
        self.memory_bytes.is_some() || self.cpu_milli.is_some() || self.pids.is_some()
    }
}

/// The clock of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Clock {
    /// How run B's clock is moved.
    pub skew: Skew,
    /// Whether a third run is made sixteen years ahead.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub far: bool,
}

/// How the build's streams are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Streams {
    /// Separate pipes, empty stdin: a pair, or a run without a terminal.
    #[default]
    Pipes,
    /// Separate pipes, the caller's stdin copied in: a piped `run`.
    PipesWithStdin,
    /// A pseudo-terminal: `run` on a terminal.
    Terminal,
}
