//! Differing text that each run's own clock would print.
//!
//! Both sides are cut into words (runs of digits, runs of letters) and paired. Where one second
//! of A's clock prints all of A's words in a row, and one of B's clock all of B's, each word the
//! same part of a date, the row carries the clock. Equal words beside them count as well: a year
//! that did not change still has to be the clocks'.

use std::collections::HashSet;
use std::ops::Range;

use super::clock::{Clocks, Face, LIKELY, PROVEN, Span, Which, log2};
use super::parts::{Parts, instant};

/// Words of a row, at most; the longest date has ten.
const MOST_WORDS: usize = 14;

/// Equal words before and after what differs that are looked at.
const AROUND: usize = 7;

/// Bytes between two words of a row, at most.
const GAP: usize = 4;

/// Different readings of one row that are kept.
const READINGS: usize = 256;

/// A row of words that the clocks explain.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Match {
    /// The text in A, and where in it.
    pub(super) a: Range<usize>,
    /// The text in B.
    pub(super) b: Range<usize>,
    pub(super) which: Which,
    /// How much it says.
    pub(super) bits: f64,
}

/// A text and what of it differs from the other.
pub(super) type Side<'t> = (&'t [u8], Range<usize>);

/// A word of A and its word of B.
#[derive(Debug, Clone)]
struct Pair<'t> {
    a: Range<usize>,
    b: Range<usize>,
    words: (&'t [u8], &'t [u8]),
    /// What stands between it and the word before is short, and the same in both.
    joined: bool,
    /// The word before ends with a point.
    pointed: bool,
}

impl Pair<'_> {
    fn differs(&self) -> bool {
        self.words.0 != self.words.1
    }
}

/// What the clocks explain of what differs. `budget` is the work that may still be done.
pub(super) fn find(a: &Side<'_>, b: &Side<'_>, clocks: &Clocks, budget: &mut u64) -> Vec<Match> {
    let mut found = Vec::new();
    for row in rows(a, b) {
        if let Some(face_b) = &clocks.b {
            rows_of_clock(&row, (&clocks.a, face_b), budget, &mut found);
        }
        for pair in row.iter().filter(|p| p.differs()) {
            if found
                .iter()
                .any(|m| m.a.start <= pair.a.start && m.a.end >= pair.a.end)
            {
                continue;
            }
            let both = instant(pair.words.0).zip(instant(pair.words.1));
            if let Some(which) = both.and_then(|(x, y)| clocks.which(x, y)) {
                found.push(Match {
                    a: pair.a.clone(),
                    b: pair.b.clone(),
                    which,
                    bits: clocks.bits(which),
                });
            }
        }
    }
    found
}

/// Runs of digits and runs of letters.
fn words(text: &[u8]) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
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

fn class(b: u8) -> u8 {
    match b {
        b'0'..=b'9' => 1,
        b'a'..=b'z' | b'A'..=b'Z' => 2,
        _ => 0,
    }
}

/// The words that can be paired: from where the texts begin to differ, and, if that does not
/// reach the end, from the end back.
fn rows<'t>(a: &Side<'t>, b: &Side<'t>) -> Vec<Vec<Pair<'t>>> {
    let (of_a, of_b) = (words(a.0), words(b.0));
    let first = |all: &[Range<usize>], at: &Range<usize>| all.partition_point(|w| w.end < at.start);
    let last = |all: &[Range<usize>], at: &Range<usize>| all.partition_point(|w| w.start <= at.end);
    let pair = |i: usize, j: usize| pair(a.0, &of_a, i, b.0, &of_b, j);
    let (from_a, from_b) = (first(&of_a, &a.1), first(&of_b, &b.1));
    let (to_a, to_b) = (last(&of_a, &a.1), last(&of_b, &b.1));
    let before = AROUND.min(from_a).min(from_b);
    let end_a = (to_a + AROUND).min(of_a.len());
    let end_b = (to_b + AROUND).min(of_b.len());
    let forward = (from_a - before..end_a).zip(from_b - before..end_b);
    let mut row = Vec::new();
    for (i, j) in forward {
        let next = pair(i, j);
        // Beyond this the words are no longer the same ones.
        if class(next.words.0[0]) != class(next.words.1[0]) || (!row.is_empty() && !next.joined) {
            if row.last().is_some_and(|p: &Pair<'_>| p.a.end >= a.1.end) {
                break;
            }
            if !same_gap(a.0, &of_a, i, b.0, &of_b, j) {
                break;
            }
        }
        row.push(next);
    }
    let reached = row
        .last()
        .is_some_and(|p| p.a.end >= a.1.end && p.b.end >= b.1.end);
    let mut rows = vec![row];
    if !reached {
        let mut back = Vec::new();
        let backward = (from_a..end_a).rev().zip((from_b..end_b).rev());
        for (i, j) in backward {
            let next = pair(i, j);
            if class(next.words.0[0]) != class(next.words.1[0]) {
                break;
            }
            let same = next.joined || same_gap(a.0, &of_a, i, b.0, &of_b, j);
            back.push(next);
            if !same {
                break;
            }
        }
        back.reverse();
        rows.push(back);
    }
    rows
}

