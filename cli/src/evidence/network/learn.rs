//! From what a build was seen to fetch to the smallest policy that allows it: exact hosts, ports and
//! methods, no wildcard.
//!
//! Pure. What was denied while learning is never allowed by what was learned: it is listed as a comment.
//! While learning, TLS is opened, so that denials in it are seen; the rules ask for that only if they are
//! to hold requests to their methods (`inspect`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use belljar_model::{EgressRecord, EgressVerdict, OsText, Reason, Rule, RunReport};

use belljar_proxy::address::classify;

use super::rules::{Wanted, host, method};
use super::{passed, refused};
use crate::evidence::report::words;

/// Programs named beside a rule.
const PROGRAMS: usize = 4;
/// Denied destinations listed.
const DENIED: usize = 50;

/// What was learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// `[[egress.allow]]` tables with comments, for `belljar.toml`.
    pub toml: String,
    /// How many rules there are.
    pub rules: usize,
    /// How many destinations stay denied.
    pub denied: usize,
}

/// What the destinations of one rule have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Shape {
    /// What may be asked, in order; empty: it is not held to a method, or not seen.
    methods: BTreeSet<String>,
    websocket: bool,
    /// Where the host is, if that is not public: a rule has to name it.
    addresses: BTreeSet<String>,
}

/// Who asked for something, and how much was sent.
#[derive(Debug, Default)]
struct Use {
    programs: BTreeMap<OsText, u64>,
    up: u64,
}

/// Host and port.
type Place = (String, u16);

/// Writes the rules for what was let through to be learned. `None`: records were lost, so that the
/// rules could lack something.
pub fn learn(records: &[EgressRecord], report: &RunReport, inspect: bool) -> Option<Learned> {
    if report.records_lost > 0 {
        return None;
    }
    let mut shapes: BTreeMap<Place, Shape> = BTreeMap::new();
    let mut uses: BTreeMap<Place, Use> = BTreeMap::new();
    let mut odd: BTreeSet<String> = BTreeSet::new();
    for record in records.iter().filter(|r| new(r)) {
        let Some(name) = host(record.ask.host.as_bytes()) else {
            odd.insert(words::place(&record.ask.host, record.ask.port));
            continue;
        };
        let place = (name, record.ask.port);
        let known = uses.entry(place.clone()).or_default();
        *known.programs.entry(record.proc.exe.clone()).or_insert(0) += 1;
        known.up += record.when.bytes.map_or(0, |bytes| bytes.up);
        shapes.entry(place).or_default().widen(record, inspect);
    }
    if !inspect {
        // A rule that names no method has these two; HEAD tells nothing that GET does not, and a rule that
        // names methods has TLS opened.
        let default = |method: &String| Rule::METHODS.contains(&method.as_str());
        let plain = shapes
            .values_mut()
            .filter(|s| s.methods.iter().all(default));
        plain.for_each(|shape| shape.methods.clear());
    }
    let rules = grouped(shapes);
    let mut out = head(&rules, report);
    for ((host, shape), ports) in &rules {
        block(&mut out, host, shape, ports, &uses);
    }
    let denied = left_out(&mut out, records, &odd);
    Some(Learned {
        toml: out,
        rules: rules.len(),
        denied,
    })
}

/// Let through, and by no rule that is there already.
fn new(record: &EgressRecord) -> bool {
    let known = record.exchange.would == Some(EgressVerdict::Allow);
    passed(record) && record.reason == Reason::Learned && !known
}

impl Shape {
    fn widen(&mut self, record: &EgressRecord, inspect: bool) {
        let exchange = &record.exchange;
        let tls = exchange.sni.is_some() || matches!(&*record.ask.protocol, "tls" | "https");
        let seen = exchange.method.as_deref().filter(|m| *m != "CONNECT");
        let seen = seen.filter(|_| inspect || !tls);
        self.methods.extend(seen.and_then(method));
        self.websocket |= exchange.status == Some(101);
        let hidden = |ip: &&IpAddr| classify(**ip).reason().is_some();
        let answers = record.when.answers.iter().filter(hidden);
        self.addresses.extend(answers.map(IpAddr::to_string));
    }
}

