//! The `security/` folder as bytes: what tried to leave, under which policy and walls, and the
//! proof that the walls stood.
//!
//! Pure: model values in, file contents out. It reads no clock, no disk and no environment, and
//! must not decide what gates; it says what the records, the self-test and the plan say.

mod ocsf;
mod sarif;
mod summary;

use std::collections::BTreeMap;

use belljar_model::{
    Class, EgressRecord, EgressVerdict, LayerReport, NetworkReport, OnDeny, Plan, ProbeCount,
    SecurityManifest, SelfTest, SeqRange, Sha256, Tool,
};
use serde::Serialize;

/// Their names.
pub const FILES: [&str; 7] = [
    "egress.ndjson",
    "egress.ocsf.ndjson",
    "egress.sarif",
    "manifest.json",
    "policy.toml",
    "selftest.json",
    "summary.md",
];

/// What the folder is made of.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Every run's.
    pub records: &'a [&'a EgressRecord],
    /// What they come to.
    pub network: &'a NetworkReport,
    /// Every run's probes.
    pub selftest: &'a SelfTest,
    /// The request.
    pub plan: &'a Plan,
    /// Run A's walls.
    pub layers: &'a [LayerReport],
    /// Records of every run that could not be kept.
    pub lost: u64,
    /// When the command began, RFC 3339.
    pub started: &'a str,
}

/// Renders the files of `security/` by name.
pub fn render(scene: &Scene<'_>) -> BTreeMap<String, Vec<u8>> {
    let Scene {
        records,
        selftest,
        plan,
        layers,
        lost,
        started,
        ..
    } = *scene;
    let mut files: BTreeMap<String, Vec<u8>> = [
        ("egress.ndjson", ndjson(records)),
        (
            "egress.ocsf.ndjson",
            ocsf::render(records, selftest, plan, started),
        ),
        ("egress.sarif", sarif::render(records, plan, lost)),
        ("summary.md", summary::render(scene).into_bytes()),
        ("selftest.json", super::json(selftest)),
        ("policy.toml", policy(plan)),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into();
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
        policy_sha256: plan.egress.digest(),
        records: by_class(records),
        external: by_verdict(records),
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
fn ndjson(records: &[&EgressRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        // The model's types always serialise: writing to memory can't fail.
        let _ = serde_json::to_writer(&mut out, record);
        out.push(b'\n');
    }
    out
}

/// What stands above the policy.
const USED: &str = "\
# The policy as it was used, defaults filled in; what is false is left out. The rules are those of
# `belljar.toml`. Of a credential there is where it goes, never where it comes from.
";

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
    let digest = plan.egress.digest();
    let tables = toml::to_string(&policy).unwrap_or_default();
    format!("{USED}# SHA-256 of the `egress` part in its canonical form: {digest}\n{tables}")
        .into_bytes()
}

/// How many records each class has, those without one left out.
pub fn by_class(records: &[&EgressRecord]) -> BTreeMap<Class, u64> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record.class).or_insert(0) += 1;
    }
    counts
}

/// How many records of class external each verdict has, those without one left out.
fn by_verdict(records: &[&EgressRecord]) -> BTreeMap<EgressVerdict, u64> {
    let mut counts = BTreeMap::new();
    for record in records.iter().filter(|r| r.class == Class::External) {
        *counts.entry(record.verdict).or_insert(0) += 1;
    }
    counts
}

fn ranges(records: &[&EgressRecord]) -> Vec<SeqRange> {
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
