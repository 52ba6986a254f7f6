//! Whole files through the comparison: what is found, what is not, and what is said.

use belljar_model::{Cause, Confidence, Window};
use proptest::prelude::*;

use super::clock::Clocks;
use super::{Explainer, names};
use crate::Clock;
use crate::bytes::differ;

// 2026-11-24T10:05:09Z and 2028-01-01T22:47:31Z
pub(super) const A: i64 = 1_795_514_709;
pub(super) const B: i64 = 1_830_379_651;

/// Real seconds between the starts of A and B.
const LATER: i64 = 30;

pub(super) fn clock(second: i64, offset_s: i64) -> Clock {
    Clock {
        window: Window {
            start_ns: second * 1_000_000_000,
            end_ns: (second + 3) * 1_000_000_000,
        },
        offset_s,
    }
}

fn pair() -> (Clock, Clock) {
    (clock(A, 0), clock(B, B - A - LATER))
}

pub(super) fn clocks() -> Clocks {
    let (a, b) = pair();
    Clocks::new(a, b)
}

fn causes_by(a: &[u8], b: &[u8], clocks: Option<(Clock, Clock)>) -> Vec<Cause> {
    let head = |t: &[u8]| t[..t.len().min(8192)].to_vec();
    let mut explainer = Explainer::new(
        &"out".into(),
        clocks.map(|c| c.0),
        clocks.map(|c| c.1),
        (&head(a), &head(b)),
    );
    let total = differ(&mut &*a, &mut &*b, &mut |h| explainer.hunk(h)).unwrap();
    explainer.causes(total)
}

fn causes(a: &[u8], b: &[u8]) -> Vec<Cause> {
    causes_by(a, b, Some(pair()))
}

fn slugs(causes: &[Cause]) -> Vec<(&str, Confidence)> {
    causes
        .iter()
        .map(|c| (c.slug.as_str(), c.confidence))
        .collect()
}

use Confidence::{Likely, Proven, Unknown};

#[test]
fn a_gzip_header() {
    let file = |s: i64| {
        let mut file = b"\x1f\x8b\x08\x00".to_vec();
        file.extend(u32::try_from(s).unwrap().to_le_bytes());
        file.extend(b"\x00\x03the same compressed content");
        file
    };
    let found = causes(&file(A), &file(B));
    assert_eq!(slugs(&found), [("timestamps_in_gzip_headers", Proven)]);
    assert_eq!(found[0].offset, Some(4));
    assert_eq!(
        found[0].evidence,
        "`2026-11-24T10:05:09Z`, the time in a gzip header, at offset 0x4 lies in run A's clock \
         window, `2028-01-01T22:47:31Z` in run B's"
    );
    assert!(found[0].fix.contains("gzip -n"));
    // The same field with the time of a file, which did not move.
    let found = causes(&file(A), &file(A + LATER));
    assert_eq!(slugs(&found), [("timestamps_in_gzip_headers", Proven)]);
    assert_eq!(found[0].variation, None);
    // Of another time: nothing is said.
    assert_eq!(
        slugs(&causes(&file(A), &file(A + 5000))),
        [("unknown", Unknown)]
    );
    // Nothing was run: a field is still a field.
    let found = causes_by(&file(A - 999_999), &file(B + 999_999), None);
    assert_eq!(slugs(&found), [("timestamps_in_gzip_headers", Likely)]);
}

/// A tar archive by hand, with the checksums that tar has.
fn tar(times: &[i64]) -> Vec<u8> {
    let mut file = Vec::new();
    for (i, time) in times.iter().enumerate() {
        let mut head = vec![0; 512];
        let mut put =
            |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, &format!("folder/file{i}"));
        put(100, "0000644\0");
        put(108, "0001750\0");
        put(116, "0001750\0");
        put(124, "00000000005\0");
        put(136, &format!("{time:011o}\0"));
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\x0000");
        let sum: u32 = head.iter().map(|b| u32::from(*b)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        file.extend(head);
        file.extend(b"hello");
        file.resize(file.len().next_multiple_of(512), 0);
    }
    file.resize(file.len() + 1024, 0);
    file
}

#[test]
fn a_tarball_with_its_checksums() {
    let found = causes(&tar(&[A, A + 1, 5]), &tar(&[B, B + 2, 5]));
    assert_eq!(slugs(&found), [("timestamps_in_tarball", Proven)]);
    assert!(
        found[0].evidence.ends_with("and 1 more like it"),
        "{}",
        found[0].evidence
    );
    // Content that differs as well is not explained by that.
    let (mut a, mut b) = (tar(&[A]), tar(&[B]));
    (a[512], b[512]) = (b'x', b'y');
    assert_eq!(
        slugs(&causes(&a, &b)),
        [("timestamps_in_tarball", Proven), ("unknown", Unknown)]
    );
}

#[test]
fn a_static_library() {
    let file = |index: i64, member: i64| {
        let head = |name: &str, time: i64| {
            format!("{name:<16}{time:<12}0     0     100644  4         `\nbody")
        };
        format!("!<arch>\n{}{}", head("/", index), head("part.o/", member)).into_bytes()
    };
    let found = causes(&file(A, A + 1), &file(B, A + LATER));
    assert_eq!(slugs(&found), [("timestamps_in_static_libraries", Proven)]);
}

