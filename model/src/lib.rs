//! What belljar's stages hand to each other.
//!
//! `args + belljar.toml -> Plan -> run -> Manifest (A, B) -> Difference -> Cause -> evidence`:
//! every arrow is a type of this crate. It does no I/O, never reads a clock and knows nothing of
//! the kernel; what is serialised here is the public format of the evidence, versioned by the
//! `schema` field of each document.
#![forbid(unsafe_code)]

mod cause;
mod check;
mod clean;
mod clock;
mod difference;
mod digest;
pub mod door;
mod egress;
mod layer;
mod manifest;
mod network;
mod plan;
mod policy;
mod reason;
mod result;
mod text;
mod verdict;

pub use cause::{CAUSES, Cause, Confidence, KnownCause, Variation};
pub use check::CheckDoc;
pub use clean::{CleanDoc, Leftover, LeftoverKind};
pub use clock::{Skew, SkewError, Window, auto_offset, far_offset};
pub use difference::{Difference, DifferenceKind, Differences, Region};
pub use digest::{Blake3, DigestError, Sha256};
pub use egress::{
    Ask, Bytes, Class, EgressRecord, EgressVerdict, EgressWhen, Exchange, Layer as EgressLayer,
    Probe, ProbeCount, Proc, Reason, SecurityManifest, SelfTest, SeqRange,
};
pub use layer::{DoctorDoc, DoctorFailure, Layer, LayerReport, State};
pub use manifest::{Entry, EntryKind, EntryWhen, Manifest, Scratch};
pub use network::{Drift, Findings, NetworkReport, OneSided, Refused, Request};
pub use plan::{
    Budgets, CacheKind, Clock, EnvValue, FileRule, OnDeny, Outputs, Plan, Source, Streams,
    WorkspaceWish,
};
pub use policy::{Credential, EgressLimits, Fetch, Policy, Rule, Scheme, Tls};
pub use result::{
    BudgetReport, ClockReport, Counts, FarOutcome, FarReport, Label, ReportDoc, ResultDoc,
    ResultWhen, RunReport, RunWhen, Tool, Usage, Variations,
};
pub use text::{OsText, TextError};
pub use verdict::{EndedBy, Verdict, exit};
