//! Dates as programs print them, and what looks like one.

use super::*;
use crate::explain::clock::PROVEN;
use crate::explain::tests::clocks;
use proptest::prelude::*;

/// What differs between two texts, as the comparison would give it.
fn sides<'t>(a: &'t str, b: &'t str) -> (Side<'t>, Side<'t>) {
    let common = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let tail = a.as_bytes()[common..]
        .iter()
        .rev()
        .zip(b.as_bytes()[common..].iter().rev());
    let tail = tail.take_while(|(x, y)| x == y).count();
    let side = |s: &'t str| (s.as_bytes(), common..s.len() - tail);
    (side(a), side(b))
}

fn look(a: &str, b: &str) -> Vec<Match> {
    let (a, b) = sides(a, b);
    find(&a, &b, &clocks(), &mut 10_000_000)
}

fn best(a: &str, b: &str) -> Option<bool> {
    let all = look(a, b).into_iter().map(|m| m.bits);
    all.reduce(f64::max).map(|bits| bits >= PROVEN)
}

#[test]
fn dates_that_each_run_would_print() {
    for (a, b, proven) in [
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
        (
            "Tuesday, November 24th, 2026",
            "Saturday, January 1st, 2028",
            true,
        ),
        ("11/24/2026 10:05 AM", "01/01/2028 10:47 PM", true),
        ("24.11.2026", "1.1.2028", true),
        ("x=1795514709;", "x=1830379651;", true),
        ("1795514709.123", "1830379651.987", true),
        ("t=1795514709123456789", "t=1830379651987654321", true),
        ("20261124T100509Z", "20280101T224731Z", true),
        ("261124100509Z", "280101224731Z", true),
        ("D:20261124100509", "D:20280101224731", true),
        ("mtime 15301260525", "mtime 15506260203", true),
        ("v-20261124.tar", "v-20280101.tar", true),
        ("(c) 2026 Us", "(c) 2028 Us", false),
        ("November 2026", "January 2028", false),
        ("2026-11", "2028-01", false),
        ("10:05", "22:47", false),
    ] {
        assert_eq!(best(a, b), Some(proven), "{a} / {b}: {:?}", look(a, b));
    }
}

#[test]
fn what_no_clock_printed() {
    for (a, b) in [
        ("2026-11-25", "2028-02-02"),
        ("seed 24", "seed 1"),
        ("pid 5", "pid 47"),
        ("took 9 s", "took 31 s"),
        ("1795514000", "1830379651"),
        ("abc", "abd"),
        ("2026", "2027"),
        ("version 2.11", "version 3.12"),
        ("Nov", "Dec"),
        ("am", "pm"),
    ] {
        assert_eq!(look(a, b), [], "{a} / {b}");
    }
}

#[test]
fn a_date_beside_something_else() {
    let found = look(
        "2026-11-24 10:05:09 pid=831 ok",
        "2028-01-01 22:47:31 pid=9021 ok",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].a, 0..19);
    let found = look("id 7f3 at 2026-11-24", "id a04 at 2028-01-01");
    assert_eq!(
        found
            .iter()
            .map(|m| (m.a.start, m.a.end))
            .collect::<Vec<_>>(),
        [(10, 20)]
    );
}

#[test]
fn a_day_that_moved_with_a_year_that_did_not() {
    use crate::explain::tests::{A, clock};
    let clocks = Clocks::new(clock(A, 0), clock(A + 86_400, 86_400));
    let (a, b) = sides("on 2026-11-24", "on 2026-11-25");
    let found = find(&a, &b, &clocks, &mut 1_000_000);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].a, 3..13);
    let (a, b) = sides("on page 24", "on page 25");
    assert_eq!(find(&a, &b, &clocks, &mut 1_000_000), []);
}

#[test]
fn stamps_of_files_are_on_bs_real_clock() {
    use crate::explain::tests::A;
    let found = look(&format!("mtime {A}"), &format!("mtime {}", A + 30));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].which, Which::Real);
    assert_eq!(
        look(&format!("mtime {A}"), &format!("mtime {}", A + 3000)),
        []
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn hex_digests_are_no_clock(a in "[0-9a-f]{32}", b in "[0-9a-f]{32}") {
        prop_assert_eq!(best(&a, &b).filter(|proven| *proven), None);
    }

    #[test]
    fn random_numbers_are_no_clock(a in "([0-9]{1,5}[ ,:.]){8}", b in "([0-9]{1,5}[ ,:.]){8}") {
        prop_assert_eq!(best(&a, &b).filter(|proven| *proven), None);
    }

    #[test]
    fn random_words_are_no_clock(a in "([a-z]{1,9} ){6}", b in "([a-z]{1,9} ){6}") {
        prop_assert_eq!(best(&a, &b), None);
    }

    #[test]
    fn anything_at_all_is_looked_at_without_a_panic(
        a: Vec<u8>, b: Vec<u8>, s in 0usize..40, e in 0usize..40,
    ) {
        let side = |t: &Vec<u8>| { let s = s.min(t.len()); s..(s + e).min(t.len()) };
        let _ = find(&(&a[..], side(&a)), &(&b[..], side(&b)), &clocks(), &mut 100_000);
    }
}
