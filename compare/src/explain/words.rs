//! Differing text that each run's own clock would print.
//!
//! Both sides are cut into words (runs of digits, runs of letters). Where the same words differ
//! and one second of A's window prints all of A's, and one of B's window all of B's, each in the
//! same part of a date, the text carries the clock.

use std::collections::BTreeSet;
use std::ops::Range;

use belljar_model::Window;

use super::parts::{Parts, Second};

/// A run that is longer than this is looked at in part: more seconds would fit by chance.
const MOST_SECONDS: i64 = 4 * 3600;

/// Words that differ, at most; a date has six.
const MOST_WORDS: usize = 12;

/// What the clock explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    /// The text in A, and where in it.
    pub(super) a: Range<usize>,
    /// The text in B.
    pub(super) b: Range<usize>,
    /// Enough of a date that chance is out of the question.
    pub(super) strong: bool,
    /// It is the octal stamp of a tar header.
    pub(super) tar: bool,
}

/// A word: where it stands.
type Word = Range<usize>;

fn words(text: &[u8]) -> Vec<Word> {
    let class = |b: u8| match b {
        b'0'..=b'9' => 1,
        b'a'..=b'z' | b'A'..=b'Z' => 2,
        _ => 0,
    };
    let mut words: Vec<Word> = Vec::new();
    let mut start = 0;
    for i in 1..=text.len() {
        if i < text.len() && class(text[i]) == class(text[start]) {
            continue;
        }
        if class(text[start]) != 0 {
            words.push(start..i);
        }
        start = i;
    }
    words
}

/// What stands between two words: a pad before a short day of the month does not count.
fn gap(text: &[u8]) -> Vec<u8> {
    let mut gap = text.to_vec();
    gap.dedup_by(|a, b| *a == b' ' && *b == b' ');
    gap
}

/// Looks for the clock in `a` and `b`, whose bytes in `differs` (of each) are what differs.
pub(super) fn find(
    (a, in_a): (&[u8], Range<usize>),
    (b, in_b): (&[u8], Range<usize>),
    (window_a, window_b): (Window, Window),
) -> Option<Match> {
    let touching = |text: &[u8], at: &Range<usize>| -> Vec<Word> {
        let all = words(text).into_iter();
        all.filter(|w| w.start < at.end.max(at.start + 1) && w.end > at.start)
            .collect()
    };
    let (words_a, words_b) = (touching(a, &in_a), touching(b, &in_b));
    if words_a.is_empty() || words_a.len() != words_b.len() {
        return None;
    }
    let whole = |w: &[Word], at: &Range<usize>| {
        let (first, last) = (w.first(), w.last());
        first.map_or(at.start, |f| f.start.min(at.start))
            ..last.map_or(at.end, |l| l.end.max(at.end))
    };
    let (span_a, span_b) = (whole(&words_a, &in_a), whole(&words_b, &in_b));
    if !same_gaps(a, &words_a, &span_a, b, &words_b, &span_b) {
        return None;
    }
    let pairs: Vec<(&[u8], &[u8])> = words_a
        .iter()
        .zip(&words_b)
        .map(|(x, y)| (&a[x.clone()], &b[y.clone()]))
        .collect();
    let told = told(&pairs, window_a, window_b)?;
    strength(&told).map(|(strong, tar)| Match {
        a: span_a,
        b: span_b,
        strong,
        tar,
    })
}

fn same_gaps(
    a: &[u8],
    wa: &[Word],
    sa: &Range<usize>,
    b: &[u8],
    wb: &[Word],
    sb: &Range<usize>,
) -> bool {
    let gaps = |text: &[u8], words: &[Word], span: &Range<usize>| -> Vec<Vec<u8>> {
        let ends = std::iter::once(span.start).chain(words.iter().map(|w| w.end));
        let starts = words.iter().map(|w| w.start).chain([span.end]);
        ends.zip(starts)
            .map(|(from, to)| gap(&text[from..to.max(from)]))
            .collect()
    };
    gaps(a, wa, sa) == gaps(b, wb, sb)
}

/// For each pair of words that differ, what of the clock both are.
fn told(pairs: &[(&[u8], &[u8])], window_a: Window, window_b: Window) -> Option<Vec<Parts>> {
    let differing: Vec<usize> = (0..pairs.len())
        .filter(|i| pairs[*i].0 != pairs[*i].1)
        .collect();
    if differing.is_empty() || differing.len() > MOST_WORDS {
        return None;
    }
    let fits_a = fits(
        &differing.iter().map(|i| pairs[*i].0).collect::<Vec<_>>(),
        window_a,
    );
    if fits_a.is_empty() {
        return None;
    }
    let fits_b = fits(
        &differing.iter().map(|i| pairs[*i].1).collect::<Vec<_>>(),
        window_b,
    );
    fits_a.iter().find_map(|x| {
        fits_b.iter().find_map(|y| {
            let both: Vec<Parts> = x.iter().zip(y).map(|(p, q)| p.and(*q)).collect();
            both.iter().all(|p| p.any()).then_some(both)
        })
    })
}

