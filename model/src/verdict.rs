//! The one word at the end, what ended a run, and the public exit codes.

use serde::{Deserialize, Serialize};

/// The verdict on a pair. A single run never earns `Reproducible`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Both runs passed, every asked variation took effect, all gating outputs are equal.
    Reproducible,
    /// Both runs passed and at least one gating output differs.
    Differs,
    /// Run A failed.
    BuildFailed,
    /// Run A passed and run B failed: the build depends on what was varied.
    FailsUnderVariation,
    /// A gating egress denial with `on_deny = "fail"`.
    PolicyViolation,
    /// No statement can be made: no outputs, an ineffective variation, lost records.
    Incomplete,
}

impl Verdict {
    /// The word as it stands in documents and on the terminal.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reproducible => "reproducible",
            Self::Differs => "differs",
            Self::BuildFailed => "build-failed",
            Self::FailsUnderVariation => "fails-under-variation",
            Self::PolicyViolation => "policy-violation",
            Self::Incomplete => "incomplete",
        }
    }
    /// The exit code of `verify` for this verdict (see [`exit`]).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Reproducible => exit::OK,
            Self::Differs => exit::DIFFERS,
            Self::BuildFailed => exit::BUILD_FAILED,
            Self::FailsUnderVariation => exit::FAILS_UNDER_VARIATION,
            Self::PolicyViolation => exit::POLICY,
            Self::Incomplete => exit::INCOMPLETE,
        }
    }
}

/// What ended a run: the authority where a build's own exit code could be mistaken for belljar's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EndedBy {
    /// The command exited by itself.
    Command,
    /// A signal that belljar did not send.
    Signal,
    /// The wall-clock budget.
    Timeout,
    /// The memory budget, by the kernel's own counter.
    Oom,
    /// The process budget, by the kernel's own counter.
    Pids,
    /// The disk budget, or no room on the disk that the workspace is on.
    Disk,
    /// A gating denial with `on_deny = "fail"`.
    Policy,
    /// belljar could not set up or keep a required layer; the command did not run or was stopped.
    Setup,
    /// The user or the CI system interrupted belljar.
    Interrupt,
    /// The run ended, its evidence could not be completed.
    Incomplete,
}

/// Exit codes: public, documented in `docs/exit-codes.md`, tested.
pub mod exit {
    /// Passed; for `verify`: reproducible.
    pub const OK: u8 = 0;
    /// `verify`: the build failed in run A.
    pub const BUILD_FAILED: u8 = 1;
    /// Wrong usage or configuration.
    pub const USAGE: u8 = 2;
    /// Outputs differ, or evidence is not valid.
    pub const DIFFERS: u8 = 3;
    /// A gating denial with `on_deny = "fail"`.
    pub const POLICY: u8 = 4;
    /// Passed in A, failed in B.
    pub const FAILS_UNDER_VARIATION: u8 = 5;
    /// No statement can be made, or evidence was not written.
    pub const INCOMPLETE: u8 = 6;
    /// The wall-clock budget ran out.
    pub const TIMEOUT: u8 = 124;
    /// A required layer could not be set up or kept.
    pub const SETUP: u8 = 125;
    /// The command is there and can't be executed.
    pub const NOT_EXECUTABLE: u8 = 126;
    /// The command was not found.
    pub const NOT_FOUND: u8 = 127;
    /// Added to a signal's number.
    pub const SIGNAL_BASE: u8 = 128;
    /// Interrupted.
    pub const INTERRUPTED: u8 = 130;
}
