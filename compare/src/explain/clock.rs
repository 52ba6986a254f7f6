//! The cause `clock`: bytes that each run's own wall clock would print.

use std::ops::Range;

use belljar_model::{Cause, Confidence, OsText, Variation, Window};

use super::{binary, words};
use crate::Clock;
use crate::bytes::Hunk;

/// The two clocks, which must not overlap: else a stamp could be either's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    a: Window,
    b: Window,
}

impl Windows {
    pub(super) fn new(a: Clock, b: Clock) -> Option<Self> {
        let (a, b) = (a.window, b.window);
        let apart = a.end_ns < b.start_ns || b.end_ns < a.start_ns;
        apart.then_some(Self { a, b })
    }
}

/// What was found in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// Offset in A.
    offset: u64,
    /// What stands there in A and in B, readable.
    a: OsText,
    b: OsText,
    /// What it is, if it is a number.
    form: Option<&'static str>,
    strong: bool,
    tar: bool,
}

/// Explains a region by the clocks, all of it or not at all.
pub(super) fn explain(hunk: &Hunk<'_>, windows: Windows) -> Option<Finding> {
    if hunk.cut {
        return None;
    }
    let a = [hunk.before, hunk.a, hunk.after].concat();
    let b = [hunk.before, hunk.b, hunk.after].concat();
    let start = hunk.before.len();
    let (in_a, in_b) = (start..start + hunk.a.len(), start..start + hunk.b.len());
    let offset = |at: usize| (hunk.offset_a + at as u64).saturating_sub(start as u64);
    let both = (windows.a, windows.b);
    if let Some(found) = words::find((&a, in_a.clone()), (&b, in_b.clone()), both) {
        return Some(Finding {
            offset: offset(found.a.start),
            a: piece(&a, found.a),
            b: piece(&b, found.b),
            form: None,
            strong: found.strong,
            tar: found.tar,
        });
    }
    if hunk.a.len() != hunk.b.len() {
        return None;
    }
    let numbers = binary::find(&a, &b, in_a, both);
    let first = numbers.first()?;
    Some(Finding {
        offset: offset(first.at.start),
        a: piece(&a, first.at.clone()),
        b: piece(&b, first.at.clone()),
        form: Some(first.form),
        strong: true,
        tar: false,
    })
}

fn piece(text: &[u8], at: Range<usize>) -> OsText {
    const SHOWN: usize = 48;
    let end = at.end.min(at.start + SHOWN);
    text[at.start..end].into()
}

/// One cause for all regions that the clock explains.
pub(super) fn cause(path: &OsText, findings: &[Finding]) -> Option<Cause> {
    let best = findings.iter().find(|f| f.strong).or(findings.first())?;
    let more = match findings.len() {
        1 => String::new(),
        n => format!(" (and {} more places)", n - 1),
    };
    let what = best
        .form
        .map_or_else(String::new, |form| format!(", {form},"));
    let evidence = format!(
        "`{}`{what} at offset {:#x} lies in run A's clock window, `{}` in run B's{more}",
        best.a, best.offset, best.b
    );
    Some(Cause {
        slug: "clock".to_owned(),
        variation: Some(Variation::Time),
        confidence: if best.strong {
            Confidence::Proven
        } else {
            Confidence::Likely
        },
        evidence,
        offset: Some(best.offset),
        process: None,
        fix: fix(path, best).to_owned(),
    })
}

/// The usual fix for what the file is.
fn fix(path: &OsText, finding: &Finding) -> &'static str {
    let name = path.to_string();
    let ends = |ends: &[&str]| ends.iter().any(|e| name.ends_with(e));
    if finding.tar || ends(&[".tar"]) {
        "give every member one time: tar --sort=name --mtime=@$SOURCE_DATE_EPOCH --clamp-mtime"
    } else if ends(&[".gz", ".tgz"]) {
        "leave the time out of the header: gzip -n"
    } else if ends(&[".zip", ".jar", ".whl", ".war"]) {
        "give every member one time: touch -d @$SOURCE_DATE_EPOCH before packing, zip -X, TZ=UTC"
    } else if ends(&[".a"]) {
        "use ar in deterministic mode: ar crD, ranlib -D"
    } else if ends(&[".pyc"]) {
        "compile with --invalidation-mode checked-hash"
    } else if ends(&[".o", ".so"]) || !name.rsplit('/').next().is_some_and(|n| n.contains('.')) {
        "set SOURCE_DATE_EPOCH: compilers honour it for __DATE__ and __TIME__, scripts read it by date -u -d @$SOURCE_DATE_EPOCH"
    } else {
        "take the time from SOURCE_DATE_EPOCH: date -u -d @$SOURCE_DATE_EPOCH"
    }
}
