//! The report for a terminal. Colours stand in the text; whoever prints it where they don't
//! belong strips them. No meaning is in a colour alone.

use std::fmt::Write as _;

use belljar_model::{Difference, Differences, EndedBy, LayerReport, ResultDoc, State, Verdict};
use belljar_sandbox::capture::{SCRATCH_LIST, scratch_rules};
use owo_colors::{OwoColorize as _, Style};

use super::escape::line;
use super::words;

/// Differing outputs shown before the rest is counted.
const SHOWN: usize = 10;
/// Denied destinations, and requests that drifted, shown before the rest is counted.
const REFUSED: usize = 5;

/// What to show.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The evidence folder as the reader calls it; absent where nothing was written.
    pub evidence: Option<&'a str>,
    /// What was exported, in a phrase.
    pub exported: Option<&'a str>,
    /// What is held, and the layers that stand.
    pub verbose: bool,
}

/// The whole report: the first line begins with `belljar:`, the others are indented.
pub fn render(doc: &ResultDoc, differences: Option<&Differences>, options: Options<'_>) -> String {
    let mut out = String::new();
    let word = doc.verdict.map_or(&*doc.command, |v| v.word());
    let _ = writeln!(
        out,
        "belljar: {}: {}",
        word.style(style(doc)),
        words::headline(doc)
    );
    // A single run that failed by itself has its own code, whatever else is missing.
    let by_itself = doc.verdict.is_none() && doc.ended_by == EndedBy::Command;
    let word = if by_itself { "besides:" } else { "because:" };
    for why in &doc.incomplete {
        let _ = writeln!(out, "  {word} {}", line(why));
    }
    if let Some(differences) = differences {
        outputs(&mut out, differences, ", in determinism/differences.json");
    }
    if doc.counts.scratch_differences > 0 {
        let n = words::count(doc.counts.scratch_differences, "difference");
        let _ = writeln!(
            out,
            "  {n} in scratch files, not counted (--strict-outputs counts them)"
        );
    }
    if options.verbose && doc.plan.outputs.globs.is_empty() && !doc.runs.is_empty() {
        scratch(&mut out);
    }
    variations(&mut out, doc, options.verbose);
    far(&mut out, doc);
    layers(&mut out, doc, options.verbose);
    network(&mut out, doc);
    for hint in &doc.hints {
        let _ = writeln!(out, "  {} {}", "hint:".bold(), line(hint));
    }
    if let Some(exported) = options.exported {
        let _ = writeln!(out, "  {}", line(exported));
    }
    if let Some(folder) = options.evidence {
        let folder = line(folder);
        let _ = writeln!(
            out,
            "  evidence: {}/result.json",
            folder.trim_end_matches('/')
        );
    }
    out
}

fn style(doc: &ResultDoc) -> Style {
    let good = Style::new().green().bold();
    let bad = Style::new().red().bold();
    let open = Style::new().yellow().bold();
    match doc.verdict {
        Some(Verdict::Reproducible) => good,
        Some(Verdict::Incomplete) => open,
        None if doc.exit_code == 0 => good,
        Some(_) | None => bad,
    }
}

/// The report of two files or trees that were compared without a run.
pub fn compared(differences: &Differences) -> String {
    let n = differences.gating().count() as u64;
    let total = words::count(differences.compared, "path");
    if n == 0 {
        let word = "identical".style(Style::new().green().bold());
        return format!("belljar: {word}: {total} compared\n");
    }
    let word = "differs".style(Style::new().red().bold());
    let found = words::count(n, "difference");
    let mut out = format!("belljar: {word}: {found} in {total}\n");
    outputs(&mut out, differences, ": --json has them all");
    out
}

/// `where_else` says where those are that are not shown.
fn outputs(out: &mut String, differences: &Differences, where_else: &str) {
    let gating: Vec<&Difference> = differences.gating().collect();
    for difference in gating.iter().take(SHOWN) {
        let what = words::difference(&difference.kind);
        let _ = writeln!(out, "  {}: {what}", difference.path.bold());
        for cause in &difference.causes {
            let sure = words::confidence(cause.confidence);
            let _ = writeln!(
                out,
                "    cause: {} ({sure}): {}",
                line(&cause.slug),
                line(&cause.evidence)
            );
            if !cause.fix.is_empty() {
                let _ = writeln!(out, "    fix: {}", line(&cause.fix));
            }
        }
    }
    let more = gating.len().saturating_sub(SHOWN);
    if more > 0 {
        let _ = writeln!(out, "  and {more} more{where_else}");
    }
}

/// What does not count as output unless it is declared.
fn scratch(out: &mut String) {
    let rules: Vec<&str> = scratch_rules().iter().map(|r| r.glob).collect();
    let _ = writeln!(out, "  scratch ({SCRATCH_LIST}): {}", rules.join(", "));
}

