//! The differing regions of two byte streams, in constant memory.
//!
//! Reads both once, in step. Where they part, it looks for the nearest place at which they agree
//! again: at the same distance first (a changed value), else shifted (something inserted, after
//! which the rest has moved). Equal stretches that are too short to mean anything stay inside a
//! region. The result does not depend on which stream is called A.

use std::io::{self, Read};

mod stream;
mod sync;

use stream::Stream;

/// Shorter equal stretches do not end a region.
const MERGE: usize = 16;

/// Context kept before and after a region.
const CONTEXT: usize = 96;

/// Of a larger region only the beginning is kept.
const KEPT: usize = 8192;

/// A differing region with equal context on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hunk<'h> {
    /// Where it begins in A.
    pub offset_a: u64,
    /// Its length in A.
    pub len_a: u64,
    /// Where it begins in B.
    pub offset_b: u64,
    /// Its length in B.
    pub len_b: u64,
    /// What is before it, the same in A and B.
    pub before: &'h [u8],
    /// A's bytes; all of them unless `cut`.
    pub a: &'h [u8],
    /// B's bytes likewise.
    pub b: &'h [u8],
    /// What is after it, the same in A and B; empty where it was cut.
    pub after: &'h [u8],
    /// Longer than what is kept.
    pub cut: bool,
}

/// Calls `each` for every differing region, in order; how many there are.
pub fn differ(
    a: &mut dyn Read,
    b: &mut dyn Read,
    each: &mut dyn FnMut(&Hunk<'_>),
) -> io::Result<u64> {
    let (mut a, mut b) = (Stream::new(a), Stream::new(b));
    let mut sync = sync::Sync::default();
    let mut open = Region::default();
    let mut total = 0;
    loop {
        a.fill()?;
        b.fill()?;
        let equal = common(a.ahead(), b.ahead());
        if equal > 0 {
            // A region ends where enough is equal after it, or both streams end.
            let ends = a.ends_after(equal) && b.ends_after(equal);
            if open.is_open && (equal >= MERGE || ends) {
                open.after
                    .extend_from_slice(&a.ahead()[..equal.min(CONTEXT)]);
                each(&open.hunk());
                total += 1;
                open.close();
            } else if open.is_open {
                open.take(&a.ahead()[..equal], &b.ahead()[..equal]);
            }
            a.advance(equal);
            b.advance(equal);
            continue;
        }
        if a.ahead().is_empty() && b.ahead().is_empty() {
            break;
        }
        if !open.is_open {
            open.begin(&a, &b);
        }
        let (i, j) = sync.next(&a, &b);
        open.take(&a.ahead()[..i], &b.ahead()[..j]);
        a.advance(i);
        b.advance(j);
    }
    if open.is_open {
        each(&open.hunk());
        total += 1;
    }
    Ok(total)
}

/// Length of the common prefix.
fn common(a: &[u8], b: &[u8]) -> usize {
    const BLOCK: usize = 256;
    let n = a.len().min(b.len());
    let blocks = a[..n].chunks(BLOCK).zip(b[..n].chunks(BLOCK));
    let whole = blocks.take_while(|(x, y)| x == y).count() * BLOCK;
    let whole = whole.min(n);
    let rest = a[whole..n].iter().zip(&b[whole..n]);
    whole + rest.take_while(|(x, y)| x == y).count()
}

/// The region at hand; its buffers are used again.
#[derive(Default)]
struct Region {
    is_open: bool,
    offset_a: u64,
    len_a: u64,
    offset_b: u64,
    len_b: u64,
    before: Vec<u8>,
    a: Vec<u8>,
    b: Vec<u8>,
    after: Vec<u8>,
}

impl Region {
    fn begin(&mut self, a: &Stream<'_>, b: &Stream<'_>) {
        self.is_open = true;
        (self.offset_a, self.offset_b) = (a.offset(), b.offset());
        (self.len_a, self.len_b) = (0, 0);
        let n = suffix(a.behind(), b.behind()).min(CONTEXT);
        let behind = a.behind();
        self.before.extend_from_slice(&behind[behind.len() - n..]);
    }

    fn take(&mut self, a: &[u8], b: &[u8]) {
        self.len_a += a.len() as u64;
        self.len_b += b.len() as u64;
        let room = |kept: &Vec<u8>| KEPT - kept.len().min(KEPT);
        let (x, y) = (room(&self.a), room(&self.b));
        self.a.extend_from_slice(&a[..a.len().min(x)]);
        self.b.extend_from_slice(&b[..b.len().min(y)]);
    }

    fn hunk(&self) -> Hunk<'_> {
        let whole = |kept: &Vec<u8>, len: u64| kept.len() as u64 == len;
        let cut = !whole(&self.a, self.len_a) || !whole(&self.b, self.len_b);
        Hunk {
            offset_a: self.offset_a,
            len_a: self.len_a,
            offset_b: self.offset_b,
            len_b: self.len_b,
            before: &self.before,
            a: &self.a,
            b: &self.b,
            after: if cut { &[] } else { &self.after },
            cut,
        }
    }

    fn close(&mut self) {
        self.is_open = false;
        for part in [&mut self.before, &mut self.a, &mut self.b, &mut self.after] {
            part.clear();
        }
    }
}

/// Length of the common suffix.
fn suffix(a: &[u8], b: &[u8]) -> usize {
    let pairs = a.iter().rev().zip(b.iter().rev());
    pairs.take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests;
