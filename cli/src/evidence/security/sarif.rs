//! `security/egress.sarif`: what was refused, for services that show findings beside the source (SARIF
//! 2.1.0). One result for each reason, host and program, however often it was asked for.
//!
//! SARIF's messages know links and placeholders; what a build chose is made free of both.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use belljar_model::{EgressRecord, Label, OnDeny, OsText, Plan, Reason, Sha256};
use serde_json::{Value, json};

use super::super::network::{denied, fix, passed};

/// Services take no more.
pub const MAX_RESULTS: usize = 5000;
/// Bytes of a message.
pub const MAX_MESSAGE: usize = 1024;
/// Programs of a chain.
const MAX_CHAIN: usize = 16;
/// Characters of one name in a message.
const MAX_NAME: usize = 200;

/// What the records of one reason, host and program have in common.
struct Group<'a> {
    first: &'a EgressRecord,
    last: &'a EgressRecord,
    count: u64,
    ports: BTreeSet<u16>,
    runs: BTreeSet<Label>,
}

/// Renders the log.
pub fn render(records: &[&EgressRecord], plan: &Plan, lost: u64) -> Vec<u8> {
    let groups = grouped(records);
    let shown = &groups[..groups.len().min(MAX_RESULTS)];
    let reasons: BTreeSet<Reason> = shown.iter().map(|g| g.first.reason).collect();
    let reasons: Vec<Reason> = reasons.into_iter().collect();
    let rules: Vec<Value> = reasons.iter().map(|reason| rule(*reason)).collect();
    let results: Vec<Value> = shown
        .iter()
        .map(|group| result(group, &reasons, plan.on_deny))
        .collect();
    super::super::json(&json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "belljar",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "automationDetails": { "id": "belljar/egress/" },
            "invocations": [{
                "executionSuccessful": lost == 0,
                "toolExecutionNotifications": notices(groups.len() - shown.len(), lost),
            }],
            "results": results,
        }],
    }))
}

/// Denials, and what was let through to be learned; the most wanted first.
fn grouped<'a>(records: &[&'a EgressRecord]) -> Vec<Group<'a>> {
    let learned = |r: &EgressRecord| passed(r) && r.reason == Reason::Learned;
    let mut groups: BTreeMap<(Reason, &OsText, &OsText), Group<'a>> = BTreeMap::new();
    for record in records.iter().copied().filter(|r| denied(r) || learned(r)) {
        let key = (record.reason, &record.ask.host, &record.proc.exe);
        let group = groups.entry(key).or_insert_with(|| Group {
            first: record,
            last: record,
            count: 0,
            ports: BTreeSet::new(),
            runs: BTreeSet::new(),
        });
        group.last = record;
        group.count += 1;
        group.ports.insert(record.ask.port);
        group.runs.insert(record.run);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    // Stable: equal counts stay in the order of reason, host and program.
    groups.sort_by_key(|group| Reverse(group.count));
    groups
}

fn rule(reason: Reason) -> Value {
    json!({
        "id": reason.name(),
        "shortDescription": { "text": reason.meaning() },
        "help": { "text": format!("{}. What to do: {}.", sentence(reason.meaning()), reason.remedy()) },
    })
}

fn result(group: &Group<'_>, reasons: &[Reason], on_deny: OnDeny) -> Value {
    let record = group.first;
    let level = match (denied(record), on_deny) {
        (false, _) => "note",
        (true, OnDeny::Fail) => "error",
        (true, OnDeny::Record) => "warning",
    };
    let at = |record: &EgressRecord| json!({ "run": record.run, "seq": record.seq });
    let mut properties = json!({
        "count": group.count,
        "ports": group.ports.iter().take(64).collect::<Vec<_>>(),
        "runs": group.runs,
        "first": at(record),
        "last": at(group.last),
    });
    if let Some(fix) = denied(record).then(|| fix::of(&[record])).flatten() {
        properties["rule"] = fix.rule().into();
    }
    json!({
        "ruleId": record.reason.name(),
        "ruleIndex": reasons.iter().position(|r| *r == record.reason),
        "level": level,
        "message": { "text": message(group) },
        "locations": [{
            // Findings are shown at a place in the source: this is where a rule belongs.
            "physicalLocation": {
                "artifactLocation": { "uri": "belljar.toml", "uriBaseId": "%SRCROOT%" },
                "region": { "startLine": 1 },
            },
            "logicalLocations": chain(record),
        }],
        "partialFingerprints": { "belljarEgress/v1": fingerprint(record) },
        "properties": properties,
    })
}

fn message(group: &Group<'_>) -> String {
    let record = group.first;
    let ask = &record.ask;
    let host = inert(&ask.host);
    let place = match (group.ports.len(), ask.port) {
        (1, port) if port != 0 => format!("{host}:{port}"),
        _ => host,
    };
    let what = if denied(record) {
        "denied to"
    } else {
        "let through for"
    };
    let times = if group.count == 1 { "once" } else { "times" };
    let n = match group.count {
        1 => times.to_owned(),
        n => format!("{n} {times}"),
    };
    let reason = record.reason;
    let mut text = format!(
        "{place} was {what} {} {n}: {}. What to do: {}.",
        inert(&record.proc.exe),
        reason.meaning(),
        reason.remedy()
    );
    if text.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE - 3)
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

/// The programs from the build's first to the one that asked.
fn chain(record: &EgressRecord) -> Value {
    let name = |argv: &Vec<OsText>| argv.first().map(inert);
    let nearest = record.proc.chain.iter().take(MAX_CHAIN);
    let mut names: Vec<String> = nearest.filter_map(name).collect();
    names.reverse();
    let own = inert(&record.proc.exe);
    names.push(own.clone());
    json!([{ "name": own, "fullyQualifiedName": names.join(" > "), "kind": "process" }])
}

/// The same finding has the same one in every run, on every machine.
fn fingerprint(record: &EgressRecord) -> String {
    let mut bytes = record.reason.name().as_bytes().to_vec();
    for part in [&record.ask.host, &record.proc.exe] {
        bytes.push(0);
        bytes.extend_from_slice(part.as_bytes());
    }
    Sha256::of(&bytes).to_string()
}

fn notices(hidden: usize, lost: u64) -> Vec<Value> {
    let hidden = (hidden > 0).then(|| {
        let text = format!("{hidden} more results are in egress.ndjson");
        json!({ "level": "warning", "message": { "text": text } })
    });
    let lost = (lost > 0).then(|| {
        let text = format!("{lost} egress records were lost: the results are not complete");
        json!({ "level": "error", "message": { "text": text } })
    });
    hidden.into_iter().chain(lost).collect()
}

/// A name without what a message would read as link, placeholder or markup.
fn inert(name: &OsText) -> String {
    let mut out = String::new();
    for c in name.to_string().chars().take(MAX_NAME) {
        if matches!(
            c,
            '[' | ']' | '(' | ')' | '{' | '}' | '<' | '>' | '`' | '&' | '@'
        ) {
            // Writing to a string can't fail.
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    if out.is_empty() {
        "(empty)".into()
    } else {
        out
    }
}

fn sentence(phrase: &str) -> String {
    let mut chars = phrase.chars();
    chars
        .next()
        .map(|c| c.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}
