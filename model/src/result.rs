//! `result.json`: the commit point of an evidence folder.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Bytes, Class, Differences, EndedBy, LayerReport, NetworkReport, OsText, Plan, Sha256,
    Variation, Verdict, Window,
};

/// Which run of a pair; a single run is `A`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Label {
    /// The baseline.
    A,
    /// The varied one.
    B,
    /// The far one, which no verdict rests on.
    C,
}

impl Label {
    /// `a`, `b` or `c`.
    pub fn lower(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
        }
    }

    /// As people write it.
    pub fn upper(self) -> char {
        match self {
            Self::A => 'A',
            Self::B => 'B',
            Self::C => 'C',
        }
    }
}

/// `result.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResultDoc {
    /// `belljar.result/1`.
    pub schema: String,
    /// Who wrote it.
    pub tool: Tool,
    /// `run` or `verify`.
    pub command: String,
    /// The verdict on a pair; a single run has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why the verdict is `incomplete`, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub incomplete: Vec<String>,
    /// What ended the run that decided.
    pub ended_by: EndedBy,
    /// The code that belljar exits with.
    pub exit_code: u8,
    /// The request.
    pub plan: Plan,
    /// Its digest.
    pub plan_digest: Sha256,
    /// One, two, or three with a far run.
    pub runs: Vec<RunReport>,
    /// What the far run found, where one was asked for. It never gates.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub far: Option<FarReport>,
    /// What was varied, what was held, what had no effect.
    pub variations: Variations,
    /// What was asked of the budgets and what held them.
    pub budgets: Vec<BudgetReport>,
    /// Outputs and differences in numbers.
    pub counts: Counts,
    /// Egress records by class.
    pub egress: BTreeMap<Class, u64>,
    /// What was let through and what was refused; absent where nothing ran.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub network: Option<NetworkReport>,
    /// What to do next, most useful first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub hints: Vec<String>,
    /// SHA-256 of the other files, by path below the evidence folder. What is not named here
    /// does not belong to this result.
    pub files: BTreeMap<String, Sha256>,
    /// Facts of the moment.
    pub when: ResultWhen,
}

impl ResultDoc {
    /// Its schema.
    pub const SCHEMA: &str = "belljar.result/1";
}

/// What `belljar explain --format json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReportDoc {
    /// `belljar.report/1`.
    pub schema: String,
    /// The result.
    pub result: ResultDoc,
    /// The differences, if outputs were compared and the document belongs to the result.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub differences: Option<Differences>,
    /// Files of the folder that do not belong to the result, one sentence each.
    pub strays: Vec<String>,
}

impl ReportDoc {
    /// Its schema.
    pub const SCHEMA: &str = "belljar.report/1";
}

/// Facts of the moment of a whole command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResultWhen {
    /// Real time at the start, RFC 3339.
    pub started: String,
    /// Real time at the end, RFC 3339.
    pub ended: String,
    /// The resolved offset of run B in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset_s: Option<i64>,
    /// The resolved offset of run C, the far one, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub far_offset_s: Option<i64>,
    /// Bytes that the proxy let out and in, in every run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub network: Option<Bytes>,
    /// Kernel release.
    pub kernel: String,
}

/// Who wrote a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tool {
    /// `belljar`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What is known of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunReport {
    /// Which one.
    pub run: Label,
    /// What ended it.
    pub ended_by: EndedBy,
    /// The command's exit status, if it exited.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<i32>,
    /// The signal that ended the command, if one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signal: Option<i32>,
    /// The rung of the workspace ladder.
    pub workspace: String,
    /// Walls in the order of trust.
    pub layers: Vec<LayerReport>,
    /// What the canary found.
    pub clock: ClockReport,
    /// Egress records that were lost; anything but 0 makes the run incomplete.
    pub records_lost: u64,
    /// Facts of the moment.
    pub when: RunWhen,
}

/// A run's facts of the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunWhen {
    /// The wall clock that the build saw.
    pub window: Window,
    /// What it used.
    pub usage: Usage,
}

/// What the canary found of the clock.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClockReport {
    /// Whether this run's clock was to be moved.
    pub moved: bool,
    /// Readers that the canary tried, and whether each saw the clock as it should be: moved in B,
    /// unmoved in A.
    pub readers: BTreeMap<String, bool>,
    /// Programs that were started and could not be covered, by executable: the verdict is
    /// `incomplete` if there is one.
    pub uncovered: Vec<String>,
}

/// What a run used. Zero where the kernel keeps no count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Usage {
    /// Wall-clock milliseconds.
    pub wall_ms: u64,
    /// User CPU milliseconds.
    pub user_ms: u64,
    /// System CPU milliseconds.
    pub system_ms: u64,
    /// Peak memory in bytes: the cgroup's, or the largest process's.
    pub peak_memory_bytes: u64,
    /// Milliseconds in which the cpu budget was used up and the build had to wait.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub throttled_ms: Option<u64>,
    /// Milliseconds in which a task waited for a processor, where a cgroup counts them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waited_cpu_ms: Option<u64>,
    /// Milliseconds in which a task waited for memory.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waited_memory_ms: Option<u64>,
    /// Milliseconds in which a task waited for a disk.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waited_io_ms: Option<u64>,
}

/// A budget: asked, and what held it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BudgetReport {
    /// `memory`, `cpus`, `pids`, `disk`, `timeout`.
    pub name: String,
    /// What was asked, as in [`crate::Budgets`], in its unit.
    pub asked: u64,
    /// `cgroup2`, `cgroup1`, `watched`, `timer`.
    pub held_by: String,
    /// Whether it ended the run.
    pub hit: bool,
}

/// What was varied, held, and had no effect.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Variations {
    /// Proven by the canary.
    pub varied: Vec<Variation>,
    /// The same in both runs, by name.
    pub held: Vec<String>,
    /// Asked, and not proven.
    pub ineffective: Vec<Variation>,
}

/// What a run sixteen years ahead found that the pair did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FarReport {
    /// In one word.
    pub outcome: FarOutcome,
    /// In one sentence; absent where nothing was found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// Gating outputs that are the same in A and B and another in C, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub outputs: Vec<OsText>,
}

/// What a far run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FarOutcome {
    /// It passed, and left what the pair left.
    Passed,
    /// It failed where the pair passed, or left other outputs where the pair left equal ones.
    TimeBomb,
    /// It was not made: run B already fails, or there is nothing to hold it against.
    Skipped,
    /// It was made, and nothing can be said.
    Unknown,
}

/// Outputs and differences in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Counts {
    /// Gating outputs in A.
    pub outputs: u64,
    /// Scratch entries in A.
    pub scratch: u64,
    /// Differences that gate.
    pub differences: u64,
    /// Differences in scratch.
    pub scratch_differences: u64,
}
