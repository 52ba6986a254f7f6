//! `security/summary.md`: one page for a job summary, at most [`MAX_LINES`] lines.
//!
//! Every value that a build could choose (host, program, class of a wall's message) stands in a
//! code span, where Markdown has no links, mentions, markup or HTML; see [`code`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use belljar_model::{
    Class, EgressRecord, Findings, Label, LayerReport, NetworkReport, OnDeny, OsText, Plan, Reason,
    Request, Rule, SelfTest, State,
};

use super::super::network::{denied, passed};
use super::super::report::words;
use super::Scene;

/// Longer pages are cut off by the services that show them.
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the limits below keep to it; a test holds them to it"
    )
)]
pub const MAX_LINES: usize = 60;
/// Destinations that were denied, in the order of how often they were asked for.
const MAX_GROUPS: usize = 6;
/// The same where nothing was let through.
const MAX_GROUPS_ALONE: usize = 16;
/// Lines of rules that would allow them.
const MAX_FIX: usize = 9;
/// Destinations that were let through.
const MAX_PASSED: usize = 4;
/// Self-test probes that were not denied.
const MAX_HOLES: usize = 3;
/// Walls that are not whole.
const MAX_WALLS: usize = 3;
/// Allow rules.
const MAX_RULES: usize = 6;
/// Characters of one value.
const MAX_VALUE: usize = 80;

/// Renders the page.
pub fn render(scene: &Scene<'_>) -> String {
    let mut out = String::from("# Egress\n\n");
    let Scene { records, plan, .. } = *scene;
    headline(&mut out, scene);
    if scene.lost > 0 {
        let lost = scene.lost;
        line(
            &mut out,
            format_args!("**Incomplete: {lost} records were lost.**\n"),
        );
    }
    policy(&mut out, plan);
    denials(&mut out, scene);
    passing(&mut out, records);
    pair(&mut out, scene.network);
    classes(&mut out, &super::by_class(records));
    probes(&mut out, scene.selftest);
    walls(&mut out, scene.layers);
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    let _ = out.write_fmt(text);
    out.push('\n');
}

fn headline(out: &mut String, scene: &Scene<'_>) {
    let (denied, lost) = (scene.network.denied, scene.lost);
    let attempts = if denied == 1 { "attempt" } else { "attempts" };
    let gates = match scene.plan.on_deny {
        OnDeny::Record => "Recorded; the policy does not gate on it",
        OnDeny::Fail => "This gates: `on_deny = \"fail\"`",
    };
    let passed = scene.network.allowed;
    if denied == 0 && lost == 0 && passed > 0 {
        line(
            out,
            format_args!("Nothing was denied; {passed} requests were let through.\n"),
        );
        return;
    }
    match (denied, lost) {
        (0, 0) => line(out, format_args!("Nothing tried to leave the sandbox.\n")),
        (0, _) => line(
            out,
            format_args!("No attempt to leave the sandbox was recorded.\n"),
        ),
        (n, _) => line(
            out,
            format_args!("**{n} {attempts} to leave the sandbox denied.** {gates}.\n"),
        ),
    }
}

fn policy(out: &mut String, plan: &Plan) {
    if !plan.egress.opens() {
        line(out, format_args!("Policy: deny everything.\n"));
        return;
    }
    let mut rules: Vec<_> = plan
        .egress
        .allow
        .iter()
        .take(MAX_RULES)
        .map(|rule| code(&named(rule)))
        .collect();
    if plan.egress.allow.len() > MAX_RULES {
        rules.push(format!("and {} more", plan.egress.allow.len() - MAX_RULES));
    }
    line(
        out,
        format_args!("Policy: deny everything but {}.\n", rules.join(", ")),
    );
}

/// A rule as the command line would have it.
fn named(rule: &Rule) -> String {
    let ports: Vec<_> = rule.ports.iter().map(u16::to_string).collect();
    format!("{}:{}", rule.host, ports.join(","))
}

/// What the records of one destination and program have in common.
#[derive(Default)]
struct Group {
    count: u64,
    runs: BTreeSet<Label>,
    reasons: BTreeSet<Reason>,
    ports: BTreeSet<u16>,
}

