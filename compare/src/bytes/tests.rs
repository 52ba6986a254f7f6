//! Properties: what is between the regions is equal, and the regions turn A into B.

use proptest::prelude::*;

use super::differ;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    a: (usize, usize),
    b: (usize, usize),
}

fn found(a: &[u8], b: &[u8]) -> Vec<Found> {
    let mut all = Vec::new();
    let total = differ(&mut &*a, &mut &*b, &mut |h| {
        let at = |offset: u64, len: u64| {
            let offset = usize::try_from(offset).unwrap();
            (offset, offset + usize::try_from(len).unwrap())
        };
        let (ra, rb) = (at(h.offset_a, h.len_a), at(h.offset_b, h.len_b));
        if !h.cut {
            assert_eq!(h.a, &a[ra.0..ra.1]);
            assert_eq!(h.b, &b[rb.0..rb.1]);
            assert!(a[ra.1..].starts_with(h.after) && b[rb.1..].starts_with(h.after));
        }
        assert!(a[..ra.0].ends_with(h.before) && b[..rb.0].ends_with(h.before));
        all.push(Found { a: ra, b: rb });
    })
    .unwrap();
    assert_eq!(total, all.len() as u64);
    all
}

/// A with every region replaced by B's bytes.
fn patched(a: &[u8], b: &[u8], regions: &[Found]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    for r in regions {
        assert!(r.a.0 >= at);
        out.extend_from_slice(&a[at..r.a.0]);
        assert_eq!(out.len(), r.b.0, "equal parts have the same length");
        out.extend_from_slice(&b[r.b.0..r.b.1]);
        at = r.a.1;
    }
    out.extend_from_slice(&a[at..]);
    out
}

fn check(a: &[u8], b: &[u8]) -> Vec<Found> {
    let regions = found(a, b);
    assert_eq!(patched(a, b, &regions), b);
    assert_eq!(regions.is_empty(), a == b);
    let swapped: Vec<Found> = found(b, a)
        .into_iter()
        .map(|r| Found { a: r.b, b: r.a })
        .collect();
    assert_eq!(regions, swapped, "swapping the streams swaps the regions");
    regions
}

#[test]
fn one_changed_value_is_one_small_region() {
    let mut a: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let b = a.clone();
    a[500_001] ^= 0xff;
    a[500_003] ^= 0xff;
    let regions = check(&a, &b);
    assert_eq!(
        regions,
        [Found {
            a: (500_001, 500_004),
            b: (500_001, 500_004)
        }]
    );
}

#[test]
fn what_is_inserted_does_not_make_the_rest_differ() {
    let lines = |date: &str| {
        let body: Vec<String> = (0..5000)
            .map(|i| format!("        line {i} of the text\n"))
            .collect();
        format!(
            "Built on {date} by the build\n{}end of {date}\n",
            body.concat()
        )
    };
    let (a, b) = (lines("3 April 2026"), lines("13 May 2027"));
    let regions = check(a.as_bytes(), b.as_bytes());
    assert_eq!(regions.len(), 2, "{regions:?}");
    assert!(regions.iter().all(|r| r.a.1 - r.a.0 <= 12), "{regions:?}");
}

#[test]
fn the_end_of_the_shorter_stream() {
    assert_eq!(check(b"", b"").len(), 0);
    assert_eq!(check(b"", b"x").len(), 1);
    assert_eq!(check(b"same", b"same and more").len(), 1);
    let long = vec![b'x'; 300_000];
    assert_eq!(check(&long, &long[..100]).len(), 1);
    assert_eq!(check(&long, b"").len(), 1);
}

/// Bytes that repeat nowhere.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut s = seed;
    let mut next = || {
        s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        s.to_le_bytes()[7]
    };
    (0..len).map(|_| next()).collect()
}

/// Two agreements that are as near as each other: which is taken depends on the content alone.
#[test]
fn what_has_changed_places() {
    let (one, two) = (noise(1, 40), noise(2, 40));
    let a = [
        noise(3, 30),
        one.clone(),
        noise(4, 30),
        two.clone(),
        noise(5, 50),
    ]
    .concat();
    let b = [noise(6, 30), two, noise(7, 30), one, noise(8, 50)].concat();
    check(&a, &b);
}

#[test]
fn noise_is_one_region() {
    let regions = check(&noise(1, 300_000), &noise(2, 300_000));
    assert_eq!(regions.len(), 1, "{regions:?}");
}

/// Reads a byte at a time.
struct Slow<'a>(&'a [u8]);

impl std::io::Read for Slow<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.0.len().min(buf.len()).min(1);
        buf[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

/// A stretch of bytes, an edit of it.
fn edited() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let base = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..3000),
        proptest::collection::vec(b'a'..=b'c', 0..3000),
        "([a-z]{1,8} ){0,400}".prop_map(String::into_bytes),
    ];
    let edit = (
        any::<prop::sample::Index>(),
        0usize..30,
        proptest::collection::vec(any::<u8>(), 0..30),
    );
    (base, proptest::collection::vec(edit, 0..6)).prop_map(|(a, edits)| {
        let mut b = a.clone();
        for (at, drop, put) in edits {
            let at = at.index(b.len() + 1);
            let end = (at + drop).min(b.len());
            b.splice(at..end, put);
        }
        (a, b)
    })
}

proptest! {
    #[test]
    fn regions_turn_a_into_b((a, b) in edited()) {
        check(&a, &b);
    }

    #[test]
    fn of_unrelated_streams_too(a: Vec<u8>, b: Vec<u8>) {
        check(&a, &b);
    }

    #[test]
    fn how_a_reader_cuts_does_not_matter((a, b) in edited()) {
        let mut slow = Vec::new();
        differ(&mut Slow(&a), &mut Slow(&b), &mut |h| slow.push((h.offset_a, h.len_a))).unwrap();
        let mut fast = Vec::new();
        differ(&mut &*a, &mut &*b, &mut |h| fast.push((h.offset_a, h.len_a))).unwrap();
        prop_assert_eq!(slow, fast);
    }
}