/// The readings of `words` by the seconds of a window, each of which explains every word.
fn fits(words: &[&[u8]], window: Window) -> Vec<Vec<Parts>> {
    let from = window.start_ns.div_euclid(1_000_000_000) - 1;
    let to = (window.end_ns.div_euclid(1_000_000_000) + 1).min(from + MOST_SECONDS);
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for second in (from..=to).filter_map(Second::at) {
        let mut parts: Vec<Parts> = words.iter().map(|w| second.parts_of(w)).collect();
        for i in 1..parts.len() {
            let digits = words[i].iter().all(u8::is_ascii_digit);
            let after = parts[i - 1];
            if digits
                && (after.has(Parts::SECOND) || after.has(Parts::EPOCH))
                && words[i].len() >= 3
            {
                parts[i] = parts[i].or(Parts::FRACTION);
            }
            if digits && after.has(Parts::OCTAL) && words[i].len() <= 7 {
                parts[i] = parts[i].or(Parts::CHECKSUM);
            }
        }
        if parts.iter().all(|p| p.any()) && seen.insert(format!("{parts:?}")) {
            out.push(parts);
        }
    }
    out
}

/// Whether it is enough to say anything, and whether it is beyond doubt; and whether it is a tar
/// header's stamp.
fn strength(told: &[Parts]) -> Option<(bool, bool)> {
    let any = |part: Parts| told.iter().any(|p| p.has(part));
    let month = any(Parts::MONTH) || any(Parts::MONTH_NAME);
    let full_date = any(Parts::YEAR) && month && any(Parts::DAY);
    let full_time = any(Parts::HOUR) && any(Parts::MINUTE) && any(Parts::SECOND);
    let number = any(Parts::EPOCH) || any(Parts::OCTAL) || any(Parts::STAMP);
    let strong = number || full_date || full_time;
    let word = any(Parts::YEAR) || any(Parts::MONTH_NAME) || any(Parts::WEEKDAY);
    // One small number alone fits too easily.
    (strong || word || told.len() >= 2).then_some((strong, any(Parts::OCTAL)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // 2026-11-24T10:05:09Z and 2028-01-01T22:47:31Z
    const A: i64 = 1_795_514_709;
    const B: i64 = 1_830_379_651;

    fn window(second: i64) -> Window {
        Window {
            start_ns: (second - 2) * 1_000_000_000,
            end_ns: (second + 3) * 1_000_000_000,
        }
    }

    fn look(a: &str, b: &str) -> Option<Match> {
        let common = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
        let tail = a[common..].bytes().rev().zip(b[common..].bytes().rev());
        let tail = tail.take_while(|(x, y)| x == y).count();
        let side = |s: &str| common..s.len() - tail;
        find(
            (a.as_bytes(), side(a)),
            (b.as_bytes(), side(b)),
            (window(A), window(B)),
        )
    }

    #[test]
    fn dates_that_each_run_would_print() {
        for (a, b, strong) in [
            ("built 2026-11-24", "built 2028-01-01", true),
            ("Nov 24 2026", "Jan  1 2028", true),
            ("10:05:09", "22:47:31", true),
            (
                "Tue Nov 24 10:05:09 UTC 2026",
                "Sat Jan  1 22:47:31 UTC 2028",
                true,
            ),
            (
                "Tue, 24 Nov 2026 10:05:09 +0000",
                "Sat, 01 Jan 2028 22:47:31 +0000",
                true,
            ),
            ("x=1795514709;", "x=1830379651;", true),
            ("1795514709.123", "1830379651.987", true),
            ("20261124T100509Z", "20280101T224731Z", true),
            ("mtime 15301260525", "mtime 15506260203", true),
            ("(c) 2026 Us", "(c) 2028 Us", false),
            ("November 2026", "January 2028", false),
        ] {
            let found = look(a, b);
            assert_eq!(
                found.as_ref().map(|m| m.strong),
                Some(strong),
                "{a} / {b}: {found:?}"
            );
        }
    }

    #[test]
    fn what_no_clock_printed() {
        for (a, b) in [
            ("2026-11-25", "2028-01-01"),
            ("seed 24", "seed 1"),
            ("1795514000", "1830379651"),
            ("abc", "abd"),
            ("2026-11-24 7", "2028-01-01 8"),
            ("2026", "2027"),
        ] {
            assert_eq!(look(a, b), None, "{a} / {b}");
        }
    }

    proptest! {
        #[test]
        fn hex_digests_are_never_taken_for_a_clock(a in "[0-9a-f]{32}", b in "[0-9a-f]{32}") {
            if let Some(found) = look(&a, &b) {
                prop_assert!(!found.strong);
            }
        }

        #[test]
        fn anything_at_all_is_looked_at_without_a_panic(a: Vec<u8>, b: Vec<u8>, s in 0usize..40, e in 0usize..40) {
            let side = |t: &Vec<u8>| { let s = s.min(t.len()); s..(s + e).min(t.len()) };
            let _ = find((&a, side(&a)), (&b, side(&b)), (window(A), window(B)));
        }
    }
}
