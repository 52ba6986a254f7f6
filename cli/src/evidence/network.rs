//! What the records say of the network, for `result.json`: who was refused and how to allow it, what was
//! let through, and in what two runs are not alike.
//!
//! Pure, and no judge: what gates is decided in [`super::verdict`]. A look-up of a name is never a
//! request, and what a rule let through is never a denial.

pub mod fix;
pub mod learn;
pub mod rules;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use belljar_model::{
    Bytes, Class, EgressLayer, EgressRecord, EgressVerdict, Fetch, Findings, Label, NetworkReport,
    OneSided, OsText, Plan, Reason, Refused, Request,
};

/// Whether it counts as a denial. Nothing else may decide this.
pub fn denied(record: &EgressRecord) -> bool {
    record.class == Class::External && record.verdict == EgressVerdict::Deny
}

/// Whether the proxy let a connection or a request through, or served it from the recording.
pub fn passed(record: &EgressRecord) -> bool {
    record.class == Class::External
        && record.verdict == EgressVerdict::Allow
        && record.layer == EgressLayer::Proxy
}

/// What `result.json` says. `records` holds every run's; `pair`: both runs of a pair were made.
pub fn report(plan: &Plan, records: &[&EgressRecord], pair: bool) -> NetworkReport {
    let count = |keep: &dyn Fn(&EgressRecord) -> bool| {
        records.iter().filter(|record| keep(record)).count() as u64
    };
    let recording = plan.egress.fetch == Fetch::Replayed;
    let answered = |r: &EgressRecord| passed(r) && r.exchange.status.is_some();
    let of =
        |run| -> Vec<&EgressRecord> { records.iter().copied().filter(|r| r.run == run).collect() };
    let (a, b) = (of(Label::A), of(Label::B));
    NetworkReport {
        policy_sha256: plan.egress.digest(),
        denied: count(&denied),
        allowed: count(&passed),
        refused: Findings::of(refused(records.iter().copied())),
        recorded: count(&|r| recording && r.run == Label::A && answered(r)),
        served: count(&|r| passed(r) && r.exchange.replayed),
        drift: if pair {
            drift(&a, &b)
        } else {
            OneSided::default()
        },
        denials: if pair {
            denials(&a, &b)
        } else {
            OneSided::default()
        },
        credentials: credentials(records),
    }
}

/// Bytes that the proxy let out and in.
pub fn bytes(records: &[&EgressRecord]) -> Option<Bytes> {
    let mut seen = records.iter().filter(|r| passed(r) && !r.exchange.replayed);
    let mut sum = Bytes { up: 0, down: 0 };
    let first = seen.next()?;
    for bytes in std::iter::once(first)
        .chain(seen)
        .filter_map(|r| r.when.bytes)
    {
        sum.up = sum.up.saturating_add(bytes.up);
        sum.down = sum.down.saturating_add(bytes.down);
    }
    Some(sum)
}

/// The denied destinations, the most wanted first.
pub fn refused<'a>(records: impl Iterator<Item = &'a EgressRecord>) -> Vec<Refused> {
    let mut groups: BTreeMap<_, Vec<&EgressRecord>> = BTreeMap::new();
    for record in records.filter(|record| denied(record)) {
        groups.entry(place(record)).or_default().push(record);
    }
    let mut all: Vec<Refused> = groups
        .into_iter()
        .map(|((host, port, exe, reason), records)| {
            let fix = fix::of(&records);
            Refused {
                host: host.clone(),
                port,
                exe: exe.clone(),
                reason,
                count: records.len() as u64,
                flag: fix.as_ref().and_then(fix::Fix::flag),
                rule: fix.map(|fix| fix.rule()),
            }
        })
        .collect();
    // Stable: equal counts stay in the order of host, port and program.
    all.sort_by_key(|refused| Reverse(refused.count));
    all
}

/// The port that was asked for; a look-up of a name says nothing of it.
fn port(record: &EgressRecord) -> u16 {
    match record.layer {
        EgressLayer::Dns => 0,
        EgressLayer::Proxy | EgressLayer::Notify => record.ask.port,
    }
}

/// What two denials have to have in common to be the same one.
fn place(record: &EgressRecord) -> (&OsText, u16, &OsText, Reason) {
    (
        &record.ask.host,
        port(record),
        &record.proc.exe,
        record.reason,
    )
}

