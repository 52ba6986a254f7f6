//! From what was found in a file to the causes that a report names.

use belljar_model::{Cause, Confidence, KnownCause, OsText, Variation};

use super::clock::{PROVEN, Which};
use super::region::Finding;

/// One cause for each kind of find.
pub(super) fn cause(path: &OsText, found: &[Finding], tries: f64) -> Vec<Cause> {
    let mut slugs: Vec<&'static str> = Vec::new();
    for finding in found {
        if !slugs.contains(&finding.slug) {
            slugs.push(finding.slug);
        }
    }
    slugs
        .into_iter()
        .filter_map(|slug| {
            let of: Vec<&Finding> = found.iter().filter(|f| f.slug == slug).collect();
            one(path, slug, &of, tries)
        })
        .collect()
}

fn one(path: &OsText, slug: &str, found: &[&Finding], tries: f64) -> Option<Cause> {
    let best = found
        .iter()
        .copied()
        .reduce(|x, y| if y.bits > x.bits { y } else { x })?;
    let more = match found.len() {
        1 => String::new(),
        2 => ", and 1 more like it".to_owned(),
        n => format!(", and {} more like it", n - 1),
    };
    let what = best
        .form
        .map_or_else(String::new, |form| format!(", {form},"));
    let (a, b, at) = (&best.a, &best.b, best.offset);
    let evidence = match best.which {
        Some(Which::Moved) => format!(
            "`{a}`{what} at offset {at:#x} lies in run A's clock window, `{b}` in run B's{more}"
        ),
        Some(Which::Real) => format!(
            "`{a}`{what} at offset {at:#x} lies in run A's clock window, `{b}` in run B's real \
             time: the time of a file, which belljar does not move{more}"
        ),
        None => format!(
            "`{a}` in A and `{b}` in B at offset {at:#x}: {}{more}",
            best.form.unwrap_or("a time")
        ),
    };
    let proven = best.which.is_some() && best.bits - tries >= PROVEN;
    Some(Cause {
        slug: slug.to_owned(),
        // The clock's move did not reveal what follows the real clock.
        variation: (best.which == Some(Which::Moved)).then_some(Variation::Time),
        confidence: if proven {
            Confidence::Proven
        } else {
            Confidence::Likely
        },
        evidence,
        offset: Some(at),
        process: None,
        fix: fix(path, slug).to_owned(),
    })
}

/// The usual fix: the cause's own, or, for a clock anywhere, what fits the kind of file.
fn fix(path: &OsText, slug: &str) -> &'static str {
    let known = KnownCause::of(slug).map_or("", |known| known.fix);
    let name = path.as_bytes().rsplit(|b| *b == b'/').next().unwrap_or(b"");
    let ends = |ends: &[&str]| ends.iter().any(|e| name.ends_with(e.as_bytes()));
    let program = ends(&[".o", ".so", ".a"]) || !name.contains(&b'.');
    if slug == "clock" && program {
        "set SOURCE_DATE_EPOCH: compilers honour it for __DATE__ and __TIME__, scripts read it \
         by date -u -d @$SOURCE_DATE_EPOCH"
    } else {
        known
    }
}

pub(super) fn unknown(evidence: String, offset: Option<u64>) -> Cause {
    Cause {
        slug: "unknown".to_owned(),
        variation: None,
        confidence: Confidence::Unknown,
        evidence,
        offset,
        process: None,
        fix: String::new(),
    }
}
