//! Differing bytes that are each run's own clock as a number.

use std::ops::Range;

use belljar_model::Window;
use jiff::{civil, tz::TimeZone};

/// How an instant may stand in a file.
const FORMS: [Form; 10] = [
    Form {
        name: "a 32-bit little-endian epoch",
        width: 4,
        seconds: |b| Some(i64::from(u32::from_le_bytes(b.try_into().ok()?))),
    },
    Form {
        name: "a 32-bit big-endian epoch",
        width: 4,
        seconds: |b| Some(i64::from(u32::from_be_bytes(b.try_into().ok()?))),
    },
    Form {
        name: "a DOS date and time",
        width: 4,
        seconds: dos,
    },
    Form {
        name: "a 64-bit little-endian epoch",
        width: 8,
        seconds: |b| Some(i64::from_le_bytes(b.try_into().ok()?)),
    },
    Form {
        name: "a 64-bit big-endian epoch",
        width: 8,
        seconds: |b| Some(i64::from_be_bytes(b.try_into().ok()?)),
    },
    Form {
        name: "a 64-bit little-endian epoch in milliseconds",
        width: 8,
        seconds: |b| Some(i64::from_le_bytes(b.try_into().ok()?) / 1_000),
    },
    Form {
        name: "a 64-bit big-endian epoch in milliseconds",
        width: 8,
        seconds: |b| Some(i64::from_be_bytes(b.try_into().ok()?) / 1_000),
    },
    Form {
        name: "a 64-bit little-endian epoch in microseconds",
        width: 8,
        seconds: |b| Some(i64::from_le_bytes(b.try_into().ok()?) / 1_000_000),
    },
    Form {
        name: "a 64-bit little-endian epoch in nanoseconds",
        width: 8,
        seconds: |b| Some(i64::from_le_bytes(b.try_into().ok()?) / 1_000_000_000),
    },
    Form {
        name: "a 64-bit big-endian epoch in nanoseconds",
        width: 8,
        seconds: |b| Some(i64::from_be_bytes(b.try_into().ok()?) / 1_000_000_000),
    },
];

struct Form {
    name: &'static str,
    width: usize,
    seconds: fn(&[u8]) -> Option<i64>,
}

/// The two 16-bit words of a FAT directory entry, local time of the sandbox: UTC.
fn dos(bytes: &[u8]) -> Option<i64> {
    let word = u32::from_le_bytes(bytes.try_into().ok()?);
    let part = |shift: u32, bits: u32| i8::try_from(word >> shift & ((1 << bits) - 1)).ok();
    let year = 1980 + i16::from(part(25, 7)?);
    let date = civil::Date::new(year, part(21, 4)?, part(16, 5)?).ok()?;
    let time = civil::Time::new(part(11, 5)?, part(5, 6)?, 2 * part(0, 5)?, 0).ok()?;
    Some(
        TimeZone::UTC
            .to_timestamp(date.to_datetime(time))
            .ok()?
            .as_second(),
    )
}

/// A number of the clock that covers what differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    /// Where it stands, in both.
    pub(super) at: Range<usize>,
    /// What it is.
    pub(super) form: &'static str,
}

/// Looks for numbers that together cover the bytes `differs` of `a` and `b`, which are aligned.
pub(super) fn find(
    a: &[u8],
    b: &[u8],
    differs: Range<usize>,
    windows: (Window, Window),
) -> Vec<Match> {
    let mut found: Vec<Match> = Vec::new();
    let mut next = differs.start;
    while let Some(at) = (next..differs.end).find(|i| a.get(*i) != b.get(*i)) {
        let Some(hit) = covering(a, b, at, windows) else {
            return Vec::new();
        };
        next = hit.at.end;
        found.push(hit);
    }
    found
}

fn covering(a: &[u8], b: &[u8], at: usize, (in_a, in_b): (Window, Window)) -> Option<Match> {
    FORMS.iter().find_map(|form| {
        let first = at.saturating_sub(form.width - 1);
        (first..=at).find_map(|start| {
            let range = start..start + form.width;
            let x = (form.seconds)(a.get(range.clone())?)?;
            let y = (form.seconds)(b.get(range.clone())?)?;
            (inside(x, in_a) && inside(y, in_b)).then_some(Match {
                at: range,
                form: form.name,
            })
        })
    })
}

/// DOS times count in steps of two seconds.
fn inside(second: i64, window: Window) -> bool {
    let from = window.start_ns.div_euclid(1_000_000_000) - 2;
    let to = window.end_ns.div_euclid(1_000_000_000) + 1;
    (from..=to).contains(&second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: i64 = 1_795_514_709;
    const B: i64 = 1_830_379_651;

    fn windows() -> (Window, Window) {
        let window = |s: i64| Window {
            start_ns: s * 1_000_000_000,
            end_ns: (s + 1) * 1_000_000_000,
        };
        (window(A), window(B))
    }

    fn look(a: &[u8], b: &[u8]) -> Vec<&'static str> {
        let a = [b"head", a, b"tail"].concat();
        let b = [b"head", b, b"tail"].concat();
        let range = 4..a.len() - 4;
        find(&a, &b, range, windows())
            .into_iter()
            .map(|m| m.form)
            .collect()
    }

    #[test]
    fn numbers_of_the_clock() {
        let (a, b) = (u32::try_from(A).unwrap(), u32::try_from(B).unwrap());
        assert_eq!(
            look(&a.to_le_bytes(), &b.to_le_bytes()),
            ["a 32-bit little-endian epoch"]
        );
        assert_eq!(
            look(&a.to_be_bytes(), &b.to_be_bytes()),
            ["a 32-bit big-endian epoch"]
        );
        let ns = |s: i64| (s * 1_000_000_000 + 7).to_le_bytes();
        assert_eq!(
            look(&ns(A), &ns(B)),
            ["a 64-bit little-endian epoch in nanoseconds"]
        );
        // 2026-11-24 10:05:08 and 2028-01-01 22:47:30
        let dos = |y: u32, m: u32, d: u32, h: u32, min: u32, s: u32| {
            (((y - 1980) << 25) | (m << 21) | (d << 16) | (h << 11) | (min << 5) | (s / 2))
                .to_le_bytes()
        };
        let (x, y) = (dos(2026, 11, 24, 10, 5, 8), dos(2028, 1, 1, 22, 47, 30));
        assert_eq!(look(&x, &y), ["a DOS date and time"]);
        // twice in one region
        let twice = |n: u32| [n.to_le_bytes(), n.to_le_bytes()].concat();
        assert_eq!(look(&twice(a), &twice(b)).len(), 2);
    }

    proptest! {
        #[test]
        fn random_bytes_are_no_clock(a in prop::array::uniform16(0u8..), b in prop::array::uniform16(0u8..)) {
            prop_assert!(look(&a, &b).is_empty());
        }
    }
}