/// Denials that only one run has; how often does not count.
fn denials(a: &[&EgressRecord], b: &[&EgressRecord]) -> OneSided<Refused> {
    // A request that is not in the recording is drift.
    let own = |run: &[&EgressRecord]| {
        refused(
            run.iter()
                .copied()
                .filter(|r| r.reason != Reason::ReplayMiss),
        )
    };
    let key = |r: &Refused| (r.host.clone(), r.port, r.exe.clone(), r.reason);
    let (a, b) = (own(a), own(b));
    let minus = |these: &[Refused], those: &[Refused]| {
        let those: std::collections::BTreeSet<_> = those.iter().map(key).collect();
        let only = these.iter().filter(|r| !those.contains(&key(r)));
        Findings::of(only.cloned().collect())
    };
    OneSided {
        only_a: minus(&a, &b),
        only_b: minus(&b, &a),
    }
}

type Asked<'a> = (&'a OsText, u16, Option<&'a str>, Option<&'a OsText>);

fn asked(record: &EgressRecord) -> Asked<'_> {
    let exchange = &record.exchange;
    let (host, port) = (&record.ask.host, record.ask.port);
    (
        host,
        port,
        exchange.method.as_deref(),
        exchange.path.as_ref(),
    )
}

fn counted<'a>(records: impl Iterator<Item = &'a EgressRecord>) -> BTreeMap<Asked<'a>, u64> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(asked(record)).or_insert(0) += 1;
    }
    counts
}

/// Requests that only one run made. How often is not compared: what retries, or polls, would drift
/// every time. What B asked for and was not in the recording is drift however it looks.
fn drift(a: &[&EgressRecord], b: &[&EgressRecord]) -> OneSided<Request> {
    let in_a = counted(a.iter().copied().filter(|r| passed(r)));
    let in_b = counted(b.iter().copied().filter(|r| passed(r)));
    let missed = counted(
        b.iter()
            .copied()
            .filter(|r| denied(r) && r.reason == Reason::ReplayMiss),
    );
    let only_a = in_a.iter().filter(|(asked, _)| !in_b.contains_key(*asked));
    let mut only_b = missed;
    for (asked, n) in in_b.iter().filter(|(asked, _)| !in_a.contains_key(*asked)) {
        *only_b.entry(*asked).or_insert(0) += n;
    }
    OneSided {
        only_a: Findings::of(only_a.map(request).collect()),
        only_b: Findings::of(only_b.iter().map(request).collect()),
    }
}

fn request((asked, count): (&Asked<'_>, &u64)) -> Request {
    let (host, port, method, path) = *asked;
    Request {
        host: host.clone(),
        port,
        method: method.map(str::to_owned),
        path: path.cloned(),
        count: *count,
    }
}

fn credentials(records: &[&EgressRecord]) -> BTreeMap<String, u64> {
    let mut uses = BTreeMap::new();
    for label in records
        .iter()
        .filter_map(|r| r.exchange.credential.as_ref())
    {
        *uses.entry(label.clone()).or_insert(0) += 1;
    }
    uses
}

/// Flags that one hint names.
const FLAGS: usize = 3;

/// What a build that failed over denials needs: one step.
pub fn hint(records: &[EgressRecord]) -> Option<String> {
    let all = refused(records.iter());
    let first = all.first()?;
    let place = match first.port {
        0 => first.host.to_string(),
        port => format!("{}:{port}", first.host),
    };
    let mut flags: Vec<&str> = all.iter().filter_map(|r| r.flag.as_deref()).collect();
    flags.sort_unstable();
    flags.dedup();
    let learn = "`belljar egress learn` writes the rules for all that it asks for";
    if flags.is_empty() {
        return Some(match (&first.rule, first.reason) {
            (Some(_), _) => {
                format!("it needs {place}: `security/summary.md` has the rule; {learn}")
            }
            (None, reason) => format!(
                "{place} is denied, {}: {}",
                reason.meaning(),
                reason.remedy()
            ),
        });
    }
    let more = flags.len() > FLAGS;
    let flags = flags[..flags.len().min(FLAGS)].join(" ");
    let and = if more { " and more" } else { "" };
    Some(format!(
        "it needs the network: allow it with `{flags}`{and}; {learn}; `--cache` does without"
    ))
}

#[cfg(test)]
mod tests;
