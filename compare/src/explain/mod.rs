//! Why bytes differ.
//!
//! A wrong cause is worse than none: what is not shown by the bytes themselves is `unknown`, and
//! that is said. How sure a find is, is reckoned: how many bits chance had to get right, less
//! what it was given by the number of places that were looked at. A file has a cause for each
//! kind of thing that was found in it, and `unknown` for what is left.

mod binary;
mod causes;
mod clock;
mod format;
mod parts;
mod region;
#[cfg(test)]
mod tests;
mod words;

use std::io;

use belljar_model::{Cause, Difference, OsText};

use crate::Clock;
use crate::bytes::Hunk;
use causes::{cause, unknown};
use clock::{Clocks, LIKELY, log2};
use format::Format;
use region::Finding;

/// Regions of one file that are looked at; the rest of a file that differs throughout is counted.
const MOST_REGIONS: u64 = 4096;

/// Seconds times words that are tried in one file: about a second of work.
const BUDGET: u64 = 50_000_000;

/// Explains one file's regions as they come.
pub(crate) struct Explainer {
    path: OsText,
    clocks: Option<Clocks>,
    format: Format,
    budget: u64,
    seen: u64,
    /// What was found in each region, and whether it explains the region whole.
    found: Vec<(Vec<Finding>, bool, Open)>,
    /// Regions without any find: how many, and the first.
    blank: (i64, Option<Open>),
    /// Regions that follow from others: a digest of what differs anyway.
    symptoms: u64,
}

impl Explainer {
    /// `heads` are the first bytes of both files.
    pub(crate) fn new(
        path: &OsText,
        a: Option<Clock>,
        b: Option<Clock>,
        heads: (&[u8], &[u8]),
    ) -> Self {
        Self {
            path: path.clone(),
            clocks: a.zip(b).map(|(a, b)| Clocks::new(a, b)),
            format: Format::of(heads.0, heads.1),
            budget: BUDGET,
            seen: 0,
            found: Vec::new(),
            blank: (0, None),
            symptoms: 0,
        }
    }

    pub(crate) fn hunk(&mut self, hunk: &Hunk<'_>) {
        self.seen += 1;
        if self.seen > MOST_REGIONS {
            return;
        }
        if is_build_id(hunk) {
            self.symptoms += 1;
            return;
        }
        let (findings, whole) =
            region::explain(hunk, self.clocks.as_ref(), self.format, &mut self.budget);
        if findings.is_empty() {
            self.blank.0 += 1;
            self.blank.1.get_or_insert_with(|| Open::of(hunk));
        } else {
            self.found.push((findings, whole, Open::of(hunk)));
        }
    }

    pub(crate) fn causes(self, total: u64) -> Vec<Cause> {
        // Every place that was looked at in vain gives chance one more try.
        let tries = log2(1 + self.blank.0);
        let mut sure: Vec<Finding> = Vec::new();
        let mut open = self.blank.1;
        for (findings, whole, region) in self.found {
            let kept = findings.into_iter().filter(|f| f.bits - tries >= LIKELY);
            let before = sure.len();
            sure.extend(kept);
            let explained = whole && sure.len() > before;
            if !explained && open.as_ref().is_none_or(|o| region.offset < o.offset) {
                open = Some(region);
            }
        }
        let mut causes = cause(&self.path, &sure, tries);
        if let Some(open) = open {
            causes.push(open.unknown(!causes.is_empty()));
        } else if causes.is_empty() {
            let what = if self.symptoms > 0 {
                "only the build id differs, a digest of what the linker was given"
            } else {
                "what differs names no cause"
            };
            causes.push(unknown(what.to_owned(), None));
        } else if total > MOST_REGIONS {
            let evidence = format!(
                "{} further regions were not looked at",
                total - MOST_REGIONS
            );
            causes.push(unknown(evidence, None));
        }
        causes
    }
}

/// A region that nothing explains, or not all of it.
struct Open {
    /// In A.
    offset: u64,
    a: OsText,
    b: OsText,
}

impl Open {
    fn of(hunk: &Hunk<'_>) -> Self {
        const SHOWN: usize = 24;
        let piece = |bytes: &[u8]| match bytes.get(..SHOWN) {
            Some(head) if bytes.len() > SHOWN => [head, b"..."].concat().into(),
            _ => bytes.into(),
        };
        Self {
            offset: hunk.offset_a,
            a: piece(hunk.a),
            b: piece(hunk.b),
        }
    }