fn pair<'t>(
    a: &'t [u8],
    of_a: &[Range<usize>],
    i: usize,
    b: &'t [u8],
    of_b: &[Range<usize>],
    j: usize,
) -> Pair<'t> {
    let (x, y) = (of_a[i].clone(), of_b[j].clone());
    let gap = gap(a, of_a, i);
    Pair {
        words: (&a[x.clone()], &b[y.clone()]),
        joined: gap.len() <= GAP && same_gap(a, of_a, i, b, of_b, j),
        pointed: matches!(gap, b"." | b","),
        a: x,
        b: y,
    }
}

/// What stands before a word.
fn gap<'t>(text: &'t [u8], words: &[Range<usize>], i: usize) -> &'t [u8] {
    let from = i.checked_sub(1).map_or(0, |before| words[before].end);
    &text[from..words[i].start]
}

/// A pad before a short day of the month does not count.
fn same_gap(
    a: &[u8],
    wa: &[Range<usize>],
    i: usize,
    b: &[u8],
    wb: &[Range<usize>],
    j: usize,
) -> bool {
    let squeezed = |text: &[u8]| {
        let mut gap = text.to_vec();
        gap.dedup_by(|x, y| *x == b' ' && *y == b' ');
        gap
    };
    squeezed(gap(a, wa, i)) == squeezed(gap(b, wb, j))
}

