//! `belljar egress check --json`.

use serde::{Deserialize, Serialize};

use crate::Reason;

/// What `belljar egress check --json` prints: what a policy makes of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckDoc {
    /// `belljar.check/1`.
    pub schema: String,
    /// Whether it may leave.
    pub allow: bool,
    /// Why.
    pub reason: Reason,
    /// The rule that allows it, or came nearest; counts from 1.
    pub rule: Option<u32>,
    /// The host in its canonical form.
    pub host: String,
    /// The port, that of the scheme if the URL has none.
    pub port: u16,
    /// The method.
    pub method: String,
    /// The path in its canonical form, without the query.
    pub path: String,
    /// TLS is not opened, so method and path are not held to anything.
    pub unseen: bool,
    /// What would allow it; none where no rule can.
    pub fix: Option<String>,
}

impl CheckDoc {
    /// Its schema.
    pub const SCHEMA: &str = "belljar.check/1";
}
