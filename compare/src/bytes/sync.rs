//! Where two streams that have parted agree again.

use super::stream::{AHEAD, Stream};
use super::{MERGE, common, suffix};

/// How far ahead an agreement is looked for.
const REACH: usize = AHEAD / 2;

/// Equal bytes that make a shifted agreement; fewer are chance.
const SHIFTED: usize = 24;

/// Equal bytes that count whatever they are: fill, blanks.
const PLENTY: usize = 64;

/// Different values among equal bytes that are not just fill.
const VARIED: usize = 4;

/// A shifted agreement is looked for where none at the same distance is nearer than this.
const NEAR: usize = 64;

/// Looking for a shift costs; after so many in one pair of streams, or so many without success in
/// a row, none is looked for (compressed or encrypted content).
const TRIES: u32 = 20_000;
const FAILURES: u32 = 6;

/// One slot of the table of B's places for each hash.
const SLOTS: usize = 1 << 15;

#[derive(Default)]
pub(super) struct Sync {
    tries: u32,
    failures: u32,
    table: Vec<u32>,
}

impl Sync {
    /// How many bytes of each stream differ before they agree again, or all that was looked at.
    /// The first bytes ahead differ, or one stream has ended.
    pub(super) fn next(&mut self, a: &Stream<'_>, b: &Stream<'_>) -> (usize, usize) {
        // By content, so that swapping the streams swaps the result and nothing else.
        if a.ahead() > b.ahead() {
            let (j, i) = self.ordered(b, a);
            return (i, j);
        }
        self.ordered(a, b)
    }

    fn ordered(&mut self, a: &Stream<'_>, b: &Stream<'_>) -> (usize, usize) {
        let (x, y) = (a.ahead(), b.ahead());
        let reach = |s: &[u8]| s.len().min(REACH);
        let straight = straight(x, y);
        if let Some(k) = straight.filter(|k| *k <= NEAR) {
            self.failures = 0;
            return (k, k);
        }
        let mut best = straight.map(|k| (k, k));
        if self.tries < TRIES && self.failures < FAILURES {
            self.tries += 1;
            if let Some((i, j)) = self.shifted(&x[..reach(x)], &y[..reach(y)])
                && best.is_none_or(|(k, _)| i + j < k)
            {
                best = Some((i, j));
            }
        }
        if let Some(found) = best {
            self.failures = 0;
            return found;
        }
        // To the end of both streams there is always an agreement: their common tail.
        if a.ended() && b.ended() && x.len() <= AHEAD && y.len() <= AHEAD {
            let tail = suffix(x, y);
            return (x.len() - tail, y.len() - tail);
        }
        self.failures += 1;
        let step = reach(x).min(reach(y));
        match step {
            0 => (reach(x), reach(y)),
            step => (step, step),
        }
    }

    /// The nearest agreement at different distances.
    fn shifted(&mut self, x: &[u8], y: &[u8]) -> Option<(usize, usize)> {
        self.table.clear();
        self.table.resize(SLOTS, 0);
        for (j, gram) in y.windows(SHIFTED).enumerate() {
            let slot = &mut self.table[slot(gram)];
            if *slot == 0 {
                *slot = u32::try_from(j + 1).unwrap_or(0);
            }
        }
        let mut best: Option<(usize, usize)> = None;
        for (i, gram) in x.windows(SHIFTED).enumerate() {
            if best.is_some_and(|(bi, bj)| i >= bi + bj) {
                break;
            }
            let Some(j) = (self.table[slot(gram)] as usize).checked_sub(1) else {
                continue;
            };
            if best.is_some_and(|(bi, bj)| i + j >= bi + bj) {
                continue;
            }
            let equal = common(&x[i..], &y[j..]);
            if equal >= SHIFTED && means_something(&x[i..i + equal]) {
                let back = suffix(&x[..i], &y[..j]);
                best = Some((i - back, j - back));
            }
        }
        // Both streams must lose something or one of them, never none.
        best.filter(|(i, j)| i + j > 0)
    }
}

/// The nearest agreement at the same distance.
fn straight(x: &[u8], y: &[u8]) -> Option<usize> {
    let n = x.len().min(y.len()).min(REACH);
    let mut k = 0;
    while k < n {
        let parted = x[k..n].iter().zip(&y[k..n]).take_while(|(p, q)| p != q);
        k += parted.count();
        let equal = common(&x[k..], &y[k..]);
        if equal >= MERGE && means_something(&x[k..k + equal]) {
            return Some(k);
        }
        k += equal.max(1);
    }
    None
}

/// Whether equal bytes are more than a run of fill.
fn means_something(equal: &[u8]) -> bool {
    if equal.len() >= PLENTY {
        return true;
    }
    let mut seen = [false; 256];
    let mut different = 0;
    for b in equal {
        if !seen[usize::from(*b)] {
            seen[usize::from(*b)] = true;
            different += 1;
        }
    }
    different >= VARIED
}

fn slot(gram: &[u8]) -> usize {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    for part in gram.chunks_exact(8) {
        let word = part.iter().fold(0u64, |w, b| w << 8 | u64::from(*b));
        h = (h ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h ^= h >> 29;
    }
    usize::try_from(h >> 20).unwrap_or(0) % SLOTS
}
