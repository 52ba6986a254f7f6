//! What `result.json` says of the network: what was let through, what was refused and how to allow it,
//! and in what two runs do not ask for the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{OsText, Reason, Sha256};

/// The network of a whole command. Only denials can gate, and only by the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetworkReport {
    /// SHA-256 of the policy's canonical form.
    pub policy_sha256: Sha256,
    /// Calls, connections and requests to the outside that were denied, in every run.
    pub denied: u64,
    /// Decisions of the proxy to let something through, in every run; name look-ups are not counted.
    pub allowed: u64,
    /// The denied destinations, the most wanted first.
    #[serde(skip_serializing_if = "Findings::is_empty", default)]
    pub refused: Findings<Refused>,
    /// Requests of run A that were recorded.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub recorded: u64,
    /// Requests of further runs that were served from the recording.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub served: u64,
    /// Requests that only one run of the pair made.
    #[serde(skip_serializing_if = "Drift::is_empty", default)]
    pub drift: Drift,
    /// Denials of only one run of the pair.
    #[serde(skip_serializing_if = "OneSided::is_empty", default)]
    pub denials: OneSided<Refused>,
    /// Requests that a credential was put into, by its label.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub credentials: BTreeMap<String, u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Requests that only one run of a pair made.
pub type Drift = OneSided<Request>;

/// What was found in only one run of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OneSided<T> {
    /// Run A's, which run B has not.
    #[serde(
        skip_serializing_if = "Findings::is_empty",
        default = "Findings::<T>::none"
    )]
    pub only_a: Findings<T>,
    /// Run B's, which run A has not.
    #[serde(
        skip_serializing_if = "Findings::is_empty",
        default = "Findings::<T>::none"
    )]
    pub only_b: Findings<T>,
}

impl<T> OneSided<T> {
    /// Whether both runs are alike.
    pub fn is_empty(&self) -> bool {
        self.only_a.is_empty() && self.only_b.is_empty()
    }
}

impl<T> Default for OneSided<T> {
    fn default() -> Self {
        Self {
            only_a: Findings::none(),
            only_b: Findings::none(),
        }
    }
}

/// A list that is cut, and how long it is in truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Findings<T> {
    /// How many there are.
    pub total: u64,
    /// The first of them.
    pub first: Vec<T>,
}

impl<T> Findings<T> {
    /// No document shows more.
    pub const SHOWN: usize = 50;

    /// Of all of them.
    pub fn of(mut all: Vec<T>) -> Self {
        let total = all.len() as u64;
        all.truncate(Self::SHOWN);
        Self { total, first: all }
    }

    /// Of nothing.
    pub fn none() -> Self {
        Self::of(Vec::new())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

impl<T> Default for Findings<T> {
    fn default() -> Self {
        Self::none()
    }
}

/// A destination that was denied to a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refused {
    /// Host, address or path, as it was asked for.
    pub host: OsText,
    /// Port, 0 where there is none.
    pub port: u16,
    /// The program that asked, by its path in the sandbox.
    pub exe: OsText,
    /// Why it was denied.
    pub reason: Reason,
    /// How often it was asked for.
    pub count: u64,
    /// The rule for `belljar.toml` that would allow it, where one would.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    /// The same as a flag, where one says it all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flag: Option<String>,
}

/// A request, or a connection whose requests can't be seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Request {
    /// The host.
    pub host: OsText,
    /// The port.
    pub port: u16,
    /// The method, if one was seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
    /// The path, if one was seen; of a query the names alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<OsText>,
    /// How often it was made.
    pub count: u64,
}
