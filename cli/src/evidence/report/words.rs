//! Phrases that every form of the report uses.

use belljar_model::{
    Class, Confidence, DifferenceKind, EndedBy, FarOutcome, FarReport, Label, OsText, Request,
    ResultDoc, RunReport, Skew, Variation,
};
use nix::sys::signal::Signal;

use super::escape::line;

/// `1 output`, `2 outputs`.
pub fn count(n: u64, one: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {one}s")
    }
}

/// Which run, as people say it.
pub fn run(label: Label) -> &'static str {
    match label {
        Label::A => "run A",
        Label::B => "run B",
        Label::C => "run C",
    }
}

/// `ended with exit status 2`.
pub fn ending(report: &RunReport) -> String {
    let budget = |what: &str| format!("ran out of its {what} budget");
    match report.ended_by {
        EndedBy::Timeout => budget("time"),
        EndedBy::Oom => budget("memory"),
        EndedBy::Pids => budget("process"),
        EndedBy::Disk => "ran out of its disk budget or of room on disk".into(),
        EndedBy::Interrupt => "was interrupted".into(),
        EndedBy::Setup => "lost a required layer".into(),
        EndedBy::Policy => "was ended by the policy".into(),
        EndedBy::Command | EndedBy::Signal | EndedBy::Incomplete => {
            match (report.status, report.signal) {
                (Some(status), _) => format!("ended with exit status {status}"),
                (None, Some(signal)) => format!("was ended by {}", signal_name(signal)),
                (None, None) => "ended in an unknown way".into(),
            }
        }
    }
}

fn signal_name(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |s| s.as_str().to_owned())
}

/// `+398 d 07:13:17`.
pub fn offset(seconds: i64) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let s = seconds.unsigned_abs();
    let (days, hours, minutes) = (s / 86_400, s / 3600 % 24, s / 60 % 60);
    format!("{sign}{days} d {hours:02}:{minutes:02}:{:02}", s % 60)
}

/// A variation's name, with how far it went this time.
pub fn variation(variation: Variation, doc: &ResultDoc) -> String {
    match (variation, doc.when.offset_s) {
        (Variation::Time, Some(s)) => format!("time ({})", offset(s)),
        (Variation::Time, None) => "time".into(),
        (Variation::Uptime, _) => "uptime".into(),
    }
}

/// A variation's name, with the rule that says how far it goes: the same in every pair of a plan.
pub fn rule(variation: Variation, doc: &ResultDoc) -> String {
    let skew = doc.plan.clock.as_ref().map(|clock| &clock.skew);
    match (variation, skew) {
        (Variation::Time, Some(Skew::Auto)) => "time (about 398 d)".into(),
        (Variation::Time, Some(Skew::By { seconds })) => format!("time ({})", offset(*seconds)),
        (Variation::Time, Some(Skew::To { at })) => format!("time (to {})", line(at)),
        (Variation::Time, None) => "time".into(),
        (Variation::Uptime, _) => "uptime".into(),
    }
}

/// What the far run found, in a phrase.
pub fn far(far: &FarReport) -> String {
    let word = match far.outcome {
        FarOutcome::Passed => "passed, and nothing differs only then",
        FarOutcome::TimeBomb => "time bomb",
        FarOutcome::Skipped => "skipped",
        FarOutcome::Unknown => "not known",
    };
    match &far.why {
        Some(why) => format!("{word}: {}", line(why)),
        None => word.into(),
    }
}

/// How sure a cause is.
pub fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Proven => "proven",
        Confidence::Likely => "likely",
        Confidence::Unknown => "not known",
    }
}