    fn unknown(self, rest: bool) -> Cause {
        let shown = |text: &OsText| match text.as_bytes() {
            b"" => "nothing".to_owned(),
            _ => format!("`{text}`"),
        };
        let rest = if rest { "the rest of " } else { "" };
        let (a, b, offset) = (shown(&self.a), shown(&self.b), self.offset);
        let evidence = format!("{rest}{a} in A and {b} in B at offset {offset:#x} names no cause");
        unknown(evidence, Some(offset))
    }
}

/// A digest of the linked file, which differs because something else does: an ELF note of type 3
/// (NT_GNU_BUILD_ID) whose 20 bytes hold the whole region.
fn is_build_id(hunk: &Hunk<'_>) -> bool {
    const HEAD: &[u8] = b"\x14\0\0\0\x03\0\0\0GNU\0";
    let note = hunk.before.windows(HEAD.len()).rposition(|w| w == HEAD);
    note.is_some_and(|at| {
        let into = hunk.before.len() - at - HEAD.len();
        hunk.a.len() == hunk.b.len() && into + hunk.a.len() <= 20
    })
}

/// What a link's target says.
pub(crate) fn text(a: &[u8], b: &[u8], ca: Option<Clock>, cb: Option<Clock>) -> Vec<Cause> {
    let Some(clocks) = ca.zip(cb).map(|(a, b)| Clocks::new(a, b)) else {
        return Vec::new();
    };
    let (found, _) = region::explain(&whole(a, b), Some(&clocks), Format::Other, &mut { BUDGET });
    cause(&OsText::default(), &found, 0.0)
}

/// Two short texts as one region, without what is common at their ends.
fn whole<'t>(a: &'t [u8], b: &'t [u8]) -> Hunk<'t> {
    let same = |x: &mut dyn Iterator<Item = (&u8, &u8)>| x.take_while(|(x, y)| x == y).count();
    let head = same(&mut a.iter().zip(b));
    let tail = same(&mut a[head..].iter().rev().zip(b[head..].iter().rev()));
    let (end_a, end_b) = (a.len() - tail, b.len() - tail);
    Hunk {
        offset_a: head as u64,
        len_a: (end_a - head) as u64,
        offset_b: head as u64,
        len_b: (end_b - head) as u64,
        before: &a[..head],
        a: &a[head..end_a],
        b: &b[head..end_b],
        after: &a[end_a..],
        cut: false,
    }
}

/// What names that only one run made say: a name of A's and a name of B's that are the same but
/// for each run's clock are a pair.
pub(crate) fn names(items: &mut [Difference], a: Option<Clock>, b: Option<Clock>) {
    use belljar_model::DifferenceKind::{OnlyInA, OnlyInB};
    const MOST: usize = 64;
    let Some(clocks) = a.zip(b).map(|(a, b)| Clocks::new(a, b)) else {
        return;
    };
    let of = |items: &[Difference], kind| -> Vec<usize> {
        let all = items.iter().enumerate().filter(|(_, d)| d.kind == kind);
        all.map(|(i, _)| i).take(MOST).collect()
    };
    let (only_a, only_b) = (of(items, OnlyInA), of(items, OnlyInB));
    // Every name is tried with every other.
    let tries = log2(i64::try_from(only_b.len()).unwrap_or(i64::MAX));
    let mut budget = BUDGET;
    for i in only_a {
        let pair = only_b.iter().copied().find_map(|j| {
            let (x, y) = (items[i].path.as_bytes(), items[j].path.as_bytes());
            let hunk = whole(x, y);
            let (found, all) = region::explain(&hunk, Some(&clocks), Format::Other, &mut budget);
            let sure = all && found.iter().any(|f| f.bits - tries >= LIKELY);
            sure.then_some((j, found))
        });
        let Some((j, found)) = pair else { continue };
        let causes = cause(&items[i].path, &found, tries);
        items[i].causes.extend(causes.clone());
        items[j].causes.extend(causes);
    }
}

/// The content could not be read, so nothing can be said of it.
pub(crate) fn unreadable(e: &io::Error) -> Cause {
    unknown(format!("the content could not be read: {e}"), None)
}
