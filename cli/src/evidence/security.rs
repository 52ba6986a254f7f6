//! The `security/` folder as bytes: what tried to leave, under which policy and walls, and the
//! proof that the walls stood.
//!
//! Pure: model values in, file contents out. It reads no clock, no disk and no environment, and
//! must not decide what gates; it says what the records, the self-test and the plan say.

mod summary;

use std::collections::BTreeMap;

use belljar_model::{
    Class, EgressRecord, LayerReport, OnDeny, Plan, ProbeCount, SecurityManifest, SelfTest,
    SeqRange, Sha256, Tool,
};
use serde::Serialize;

/// Their names.
pub const FILES: [&str; 5] = [
    "egress.ndjson",
    "manifest.json",
    "policy.toml",
    "selftest.json",
    "summary.md",
];

/// Renders the files of `security/` by name. `records` holds both runs of a pair; `lost` counts
/// the records of both that could not be kept; `layers` are run A's.
pub fn render(
    records: &[EgressRecord],
    selftest: &SelfTest,
    plan: &Plan,
    layers: &[LayerReport],
    lost: u64,
) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from([
        ("egress.ndjson".to_owned(), ndjson(records)),
        (
            "summary.md".to_owned(),
            summary::render(records, selftest, plan, layers, lost).into_bytes(),
        ),
        ("selftest.json".to_owned(), super::json(selftest)),
        ("policy.toml".to_owned(), policy(plan)),
    ]);
    let manifest = SecurityManifest {
        schema: SecurityManifest::SCHEMA.into(),
        tool: Tool {
            name: "belljar".into(),
            version: env!("CARGO_PKG_VERSION").into(),
        },
        files: files
            .iter()
            .map(|(name, bytes)| (name.clone(), Sha256::of(bytes)))
            .collect(),
        records: by_class(records),
        runs: ranges(records),
        lost,
        probes: ProbeCount {
            made: selftest.probes.len() as u64,
            denied: u64::from(selftest.denied),
        },
        layers: layers.to_vec(),
    };
    files.insert("manifest.json".to_owned(), super::json(&manifest));
    files
}

/// One record a line, in the order given.
fn ndjson(records: &[EgressRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        // The model's types always serialise: writing to memory can't fail.
        let _ = serde_json::to_writer(&mut out, record);
        out.push(b'\n');
    }
    out
}

/// The policy as it was used, defaults included.
#[derive(Serialize)]
struct Used<'a> {
    schema: &'static str,
    /// What no rule names.
    default: &'static str,
    on_deny: OnDeny,
    egress: &'a belljar_model::Policy,
}

fn policy(plan: &Plan) -> Vec<u8> {
    let policy = Used {
        schema: "belljar.policy/1",
        default: "deny",
        on_deny: plan.on_deny,
        egress: &plan.egress,
    };
    toml::to_string(&policy).unwrap_or_default().into_bytes()
}

/// How many records each class has, those without one left out.
pub fn by_class(records: &[EgressRecord]) -> BTreeMap<Class, u64> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record.class).or_insert(0) += 1;
    }
    counts
}

fn ranges(records: &[EgressRecord]) -> Vec<SeqRange> {
    let mut runs = BTreeMap::new();
    for record in records {
        let range = runs.entry(record.run).or_insert(SeqRange {
            run: record.run,
            first: record.seq,
            last: record.seq,
            count: 0,
        });
        range.first = range.first.min(record.seq);
        range.last = range.last.max(record.seq);
        range.count += 1;
    }
    runs.into_values().collect()
}

#[cfg(test)]
mod tests;