fn denials(out: &mut String, scene: &Scene<'_>) {
    let mut groups: BTreeMap<(&OsText, &OsText), Group> = BTreeMap::new();
    for record in scene.records.iter().filter(|r| denied(r)) {
        let group = groups
            .entry((&record.ask.host, &record.proc.exe))
            .or_default();
        group.count += 1;
        group.runs.insert(record.run);
        group.reasons.insert(record.reason);
        group.ports.insert(record.ask.port);
    }
    if groups.is_empty() {
        return;
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    // Stable: equal counts stay in the order of host and program.
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
    let room = if scene.network.allowed == 0 {
        MAX_GROUPS_ALONE
    } else {
        MAX_GROUPS
    };
    out.push_str("| Host | Port | Program | Attempts | Runs | Why |\n");
    out.push_str("|---|---|---|---:|---|---|\n");
    for ((host, program), group) in groups.iter().take(room) {
        line(
            out,
            format_args!(
                "| {} | {} | {} | {} | {} | {} |",
                code(&host.to_string()),
                ports(&group.ports),
                code(&program.to_string()),
                group.count,
                joined(group.runs.iter().map(|r| r.lower())),
                joined(group.reasons.iter().map(|r| r.name())),
            ),
        );
    }
    if groups.len() > room {
        let rest: u64 = groups[room..].iter().map(|(_, g)| g.count).sum();
        line(
            out,
            format_args!(
                "\n{} more destinations with {rest} attempts are in `egress.ndjson`.",
                groups.len() - room
            ),
        );
    }
    out.push('\n');
    fixes(out, scene.network);
}

/// The rules that would allow what was denied, to be pasted. They hold names of plain letters alone.
fn fixes(out: &mut String, network: &NetworkReport) {
    let mut rules: Vec<&str> = Vec::new();
    let mut left = MAX_FIX;
    let mut more = 0;
    for rule in network
        .refused
        .first
        .iter()
        .filter_map(|r| r.rule.as_deref())
    {
        if rules.contains(&rule) {
            continue;
        }
        match left.checked_sub(rule.lines().count()) {
            Some(rest) => {
                left = rest;
                rules.push(rule);
            }
            None => more += 1,
        }
    }
    if rules.is_empty() {
        return;
    }
    let more = match more {
        0 => String::new(),
        n => format!(" ({n} more in `result.json`)"),
    };
    line(
        out,
        format_args!(
            "To allow it, in `belljar.toml`{more}:\n\n```toml\n{}```\n",
            rules.concat()
        ),
    );
}

/// What the requests of one destination and program have in common.
#[derive(Default)]
struct Passed<'a> {
    count: u64,
    methods: BTreeSet<&'a str>,
    down: u64,
}

