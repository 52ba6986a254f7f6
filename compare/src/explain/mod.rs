//! Why bytes differ.
//!
//! A wrong cause is worse than none: what is not shown by the bytes themselves is `unknown`, and
//! that is said. A file has a cause for each thing that explains a region, and `unknown` for what
//! is left.

mod binary;
mod clock;
mod parts;
mod words;

use std::io;

use belljar_model::{Cause, Confidence, Difference, OsText};

use crate::Clock;
use crate::bytes::Hunk;
use clock::{Finding, Windows};

/// Regions of one file that are explained; the rest of a file that differs throughout is counted.
const MOST_REGIONS: u64 = 64;

/// Explains one file's regions as they come.
pub(crate) struct Explainer {
    path: OsText,
    windows: Option<Windows>,
    seen: u64,
    clock: Vec<Finding>,
    /// Offset in A of the first region that nothing explains.
    unexplained: Option<u64>,
    /// Regions that follow from others: a digest of what differs anyway.
    symptoms: u64,
}

impl Explainer {
    pub(crate) fn new(path: &OsText, a: Option<Clock>, b: Option<Clock>) -> Self {
        Self {
            path: path.clone(),
            windows: a.zip(b).and_then(|(a, b)| Windows::new(a, b)),
            seen: 0,
            clock: Vec::new(),
            unexplained: None,
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
        match self.windows.and_then(|w| clock::explain(hunk, w)) {
            Some(finding) => self.clock.push(finding),
            None => {
                self.unexplained.get_or_insert(hunk.offset_a);
            }
        }
    }

    pub(crate) fn causes(self, total: u64) -> Vec<Cause> {
        let mut causes: Vec<Cause> = clock::cause(&self.path, &self.clock).into_iter().collect();
        if let Some(offset) = self.unexplained {
            let evidence = format!("what differs at offset {offset:#x} of A names no cause");
            causes.push(unknown(evidence, Some(offset)));
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
    let Some(windows) = ca.zip(cb).and_then(|(a, b)| Windows::new(a, b)) else {
        return Vec::new();
    };
    let finding = clock::explain(&whole(a, b), windows);
    clock::cause(&OsText::default(), finding.as_slice())
        .into_iter()
        .collect()
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
    let Some(windows) = a.zip(b).and_then(|(a, b)| Windows::new(a, b)) else {
        return;
    };
    let of = |items: &[Difference], kind| -> Vec<usize> {
        let all = items.iter().enumerate().filter(|(_, d)| d.kind == kind);
        all.map(|(i, _)| i).take(MOST).collect()
    };
    let (only_a, only_b) = (of(items, OnlyInA), of(items, OnlyInB));
    for i in only_a {
        let pair = only_b.iter().copied().find_map(|j| {
            let (x, y) = (items[i].path.as_bytes(), items[j].path.as_bytes());
            Some((j, clock::explain(&whole(x, y), windows)?))
        });
        let Some((j, finding)) = pair else { continue };
        let cause = clock::cause(&items[i].path, &[finding]);
        items[i].causes.extend(cause.clone());
        items[j].causes.extend(cause);
    }
}

/// The content could not be read, so nothing can be said of it.
pub(crate) fn unreadable(e: &io::Error) -> Cause {
    unknown(format!("the content could not be read: {e}"), None)
}

fn unknown(evidence: String, offset: Option<u64>) -> Cause {
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
