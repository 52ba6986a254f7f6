//! One differing region: what of it is a time.

use std::ops::Range;

use belljar_model::OsText;

use super::binary;
use super::clock::{Clocks, Which, log2, shown};
use super::format::Format;
use super::words;
use crate::bytes::Hunk;

/// A time that was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    /// Offset in A.
    pub(super) offset: u64,
    /// What stands there in A and in B, readable.
    pub(super) a: OsText,
    pub(super) b: OsText,
    /// What it is, if it is no text.
    pub(super) form: Option<&'static str>,
    /// On which of B's clocks; absent where the clocks are not known.
    pub(super) which: Option<Which>,
    pub(super) slug: &'static str,
    /// How much it says.
    pub(super) bits: f64,
}

/// A field that its format says is a time: no odds are needed.
const CERTAIN: f64 = 1000.0;

/// A field whose clocks are not known, as long as it holds a date that is possible.
const PLAUSIBLE: f64 = super::clock::LIKELY + 8.0;

/// A region's bytes with what is around them.
struct Texts {
    a: Vec<u8>,
    b: Vec<u8>,
    in_a: Range<usize>,
    in_b: Range<usize>,
    offset: u64,
}

/// What of a region is a time, and whether that is all of it. Without clocks only the fields of
/// known formats are looked at.
pub(super) fn explain(
    hunk: &Hunk<'_>,
    clocks: Option<&Clocks>,
    format: Format,
    budget: &mut u64,
) -> (Vec<Finding>, bool) {
    let start = hunk.before.len();
    let texts = Texts {
        a: [hunk.before, hunk.a, hunk.after].concat(),
        b: [hunk.before, hunk.b, hunk.after].concat(),
        in_a: start..start + hunk.a.len(),
        in_b: start..start + hunk.b.len(),
        offset: hunk.offset_a.saturating_sub(start as u64),
    };
    let aligned = hunk.len_a == hunk.len_b;
    let mut found = Vec::new();
    let mut covered: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    if aligned {
        fields(&texts, clocks, format, &mut found, &mut covered);
        if !found.is_empty() {
            let derived = format.derived(texts.offset, texts.a.len());
            covered.extend(derived.into_iter().map(|at| (at.clone(), at)));
        }
    }
    if let Some(clocks) = clocks {
        text(&texts, clocks, format, budget, &mut found, &mut covered);
        if aligned {
            numbers(&texts, clocks, &mut found, &mut covered);
        }
    }
    found.sort_by_key(|f| f.offset);
    let rest_a = rest(&texts.a, &texts.in_a, covered.iter().map(|c| &c.0));
    let rest_b = rest(&texts.b, &texts.in_b, covered.iter().map(|c| &c.1));
    (found, !hunk.cut && rest_a == rest_b)
}

/// The first byte from `from` on that differs and that nothing covers.
fn next(texts: &Texts, from: usize, covered: &[(Range<usize>, Range<usize>)]) -> Option<usize> {
    let differs = |i: &usize| texts.a.get(*i) != texts.b.get(*i);
    let open = |i: &usize| !covered.iter().any(|(a, _)| a.contains(i));
    (from..texts.in_a.end).find(|i| differs(i) && open(i))
}

fn fields(
    texts: &Texts,
    clocks: Option<&Clocks>,
    format: Format,
    found: &mut Vec<Finding>,
    covered: &mut Vec<(Range<usize>, Range<usize>)>,
) {
    let mut from = texts.in_a.start;
    while let Some(at) = next(texts, from, covered) {
        from = at + 1;
        let Some(field) = format.field(&texts.a, texts.offset, at) else {
            continue;
        };
        let decode = |text: &[u8]| (field.decode)(text.get(field.at.clone())?);
        let Some((x, y)) = decode(&texts.a).zip(decode(&texts.b)) else {
            continue;
        };
        let (which, bits) = match clocks {
            Some(clocks) => match clocks.which(x, y) {
                Some(which) => (Some(which), CERTAIN),
                None => continue,
            },
            None if possible(x) && possible(y) => (None, PLAUSIBLE),
            None => continue,
        };
        from = field.at.end.max(at + 1);
        found.push(Finding {
            offset: texts.offset + field.at.start as u64,
            a: shown(x).into(),
            b: shown(y).into(),
            form: Some(field.form),
            which,
            slug: format.slug(),
            bits,
        });
        covered.push((field.at.clone(), field.at));
    }
}

/// Between 1980, where DOS begins to count, and 2100.
fn possible(second: i64) -> bool {
    (315_532_800..4_102_444_800).contains(&second)
}

fn text(
    texts: &Texts,
    clocks: &Clocks,
    format: Format,
    budget: &mut u64,
    found: &mut Vec<Finding>,
    covered: &mut Vec<(Range<usize>, Range<usize>)>,
) {
    let sides = (
        (&texts.a[..], texts.in_a.clone()),
        (&texts.b[..], texts.in_b.clone()),
    );
    for row in words::find(&sides.0, &sides.1, clocks, budget) {
        if covered.iter().any(|(a, _)| overlap(a, &row.a)) {
            continue;
        }
        found.push(Finding {
            offset: texts.offset + row.a.start as u64,
            a: piece(&texts.a, &row.a),
            b: piece(&texts.b, &row.b),
            form: None,
            which: Some(row.which),
            slug: if format == Format::Pdf {
                format.slug()
            } else {
                "clock"
            },
            bits: row.bits,
        });
        covered.push((row.a, row.b));
    }
}

fn numbers(
    texts: &Texts,
    clocks: &Clocks,
    found: &mut Vec<Finding>,
    covered: &mut Vec<(Range<usize>, Range<usize>)>,
) {
    let mut from = texts.in_a.start;
    let mut tried = 0;
    while let Some(at) = next(texts, from, covered) {
        from = at + 1;
        tried += binary::trials();
        let Some(hit) = binary::covering(&texts.a, &texts.b, at, clocks) else {
            continue;
        };
        from = hit.at.end;
        found.push(Finding {
            offset: texts.offset + hit.at.start as u64,
            a: shown(hit.a).into(),
            b: shown(hit.b).into(),
            form: Some(hit.form),
            which: Some(hit.which),
            slug: "clock",
            bits: clocks.bits(hit.which) - log2(tried),
        });
        covered.push((hit.at.clone(), hit.at));
    }
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// A region without what was found in it, pads aside.
fn rest<'r>(
    text: &[u8],
    region: &Range<usize>,
    covered: impl Iterator<Item = &'r Range<usize>> + Clone,
) -> Vec<u8> {
    let from = covered
        .clone()
        .map(|c| c.start)
        .fold(region.start, usize::min);
    let to = covered.clone().map(|c| c.end).fold(region.end, usize::max);
    let mut left = Vec::new();
    let mut holes: Vec<&Range<usize>> = covered.collect();
    holes.sort_by_key(|c| c.start);
    let mut at = from;
    for hole in holes {
        left.extend_from_slice(&text[at.min(hole.start)..hole.start.min(text.len())]);
        left.push(0);
        at = at.max(hole.end).min(text.len());
    }
    left.extend_from_slice(&text[at..to.min(text.len()).max(at)]);
    left.dedup_by(|x, y| *x == b' ' && *y == b' ');
    left
}

fn piece(text: &[u8], at: &Range<usize>) -> OsText {
    const SHOWN: usize = 48;
    text[at.start..at.end.min(at.start + SHOWN)].into()
}