fn passing(out: &mut String, records: &[&EgressRecord]) {
    let mut groups: BTreeMap<(&OsText, u16, &OsText), Passed<'_>> = BTreeMap::new();
    for record in records.iter().filter(|r| passed(r)) {
        let key = (&record.ask.host, record.ask.port, &record.proc.exe);
        let group = groups.entry(key).or_default();
        group.count += 1;
        group.methods.extend(record.exchange.method.as_deref());
        group.down += record.when.bytes.map_or(0, |bytes| bytes.down);
    }
    if groups.is_empty() {
        return;
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
    out.push_str("| Let through | Port | Program | Methods | Requests | Bytes in |\n");
    out.push_str("|---|---:|---|---|---:|---:|\n");
    for ((host, port, program), group) in groups.iter().take(MAX_PASSED) {
        let methods = joined(group.methods.iter().take(4));
        line(
            out,
            format_args!(
                "| {} | {port} | {} | {} | {} | {} |",
                code(&host.to_string()),
                code(&program.to_string()),
                if methods.is_empty() {
                    "not seen".into()
                } else {
                    code(&methods)
                },
                group.count,
                group.down,
            ),
        );
    }
    if groups.len() > MAX_PASSED {
        let rest = groups.len() - MAX_PASSED;
        line(
            out,
            format_args!("\n{rest} more destinations are in `egress.ndjson`."),
        );
    }
    out.push('\n');
}

/// The recording, what two runs do not have alike, and credentials: a line each.
fn pair(out: &mut String, network: &NetworkReport) {
    let before = out.len();
    if network.recorded > 0 || network.served > 0 {
        line(
            out,
            format_args!(
                "- recording: {} requests of run A recorded, {} of further runs served from it",
                network.recorded, network.served
            ),
        );
    }
    let (only_a, only_b) = (&network.drift.only_a, &network.drift.only_b);
    if !network.drift.is_empty() {
        let of = |what: &Findings<Request>| match what.first.first() {
            Some(request) => {
                format!("{} (first {})", what.total, code(&words::request(request)))
            }
            None => "0".into(),
        };
        line(
            out,
            format_args!(
                "- **network drift**: requests only in run A: {}; only in run B: {}",
                of(only_a),
                of(only_b)
            ),
        );
    }
    if !network.denials.is_empty() {
        line(
            out,
            format_args!(
                "- denials only in run A: {}; only in run B: {}",
                network.denials.only_a.total, network.denials.only_b.total
            ),
        );
    }
    if !network.credentials.is_empty() {
        let uses = network.credentials.iter().take(6);
        let uses = uses.map(|(label, n)| format!("{} in {n} requests", code(label)));
        line(out, format_args!("- credentials: {}", joined(uses)));
    }
    if out.len() > before {
        out.push('\n');
    }
}

fn ports(ports: &BTreeSet<u16>) -> String {
    let shown = joined(ports.iter().take(4).map(u16::to_string));
    match ports.len() {
        0..=4 => shown,
        n => format!("{shown} and {} more", n - 4),
    }
}

fn joined(items: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut out = String::new();
    for item in items {
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(item.as_ref());
    }
    out
}

fn classes(out: &mut String, counts: &BTreeMap<Class, u64>) {
    let all = [
        Class::External,
        Class::Loopback,
        Class::LocalIpc,
        Class::Probe,
    ];
    let all = all.map(|class| {
        let n = counts.get(&class).copied().unwrap_or(0);
        format!("{n} {}", class.name())
    });
    line(
        out,
        format_args!(
            "Records: {}; only a denial of class external can gate.\n",
            all.join(", ")
        ),
    );
}

fn probes(out: &mut String, selftest: &SelfTest) {
    let made = selftest.probes.len();
    let denied = selftest.denied;
    if selftest.sealed() {
        line(
            out,
            format_args!(
                "Self-test inside the same walls: {denied} of {made} attempts to get out were denied."
            ),
        );
        return;
    }
    line(
        out,
        format_args!("**Self-test: only {denied} of {made} attempts to get out were denied.**"),
    );
    let holes: Vec<_> = selftest.probes.iter().filter(|p| !p.denied).collect();
    for probe in holes.iter().take(MAX_HOLES) {
        line(
            out,
            format_args!("- {}: {}", code(&probe.attempt), code(&probe.answer)),
        );
    }
    if holes.len() > MAX_HOLES {
        line(out, format_args!("- and {} more", holes.len() - MAX_HOLES));
    }
}

fn walls(out: &mut String, layers: &[LayerReport]) {
    let asked = layers.iter().filter(|l| l.state != State::NotAsked);
    let whole = asked.clone().filter(|l| l.state == State::Full);
    line(
        out,
        format_args!(
            "\nWalls: {} of {} stand whole.",
            whole.count(),
            asked.clone().count()
        ),
    );
    let weak: Vec<_> = asked.filter(|l| l.state != State::Full).collect();
    for layer in weak.iter().take(MAX_WALLS) {
        line(
            out,
            format_args!(
                "- {}: wanted {}, got {}{}",
                layer.layer.name(),
                code(&layer.wanted),
                code(&layer.got),
                layer
                    .why
                    .as_deref()
                    .map(|w| format!(" ({})", code(w)))
                    .unwrap_or_default(),
            ),
        );
    }
    if weak.len() > MAX_WALLS {
        line(out, format_args!("- and {} more", weak.len() - MAX_WALLS));
    }
}

/// A value as a code span. What could end the span (a backtick) or the table's cell (a bar), and
/// every control character, is escaped in the documents' own reversible form, `\xNN`; long values
/// are cut.
pub fn code(value: &str) -> String {
    if value.is_empty() {
        return "(empty)".into();
    }
    let mut out = String::from("`");
    for (n, c) in value.chars().enumerate() {
        if n == MAX_VALUE {
            out.push('…');
            break;
        }
        if matches!(c, '`' | '|') || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            let mut buf = [0; 4];
            for byte in c.encode_utf8(&mut buf).bytes() {
                let _ = write!(out, "\\x{byte:02x}");
            }
        } else {
            out.push(c);
        }
    }
    out.push('`');
    out
}
