//! The report as Markdown, for a pull request or a job summary. Whatever comes from a build
//! stands in code spans. It is part of the evidence, so nothing of the moment is in it.

use std::fmt::Write as _;

use belljar_model::{Difference, Differences, ResultDoc, State, Variation};

use super::escape::{code, plain, prose};
use super::words;

/// Differing outputs in the table before the rest is counted.
const SHOWN: usize = 100;
/// Requests of drift before the rest is counted.
const DRIFTED: usize = 10;

/// The whole report.
pub fn render(doc: &ResultDoc, differences: Option<&Differences>) -> String {
    let mut out = String::new();
    let word = doc.verdict.map_or(&*doc.command, |v| v.word());
    let _ = writeln!(
        out,
        "# {}\n\n{}.",
        plain(word),
        plain(&words::headline(doc))
    );
    let command: Vec<_> = doc
        .plan
        .command
        .iter()
        .map(|w| code(&w.to_string()))
        .collect();
    let _ = writeln!(out, "\n- command: {}", command.join(" "));
    let _ = writeln!(out, "- plan: {}", code(&doc.plan_digest.to_string()));
    for report in &doc.runs {
        let _ = writeln!(
            out,
            "- {} {}",
            words::run(report.run),
            words::ending(report)
        );
    }
    variations(&mut out, doc);
    list(&mut out, "Why no statement can be made", &doc.incomplete);
    if let Some(differences) = differences {
        outputs(&mut out, doc, differences);
    }
    far(&mut out, doc);
    layers(&mut out, doc);
    network(&mut out, doc);
    list(&mut out, "What to do", &doc.hints);
    out
}

fn list(out: &mut String, title: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n## {title}\n");
    for item in items {
        let _ = writeln!(out, "- {}", prose(item));
    }
}

fn variations(out: &mut String, doc: &ResultDoc) {
    let join = |all: &[Variation]| {
        let names: Vec<_> = all.iter().map(|v| plain(&words::rule(*v, doc))).collect();
        names.join(", ")
    };
    let of = &doc.variations;
    let mut row = |name: &str, what: String| {
        if !what.is_empty() {
            let _ = writeln!(out, "- {name}: {what}");
        }
    };
    row("varied", join(&of.varied));
    if doc.runs.len() > 1 {
        row("without effect", join(&of.ineffective));
        row("held", plain(&of.held.join(", ")));
    }
}

fn outputs(out: &mut String, doc: &ResultDoc, differences: &Differences) {
    let gating: Vec<&Difference> = differences.gating().collect();
    if !gating.is_empty() {
        let _ = writeln!(
            out,
            "\n## Differences\n\n| output | what | cause | fix |\n|---|---|---|---|"
        );
    }
    for difference in gating.iter().take(SHOWN) {
        let mut causes = Vec::new();
        let mut fixes = Vec::new();
        for cause in &difference.causes {
            let sure = words::confidence(cause.confidence);
            causes.push(format!(
                "{} ({sure}): {}",
                code(&cause.slug),
                prose(&cause.evidence)
            ));
            fixes.extend((!cause.fix.is_empty()).then(|| prose(&cause.fix)));
        }
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            code(&difference.path.to_string()),
            plain(&words::difference(&difference.kind)),
            causes.join("; "),
            fixes.join("; ")
        );
    }
    let more = gating.len().saturating_sub(SHOWN);
    if more > 0 {
        let _ = writeln!(
            out,
            "\nAnd {more} more, in {}.",
            code("determinism/differences.json")
        );
    }
    if doc.counts.scratch_differences > 0 {
        let n = words::count(doc.counts.scratch_differences, "difference");
        let _ = writeln!(out, "\n{n} in scratch files, not counted.");
    }
}

fn far(out: &mut String, doc: &ResultDoc) {
    let Some(far) = &doc.far else { return };
    let _ = writeln!(
        out,
        "\n## Sixteen years ahead\n\n{}. It does not gate.",
        prose(&words::far(far))
    );
    for (n, path) in far.outputs.iter().take(SHOWN).enumerate() {
        let gap = if n == 0 { "\n" } else { "" };
        let _ = writeln!(out, "{gap}- {}", code(&path.to_string()));
    }
    let more = far.outputs.len().saturating_sub(SHOWN);
    if more > 0 {
        let _ = writeln!(out, "\nAnd {more} more, in {}.", code("result.json"));
    }
}

fn network(out: &mut String, doc: &ResultDoc) {
    let denied = words::denied(doc);
    let allowed = doc.network.as_ref().map_or(0, |n| n.allowed);
    if denied == 0 && allowed == 0 {
        return;
    }
    let _ = writeln!(
        out,
        "\n## Network\n\n{} to the outside denied, {} let through: see {}.",
        words::count(denied, "call"),
        words::count(allowed, "request"),
        code("security/summary.md")
    );
    let Some(network) = &doc.network else { return };
    for (finding, run, other) in [
        (&network.drift.only_a, 'A', 'B'),
        (&network.drift.only_b, 'B', 'A'),
    ] {
        if finding.is_empty() {
            continue;
        }
        let requests = words::count(finding.total, "request");
        let _ = writeln!(
            out,
            "\nNetwork drift: {requests} of run {run} that run {other} did not make.\n"
        );
        for request in finding.first.iter().take(DRIFTED) {
            let _ = writeln!(out, "- {}", code(&words::request(request)));
        }
    }
}

fn layers(out: &mut String, doc: &ResultDoc) {
    let Some(run) = doc.runs.first() else { return };
    let _ = writeln!(
        out,
        "\n## Walls\n\n| layer | state | got | why not more |\n|---|---|---|---|"
    );
    for layer in &run.layers {
        let state = match layer.state {
            State::Full => "whole",
            State::Partial => "in part",
            State::Missing => "missing",
            State::NotAsked => "not asked for",
        };
        let why = layer.why.as_deref().map_or(String::new(), prose);
        let _ = writeln!(
            out,
            "| {} | {state} | {} | {why} |",
            layer.layer.name(),
            plain(&layer.got)
        );
    }
}

#[cfg(test)]
mod tests;