#[test]
fn compiled_python() {
    let file = |s: i64| {
        let mut file = b"\xcb\x0d\x0d\x0a\0\0\0\0".to_vec();
        file.extend(u32::try_from(s).unwrap().to_le_bytes());
        file.extend(b"\x0c\0\0\0code");
        file
    };
    assert_eq!(
        slugs(&causes(&file(A), &file(A + LATER))),
        [("timestamps_in_pyc", Proven)]
    );
}

#[test]
fn a_date_in_a_program() {
    let file = |date: &str, time: &str| {
        let mut file = b"\x7fELF".to_vec();
        file.extend([0; 300]);
        file.extend(format!("built {date}\0{time}\0tail").as_bytes());
        file.extend([7; 300]);
        file
    };
    let found = causes(
        &file("Nov 24 2026", "10:05:10"),
        &file("Jan  1 2028", "22:47:32"),
    );
    assert_eq!(slugs(&found), [("clock", Proven)]);
    assert!(found[0].fix.contains("__DATE__"));
}

#[test]
fn what_is_only_partly_a_date_is_said_to_be() {
    let found = causes(
        b"built 2026-11-24 10:05:09 on host-7f81c2aa, all well\n",
        b"built 2028-01-01 22:47:31 on host-03bd9e41, all well\n",
    );
    assert_eq!(slugs(&found), [("clock", Proven), ("unknown", Unknown)]);
    assert!(
        found[1].evidence.starts_with("the rest of `"),
        "{}",
        found[1].evidence
    );
    let found = causes(b"value 1, all well", b"value 2x, all well");
    assert_eq!(
        found[0].evidence,
        "`1` in A and `2x` in B at offset 0x6 names no cause"
    );
}

#[test]
fn a_symptom_is_no_cause() {
    let file = |id: u8| {
        let mut file = b"\x7fELF headers of a program\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0".to_vec();
        file.extend([id; 20]);
        file.extend(b"and the rest of it");
        file
    };
    let found = causes(&file(1), &file(2));
    assert_eq!(slugs(&found), [("unknown", Unknown)]);
    assert!(found[0].evidence.contains("build id"));
}

#[test]
fn clocks_that_overlap_prove_nothing() {
    let same = Some((clock(A, 0), clock(A + 1, 0)));
    let (a, b) = (b"on 2026-11-24 at 10:05:09", b"on 2026-11-24 at 10:05:10");
    assert_eq!(slugs(&causes_by(a, b, same)), [("unknown", Unknown)]);
    assert_eq!(slugs(&causes_by(a, b, None)), [("unknown", Unknown)]);
}

#[test]
fn names_with_a_date_are_a_pair() {
    use belljar_model::{Difference, DifferenceKind};
    let item = |path: &str, kind| Difference {
        path: path.into(),
        gating: true,
        kind,
        causes: Vec::new(),
    };
    let mut items = vec![
        item("app-20261124.tar", DifferenceKind::OnlyInA),
        item("app-20280101.tar", DifferenceKind::OnlyInB),
        item("other-20280101.tar", DifferenceKind::OnlyInB),
        item("tmp.x81", DifferenceKind::OnlyInA),
    ];
    let (a, b) = pair();
    names(&mut items, Some(a), Some(b));
    let told: Vec<usize> = items.iter().map(|i| i.causes.len()).collect();
    assert_eq!(told, [1, 1, 0, 0]);
}

/// Noise of the kinds that builds leave.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..2000),
        "([0-9a-f]{8}-[0-9a-f]{4}\n){1,60}".prop_map(String::into_bytes),
        "([a-z]{1,9}[ =]){1,200}".prop_map(String::into_bytes),
        "(/tmp/cc[A-Za-z0-9]{6}\\.o ){1,60}".prop_map(String::into_bytes),
        "(0x[0-9a-f]{12} ){1,60}".prop_map(String::into_bytes),
        "(pid [0-9]{1,5} took [0-9]\\.[0-9]{3}s\n){1,40}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u32>(), 1..400).prop_map(|v| v
            .into_iter()
            .flat_map(|n| (n % 70_000).to_le_bytes())
            .collect()),
    ]
}

/// Noon of 2028-01-01, where `auto` often leads: all its numbers are small.
const NOON: i64 = 1_830_340_800;

/// Clocks of builds that took this long.
fn lasting(seconds: i64) -> (Clock, Clock) {
    let (mut a, mut b) = (clock(A, 0), clock(NOON, NOON - A - LATER));
    a.window.end_ns += seconds * 1_000_000_000;
    b.window.end_ns += seconds * 1_000_000_000;
    b.offset_s -= seconds;
    (a, b)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    /// A wrong cause is worse than none.
    #[test]
    fn noise_is_never_the_clock(
        (a, b) in (noise(), noise()),
        took in prop_oneof![Just(0i64), Just(40), Just(600), Just(4000)],
    ) {
        let found = causes_by(&a, &b, Some(lasting(took)));
        prop_assert!(found.iter().all(|c| c.slug == "unknown"), "{:?}", found);
    }

    #[test]
    fn changes_at_random_places_are_never_the_clock(
        base in noise(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30),
    ) {
        let mut other = base.clone();
        for (at, value) in changes {
            let at = at.index(other.len());
            other[at] = value;
        }
        if base != other {
            let found = causes_by(&base, &other, Some(lasting(600)));
            prop_assert!(found.iter().all(|c| c.slug == "unknown"), "{:?}", found);
        }
    }
}