fn variations(out: &mut String, doc: &ResultDoc, verbose: bool) {
    let list = |all: &[belljar_model::Variation]| {
        let names: Vec<_> = all.iter().map(|v| words::variation(*v, doc)).collect();
        names.join(", ")
    };
    let of = &doc.variations;
    if !of.varied.is_empty() {
        let _ = writeln!(out, "  varied: {}", list(&of.varied));
    }
    // Where no second run was made, nothing was to have an effect.
    if !of.ineffective.is_empty() && doc.runs.len() > 1 {
        let _ = writeln!(out, "  without effect: {}", list(&of.ineffective));
    }
    if verbose && !of.held.is_empty() && doc.verdict.is_some() {
        let _ = writeln!(out, "  held: {}", line(&of.held.join(", ")));
    }
}

/// The far run, which does not gate.
fn far(out: &mut String, doc: &ResultDoc) {
    let Some(far) = &doc.far else { return };
    let ahead = doc.when.far_offset_s.map(words::offset);
    let ahead = ahead.map_or(String::new(), |s| format!(" ({s})"));
    let _ = writeln!(out, "  far{ahead}: {}; it does not gate", words::far(far));
    for path in far.outputs.iter().take(SHOWN) {
        let _ = writeln!(out, "    {path}: differs only far ahead");
    }
    let more = far.outputs.len().saturating_sub(SHOWN);
    if more > 0 {
        let _ = writeln!(out, "    and {more} more, in result.json");
    }
}

/// What was refused and how to allow it, what was let through, and what two runs do not have alike.
fn network(out: &mut String, doc: &ResultDoc) {
    let denied = words::denied(doc);
    if denied > 0 {
        let calls = words::count(denied, "call");
        let _ = writeln!(out, "  {calls} to the outside denied");
    }
    let Some(network) = &doc.network else { return };
    for refused in network.refused.first.iter().take(REFUSED) {
        let place = line(&words::place(&refused.host, refused.port));
        let times = match refused.count {
            1 => String::new(),
            n => format!(", {n} times"),
        };
        let fix = match (&refused.flag, &refused.rule) {
            (Some(flag), _) => format!(" ({})", line(flag)),
            (None, Some(rule)) => match rule.lines().find(|l| l.starts_with("addresses = ")) {
                Some(key) => format!(" (`{}` in its rule)", line(key)),
                None => " (a rule for it is in security/summary.md)".into(),
            },
            (None, None) => String::new(),
        };
        let _ = writeln!(
            out,
            "    {place} by {}{times}: {}{fix}",
            line(&refused.exe.to_string()),
            refused.reason.name()
        );
    }
    let more = network.refused.total.saturating_sub(REFUSED as u64);
    if more > 0 {
        let _ = writeln!(out, "    and {more} more, in security/summary.md");
    }
    if network.allowed > 0 {
        let size = doc.when.network.map(|bytes| words::size(bytes.down));
        let size = size.map_or(String::new(), |size| format!(", {size} fetched"));
        let served = match network.served {
            0 => String::new(),
            n => format!(", {n} of them from run A's recording"),
        };
        let requests = words::count(network.allowed, "request");
        let _ = writeln!(out, "  {requests} let through{served}{size}");
    }
    for (finding, run, other) in [
        (&network.drift.only_a, 'A', 'B'),
        (&network.drift.only_b, 'B', 'A'),
    ] {
        if finding.is_empty() {
            continue;
        }
        let requests = words::count(finding.total, "request");
        let word = "network drift:".style(Style::new().yellow().bold());
        let _ = writeln!(
            out,
            "  {word} {requests} of run {run} that run {other} did not make"
        );
        for request in finding.first.iter().take(REFUSED) {
            let _ = writeln!(out, "    {}", line(&words::request(request)));
        }
    }
    let denials = &network.denials;
    if !denials.is_empty() {
        let _ = writeln!(
            out,
            "  denials only in run A: {}, only in run B: {}",
            denials.only_a.total, denials.only_b.total
        );
    }
}

fn layers(out: &mut String, doc: &ResultDoc, verbose: bool) {
    let Some(run) = doc.runs.first() else { return };
    let short = |l: &&LayerReport| matches!(l.state, State::Partial | State::Missing);
    if !verbose {
        let names: Vec<_> = run
            .layers
            .iter()
            .filter(short)
            .map(|l| l.layer.name())
            .collect();
        if !names.is_empty() {
            let _ = writeln!(
                out,
                "  not whole: {} (`belljar doctor` says why)",
                names.join(", ")
            );
        }
        return;
    }
    for layer in run.layers.iter().filter(|l| l.state != State::NotAsked) {
        let (name, got) = (layer.layer.name(), line(&layer.got));
        if !short(&layer) {
            let _ = writeln!(out, "  layer {name}: {got}");
            continue;
        }
        let why = layer
            .why
            .as_deref()
            .map_or(String::new(), |w| format!(": {}", line(w)));
        let _ = writeln!(
            out,
            "  layer {name}: wanted {}, got {got}{why}",
            line(&layer.wanted)
        );
        if let Some(fix) = &layer.fix {
            let _ = writeln!(out, "    fix: {}", line(fix));
        }
    }
}

#[cfg(test)]
mod tests;
