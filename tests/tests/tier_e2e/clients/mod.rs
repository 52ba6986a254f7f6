//! Real clients, each twice: refused, with a record that names what it asked for; then let through by
//! rules that are taken from the records of its own refusals and nothing else.

mod outside;
mod registries;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use belljar_tests::{Project, Ran};

/// The records of the last command.
pub(crate) fn records(project: &Project) -> Vec<Value> {
    let text = project.evidence().text("security/egress.ndjson");
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l}: {e}")))
        .collect()
}

/// Records of what was refused, and counts.
pub(crate) fn refused(records: &[Value]) -> Vec<&Value> {
    let gates = |r: &&Value| r["verdict"] == "deny" && r["class"] == "external";
    records.iter().filter(gates).collect()
}

/// Records of what was let through.
pub(crate) fn allowed(records: &[Value]) -> Vec<&Value> {
    let passed = |r: &&Value| r["verdict"] == "allow" && r["class"] == "external";
    records.iter().filter(passed).collect()
}

/// What refusals ask for: ports and addresses by host.
#[derive(Debug, Default)]
pub(crate) struct Wanted(BTreeMap<String, (BTreeSet<u64>, BTreeSet<String>)>);

impl Wanted {
    /// Takes in further refusals; true if any was new.
    pub(crate) fn learn(&mut self, records: &[Value]) -> bool {
        let mut new = false;
        for record in refused(records) {
            let host = record["ask"]["host"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            // A look-up of a service, not of a host: whoever makes it asks for the host next.
            if host.starts_with('_') {
                continue;
            }
            let (ports, addresses) = self.0.entry(host).or_insert_with(|| {
                new = true;
                Default::default()
            });
            // A refused look-up says nothing of a port.
            if record["layer"] == "proxy" {
                new |= ports.insert(record["ask"]["port"].as_u64().unwrap_or(0));
            }
            if matches!(
                record["reason"].as_str(),
                Some("private_address" | "self_address")
            ) {
                for answer in record["when"]["answers"].as_array().into_iter().flatten() {
                    new |= addresses.insert(answer.as_str().unwrap_or_default().into());
                }
            }
        }
        new
    }

    /// As rules, `more` added to each.
    pub(crate) fn rules(&self, more: &str) -> String {
        let mut text = String::new();
        for (host, (ports, addresses)) in &self.0 {
            let _ = write!(text, "[[egress.allow]]\nhost = {host:?}\n");
            if !ports.is_empty() {
                let _ = writeln!(text, "ports = {ports:?}");
            }
            if !addresses.is_empty() {
                let _ = writeln!(text, "addresses = {addresses:?}");
            }
            let _ = writeln!(text, "{more}");
        }
        text.replace('{', "[").replace('}', "]")
    }
}

/// Runs a client until its own refusals ask for nothing new; what it did at last, and the rules. The
/// first run is without any rule, and `refusal` looks at it.
pub(crate) fn until_allowed(
    project: &Project,
    run: impl Fn() -> Ran,
    more: &str,
    refusal: impl Fn(&Ran, &[Value]),
) -> (Ran, String) {
    project.write("belljar.toml", "");
    let first = run();
    let mut wanted = Wanted::default();
    let records_of_it = records(project);
    refusal(&first, &records_of_it);
    wanted.learn(&records_of_it);
    for _ in 0..8 {
        let rules = wanted.rules(more);
        project.write("belljar.toml", &rules);
        let ran = run();
        if !wanted.learn(&records(project)) {
            return (ran, rules);
        }
    }
    panic!("it always asks for more:\n{}", wanted.rules(more));
}