/// In what an output differs, in one phrase.
pub fn difference(kind: &DifferenceKind) -> String {
    let pair = |what: &str, a: &str, b: &str| format!("{what} {} in A, {} in B", line(a), line(b));
    match kind {
        DifferenceKind::OnlyInA => "only in A".into(),
        DifferenceKind::OnlyInB => "only in B".into(),
        DifferenceKind::Type { a, b } => pair("type:", a, b),
        DifferenceKind::Mode { a, b } => pair("mode:", a, b),
        DifferenceKind::Content {
            size_a,
            size_b,
            regions,
            regions_total,
        } => {
            let sizes = if size_a == size_b {
                String::new()
            } else {
                format!(", {size_a} bytes in A and {size_b} in B")
            };
            let first = regions.first().map_or(String::new(), |r| {
                format!(", first at offset 0x{:x}", r.offset)
            });
            format!(
                "content: {}{first}{sizes}",
                count(*regions_total, "differing region")
            )
        }
        DifferenceKind::Target { a, b } => pair("link target:", &a.to_string(), &b.to_string()),
        DifferenceKind::Xattr { name } => format!("extended attribute {name}"),
        DifferenceKind::HardLinks { a, b } => {
            format!(
                "hard links: {} in A, {} in B",
                count(a.len() as u64, "path"),
                count(b.len() as u64, "path")
            )
        }
        DifferenceKind::Mtime { .. } => "modification time".into(),
        DifferenceKind::Deleted { only_in } => {
            format!("deleted in run {} only", line(&only_in.to_uppercase()))
        }
    }
}

/// The sentence that the verdict, or the end of a single run, is.
pub fn headline(doc: &ResultDoc) -> String {
    use belljar_model::Verdict;
    let counts = &doc.counts;
    let ended = |label| {
        let report = doc.runs.iter().find(|r| r.run == label);
        report.map_or_else(|| "was not made".to_owned(), ending)
    };
    match doc.verdict {
        None if doc.runs.is_empty() => "the command did not run".into(),
        None if doc.ended_by == EndedBy::Policy => refused(doc),
        None => format!("the command {}", ended(Label::A)),
        Some(Verdict::Reproducible) => {
            let are = if counts.outputs == 1 { "is" } else { "are" };
            format!(
                "{} {are} the same in both runs",
                count(counts.outputs, "output")
            )
        }
        Some(Verdict::Differs) => {
            let are = if counts.differences == 1 { "is" } else { "are" };
            format!(
                "{} {are} not the same in both runs",
                count(counts.differences, "output")
            )
        }
        Some(Verdict::BuildFailed) => format!("run A {}", ended(Label::A)),
        Some(Verdict::FailsUnderVariation) => format!("run A passed and run B {}", ended(Label::B)),
        Some(Verdict::PolicyViolation) => refused(doc),
        Some(Verdict::Incomplete) => "no statement can be made".into(),
    }
}

/// `GET pkg.example:443/index?at`.
pub fn request(request: &Request) -> String {
    let method = request.method.as_deref().map(|m| format!("{m} "));
    let path = request.path.as_ref().map(ToString::to_string);
    format!(
        "{}{}{}",
        method.unwrap_or_default(),
        place(&request.host, request.port),
        path.unwrap_or_default()
    )
}

/// `pkg.example:443`.
pub fn place(host: &OsText, port: u16) -> String {
    match port {
        0 => host.to_string(),
        port => format!("{host}:{port}"),
    }
}

/// `3.4 MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return count(bytes, "byte");
    }
    let (mut tenths, mut unit) = (bytes / 100, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        (tenths, unit) = (tenths / 1000, unit + 1);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// How many calls were denied; in a document of an older version every external one was.
pub fn denied(doc: &ResultDoc) -> u64 {
    match &doc.network {
        Some(network) => network.denied,
        None => doc.egress.get(&Class::External).copied().unwrap_or(0),
    }
}

fn refused(doc: &ResultDoc) -> String {
    let n = denied(doc);
    format!(
        "{} to the outside denied, and on_deny is \"fail\"",
        count(n, "call")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_read_as_days_and_a_time() {
        assert_eq!(offset(398 * 86_400 + 26_000), "+398 d 07:13:20");
        assert_eq!(offset(-61), "-0 d 00:01:01");
        assert_eq!(offset(i64::MIN).chars().next(), Some('-'));
    }

    #[test]
    fn counts() {
        assert_eq!(
            (count(1, "output"), count(0, "output")),
            ("1 output".into(), "0 outputs".into())
        );
    }
}
