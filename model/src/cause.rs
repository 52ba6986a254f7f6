//! Causes: why an output differs. One table of slugs.

use serde::{Deserialize, Serialize};

use crate::OsText;

/// One knob that differs between A and B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Variation {
    /// The wall clock.
    Time,
    /// The boot-time clock and uptime.
    Uptime,
}

/// How sure a cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The differing bytes carry each run's own marker.
    Proven,
    /// The evidence points there.
    Likely,
    /// Not known; said openly.
    Unknown,
}

/// Why an output differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cause {
    /// Stable name (`clock`, `unknown`).
    pub slug: String,
    /// The variation that revealed it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub variation: Option<Variation>,
    /// How sure.
    pub confidence: Confidence,
    /// One sentence: what was found where, in A and in B.
    pub evidence: String,
    /// Offset in A of the bytes that it explains.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<u64>,
    /// The argv of the process that wrote the file, where it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub process: Option<Vec<OsText>>,
    /// The usual fix, one sentence with a snippet.
    pub fix: String,
}
