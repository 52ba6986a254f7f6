//! `security/summary.md`: one page for a job summary, at most [`MAX_LINES`] lines.
//!
//! Every value that a build could choose (host, program, class of a wall's message) stands in a
//! code span, where Markdown has no links, mentions, markup or HTML; see [`code`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use belljar_model::{
    Class, EgressRecord, EgressVerdict, Label, LayerReport, OnDeny, OsText, Plan, Reason, Rule,
    SelfTest, State,
};

/// Longer pages are cut off by the services that show them.
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the limits below keep to it; a test holds them to it"
    )
)]
pub const MAX_LINES: usize = 60;
/// Groups of destinations, in the order of how often they were asked for.
const MAX_GROUPS: usize = 24;
/// Self-test probes that were not denied.
const MAX_HOLES: usize = 6;
/// Walls that are not whole.
const MAX_WALLS: usize = 6;
/// Allow rules.
const MAX_RULES: usize = 6;
/// Characters of one value.
const MAX_VALUE: usize = 80;

/// Renders the page.
pub fn render(
    records: &[EgressRecord],
    selftest: &SelfTest,
    plan: &Plan,
    layers: &[LayerReport],
    lost: u64,
) -> String {
    let mut out = String::from("# Egress\n\n");
    let counts = super::by_class(records);
    headline(&mut out, records, plan.on_deny, lost);
    if lost > 0 {
        line(
            &mut out,
            format_args!("**Incomplete: {lost} records were lost.**\n"),
        );
    }
    policy(&mut out, plan);
    destinations(&mut out, records);
    classes(&mut out, &counts);
    probes(&mut out, selftest);
    walls(&mut out, layers);
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    let _ = out.write_fmt(text);
    out.push('\n');
}

fn headline(out: &mut String, records: &[EgressRecord], on_deny: OnDeny, lost: u64) {
    let denied = records
        .iter()
        .filter(|r| r.class == Class::External && r.verdict == EgressVerdict::Deny)
        .count();
    let attempts = if denied == 1 { "attempt" } else { "attempts" };
    let gates = match on_deny {
        OnDeny::Record => "Recorded; the policy does not gate on it",
        OnDeny::Fail => "This gates: `on_deny = \"fail\"`",
    };
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

fn destinations(out: &mut String, records: &[EgressRecord]) {
    let mut groups: BTreeMap<(&OsText, &OsText), Group> = BTreeMap::new();
    for record in records.iter().filter(|r| r.class == Class::External) {
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
    out.push_str("| Host | Port | Program | Attempts | Runs | Why |\n");
    out.push_str("|---|---|---|---:|---|---|\n");
    for ((host, program), group) in groups.iter().take(MAX_GROUPS) {
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
    if groups.len() > MAX_GROUPS {
        let rest: u64 = groups[MAX_GROUPS..].iter().map(|(_, g)| g.count).sum();
        line(
            out,
            format_args!(
                "\n{} more destinations with {rest} attempts are in `egress.ndjson`.",
                groups.len() - MAX_GROUPS
            ),
        );
    }
    out.push('\n');
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
    out.push_str("| Class | Records | Gates | What it is |\n|---|---:|---|---|\n");
    for (class, gates, what) in [
        (
            Class::External,
            "with `on_deny = \"fail\"`",
            "a destination outside the sandbox",
        ),
        (Class::Loopback, "never", "the sandbox's own loopback"),
        (Class::LocalIpc, "never", "a local socket"),
        (Class::Probe, "never", "a call that sends nothing"),
    ] {
        line(
            out,
            format_args!(
                "| {} | {} | {gates} | {what} |",
                class.name(),
                counts.get(&class).copied().unwrap_or(0)
            ),
        );
    }
    out.push('\n');
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