/// Finds the rows that say most first, then looks to their left and right.
fn rows_of_clock(
    row: &[Pair<'_>],
    faces: (&Face, &Face),
    budget: &mut u64,
    found: &mut Vec<Match>,
) {
    let mut todo = Vec::from([(0, row.len())]);
    while let Some((from, to)) = todo.pop() {
        let all = (from..to).filter_map(|start| longest(row, start..to, faces, budget));
        let best = all.max_by(|x, y| x.0.total_cmp(&y.0));
        let Some((bits, at)) = best.filter(|(bits, _)| *bits >= LIKELY) else {
            continue;
        };
        // A year in a date whose day is not the clock's is not the clock's either.
        let before = at.start.checked_sub(1).filter(|_| row[at.start].joined);
        let after = row.get(at.end).filter(|p| p.joined);
        let beside = before.map(|i| &row[i]).into_iter().chain(after);
        if bits < PROVEN && beside.into_iter().any(Pair::differs) {
            continue;
        }
        found.push(Match {
            a: row[at.start].a.start..row[at.end - 1].a.end,
            b: row[at.start].b.start..row[at.end - 1].b.end,
            which: Which::Moved,
            bits,
        });
        todo.push((from, at.start));
        todo.push((at.end, to));
    }
}

/// The longest row from a word on that the clocks explain: how much it says, and where it is.
fn longest(
    row: &[Pair<'_>],
    within: Range<usize>,
    faces: (&Face, &Face),
    budget: &mut u64,
) -> Option<(f64, Range<usize>)> {
    let start = within.start;
    let mut best = None;
    let mut idle = 0;
    for end in start + 1..=within.end.min(start + MOST_WORDS) {
        let last = &row[end - 1];
        if end - start > 1 && !last.joined {
            break;
        }
        let Some(told) = told(&row[start..end], faces, budget) else {
            break;
        };
        if told.last().is_some_and(|p| p.any()) {
            idle = 0;
            let bits = bits(&row[start..end], &told, faces);
            // Only what differs has to be explained.
            if row[start..end].iter().any(Pair::differs) {
                best = Some((bits, start..end));
            }
        } else {
            idle += 1;
            // A zone may stand within a date; more is no date.
            if idle > 1 || end - start == 1 {
                break;
            }
        }
    }
    best
}

/// What each word is, if one second of each clock explains every word that differs.
fn told(row: &[Pair<'_>], faces: (&Face, &Face), budget: &mut u64) -> Option<Vec<Parts>> {
    let of_a = readings(row, false, faces.0, budget);
    if of_a.is_empty() {
        return None;
    }
    let of_b = readings(row, true, faces.1, budget);
    let mut best: Option<(f64, Vec<Parts>)> = None;
    for x in &of_a {
        for y in &of_b {
            let both: Vec<Parts> = x.iter().zip(y).map(|(p, q)| p.and(*q)).collect();
            if both
                .iter()
                .zip(row)
                .any(|(p, pair)| pair.differs() && !p.any())
            {
                continue;
            }
            let bits = bits(row, &both, faces);
            if best.as_ref().is_none_or(|(most, _)| bits > *most) {
                best = Some((bits, both));
            }
        }
    }
    best.map(|(_, told)| told)
}

/// What the words of one side are by the seconds of a clock, each of which explains every word
/// that differs.
fn readings(row: &[Pair<'_>], side_b: bool, face: &Face, budget: &mut u64) -> HashSet<Vec<Parts>> {
    let mut found = HashSet::new();
    for second in &face.seconds {
        let Some(left) = budget.checked_sub(row.len() as u64) else {
            break;
        };
        *budget = left;
        let mut parts: Vec<Parts> = Vec::with_capacity(row.len());
        for pair in row {
            let word = if side_b { pair.words.1 } else { pair.words.0 };
            let mut part = second.parts_of(word);
            let before = parts.last().copied().unwrap_or_default();
            if pair.pointed && before.has(Parts::SECOND.or(Parts::EPOCH)) && class(word[0]) == 1 {
                part = part.or(Parts::FRACTION);
            }
            if pair.differs() && !part.any() {
                break;
            }
            parts.push(part);
        }
        if parts.len() == row.len() && found.len() < READINGS {
            found.insert(parts);
        }
    }
    found
}

/// How much a row says: both sides for what differs, one for what is equal, every word once.
fn bits(row: &[Pair<'_>], told: &[Parts], (a, b): (&Face, &Face)) -> f64 {
    let (span_a, span_b) = (a.span, b.span);
    let mut counted = HashSet::new();
    let mut sum = 0.0;
    let mut times = 0.0;
    for (pair, part) in row.iter().zip(told).filter(|(_, p)| p.any()) {
        if !counted.insert((pair.words, *part)) {
            continue;
        }
        let mut one = part.bits(span_a.seconds()) - part.choice();
        if pair.differs() {
            one += part.bits(span_b.seconds());
        }
        if part.has(Parts::TIMES) {
            times += one.max(0.0);
        }
        sum += one.max(0.0);
    }
    // Three small numbers in the order of a time are one number out of a day's seconds.
    let clock = [Parts::HOUR, Parts::MINUTE, Parts::SECOND];
    let is_time = row.windows(3).zip(told.windows(3)).any(|(pairs, parts)| {
        let order = parts.iter().zip(clock).all(|(p, part)| p.has(part));
        order && pairs.iter().all(Pair::differs)
    });
    if is_time {
        let day = |span: Span| log2(86_400) - log2(span.seconds());
        let together = day(span_a) + day(span_b) - Parts::HOUR.choice();
        sum += (together - times).max(0.0);
    }
    sum
}

#[cfg(test)]
mod tests;