/// Ports of one host of which the same may be asked are one rule.
fn grouped(shapes: BTreeMap<Place, Shape>) -> BTreeMap<(String, Shape), Vec<u16>> {
    let mut rules: BTreeMap<(String, Shape), Vec<u16>> = BTreeMap::new();
    for ((host, port), shape) in shapes {
        rules.entry((host, shape)).or_default().push(port);
    }
    rules
}

fn head(rules: &BTreeMap<(String, Shape), Vec<u16>>, report: &RunReport) -> String {
    let mut out = String::from(
        "# Learned by `belljar egress learn`: what the build was seen to need, and nothing else.\n",
    );
    let well = report.ended_by == belljar_model::EndedBy::Command && report.status == Some(0);
    if !well {
        let _ = writeln!(
            out,
            "# The build {}: it may need more.",
            words::ending(report)
        );
    }
    if rules.is_empty() {
        out.push_str("# Nothing was let through that is not allowed already.\n");
    }
    out
}

fn block(out: &mut String, host: &str, shape: &Shape, ports: &[u16], uses: &BTreeMap<Place, Use>) {
    let mut programs: BTreeMap<&OsText, u64> = BTreeMap::new();
    let mut up = 0;
    for known in ports
        .iter()
        .filter_map(|port| uses.get(&(host.to_owned(), *port)))
    {
        up += known.up;
        for (program, n) in &known.programs {
            *programs.entry(program).or_insert(0) += n;
        }
    }
    let asked =
        |(program, n): (&&OsText, &u64)| format!("{program} ({})", words::count(*n, "time"));
    let mut named: Vec<String> = programs.iter().take(PROGRAMS).map(asked).collect();
    if programs.len() > PROGRAMS {
        named.push(format!("{} more", programs.len() - PROGRAMS));
    }
    let wanted = Wanted {
        host: host.to_owned(),
        ports: ports.to_vec(),
        methods: shape.methods.iter().cloned().collect(),
        websocket: shape.websocket,
        addresses: shape.addresses.iter().cloned().collect(),
        // Twice what was seen, where the limit of a rule that names none would be too near.
        max_up: (up > Rule::MAX_UP / 2).then(|| up.saturating_mul(2).next_power_of_two()),
        ..Wanted::default()
    };
    let _ = write!(
        out,
        "\n# asked for by {}\n{}",
        named.join(", "),
        wanted.toml()
    );
}

/// What no learned rule allows, and why.
fn left_out(out: &mut String, records: &[EgressRecord], odd: &BTreeSet<String>) -> usize {
    let denied = refused(records.iter());
    let total = denied.len() + odd.len();
    if total == 0 {
        return 0;
    }
    out.push_str("\n# Denied while learning, and not allowed by these rules:\n");
    for refused in denied.iter().take(DENIED) {
        let place = words::place(&refused.host, refused.port);
        let _ = writeln!(
            out,
            "#   {place} by {}: {}, {}; {}",
            refused.exe,
            refused.reason.name(),
            refused.reason.meaning(),
            refused.reason.remedy()
        );
        for line in refused.rule.iter().flat_map(|rule| rule.lines()) {
            let _ = writeln!(out, "#     {line}");
        }
    }
    for place in odd.iter().take(DENIED) {
        let _ = writeln!(out, "#   {place}: no rule can name it");
    }
    let shown = denied.len().min(DENIED) + odd.len().min(DENIED);
    if total > shown {
        let _ = writeln!(
            out,
            "#   and {} more, in security/egress.ndjson",
            total - shown
        );
    }
    total
}

#[cfg(test)]
mod tests;
