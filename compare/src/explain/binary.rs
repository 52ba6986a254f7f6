//! Differing bytes that are each run's own clock as a number.

use std::ops::Range;

use jiff::{civil, tz::TimeZone};

use super::clock::{Clocks, Which};

/// How an instant may stand in a file. The wider ones first, so that a 64-bit number is not
/// taken for its half.
const FORMS: &[Form] = &[
    form("a 64-bit little-endian epoch", 8, |b| signed(le(b))),
    form("a 64-bit big-endian epoch", 8, |b| signed(be(b))),
    form("a 64-bit little-endian epoch in milliseconds", 8, |b| {
        scaled(le(b), 1_000)
    }),
    form("a 64-bit big-endian epoch in milliseconds", 8, |b| {
        scaled(be(b), 1_000)
    }),
    form("a 64-bit little-endian epoch in microseconds", 8, |b| {
        scaled(le(b), 1_000_000)
    }),
    form("a 64-bit big-endian epoch in microseconds", 8, |b| {
        scaled(be(b), 1_000_000)
    }),
    form("a 64-bit little-endian epoch in nanoseconds", 8, |b| {
        scaled(le(b), 1_000_000_000)
    }),
    form("a 64-bit big-endian epoch in nanoseconds", 8, |b| {
        scaled(be(b), 1_000_000_000)
    }),
    form("a floating-point little-endian epoch", 8, |b| float(le(b))),
    form("a floating-point big-endian epoch", 8, |b| float(be(b))),
    form("a Windows file time", 8, |b| {
        Some(scaled(le(b), 10_000_000)? - 11_644_473_600)
    }),
    form("a 64-bit big-endian time since 1904", 8, |b| {
        signed(be(b))?.checked_sub(SINCE_1904)
    }),
    form("an epoch in hexadecimal digits", 8, hexadecimal),
    form("a protobuf varint epoch", 5, varint),
    form("a 32-bit little-endian epoch", 4, |b| signed(le(b))),
    form("a 32-bit big-endian epoch", 4, |b| signed(be(b))),
    form("a DOS date and time", 4, dos),
    form("a 32-bit big-endian time since 1904", 4, |b| {
        Some(signed(be(b))? - SINCE_1904)
    }),
];

/// From 1904 to 1970, in seconds.
const SINCE_1904: i64 = 2_082_844_800;

struct Form {
    name: &'static str,
    width: usize,
    seconds: fn(&[u8]) -> Option<i64>,
}

const fn form(name: &'static str, width: usize, seconds: fn(&[u8]) -> Option<i64>) -> Form {
    Form {
        name,
        width,
        seconds,
    }
}

pub(super) fn le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

pub(super) fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

pub(super) fn signed(n: u64) -> Option<i64> {
    i64::try_from(n).ok()
}

fn scaled(n: u64, scale: u64) -> Option<i64> {
    signed(n / scale)
}

fn float(bits: u64) -> Option<i64> {
    let seconds = f64::from_bits(bits);
    // Up to the year 9999, so that the whole part fits exactly.
    let fits = (1.0..253_402_300_800.0).contains(&seconds);
    #[expect(clippy::cast_possible_truncation, reason = "in range: checked")]
    fits.then_some(seconds as i64)
}

fn hexadecimal(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| i64::from_str_radix(text, 16).ok()).flatten()
}

fn varint(bytes: &[u8]) -> Option<i64> {
    let (last, rest) = bytes.split_last()?;
    let continued = rest.iter().all(|b| b & 0x80 != 0) && last & 0x80 == 0 && *last != 0;
    let n = bytes
        .iter()
        .rev()
        .fold(0, |n, b| n << 7 | u64::from(b & 0x7f));
    continued.then(|| signed(n)).flatten()
}

/// The two 16-bit words of a FAT directory entry, local time of the sandbox: UTC.
pub(super) fn dos(bytes: &[u8]) -> Option<i64> {
    let word = le(bytes);
    let part = |shift: u32, bits: u32| i8::try_from(word >> shift & ((1 << bits) - 1)).ok();
    let year = 1980 + i16::from(part(25, 7)?);
    let date = civil::Date::new(year, part(21, 4)?, part(16, 5)?).ok()?;
    let time = civil::Time::new(part(11, 5)?, part(5, 6)?, 2 * part(0, 5)?, 0).ok()?;
    let stamp = TimeZone::UTC.to_timestamp(date.to_datetime(time)).ok()?;
    Some(stamp.as_second())
}

/// A number on both clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    /// Where it stands, in both.
    pub(super) at: Range<usize>,
    /// What it is.
    pub(super) form: &'static str,
    pub(super) which: Which,
    pub(super) a: i64,
    pub(super) b: i64,
}

/// How many numbers are tried for one byte, which chance has to be charged for.
pub(super) fn trials() -> i64 {
    let all: usize = FORMS.iter().map(|f| f.width).sum();
    i64::try_from(all).unwrap_or(i64::MAX)
}

/// A number of both clocks that covers the byte `at` of `a` and `b`, which are aligned.
pub(super) fn covering(a: &[u8], b: &[u8], at: usize, clocks: &Clocks) -> Option<Hit> {
    FORMS.iter().find_map(|form| {
        let first = at.saturating_sub(form.width - 1);
        (first..=at).find_map(|start| {
            let range = start..start + form.width;
            let x = (form.seconds)(a.get(range.clone())?)?;
            let y = (form.seconds)(b.get(range.clone())?)?;
            Some(Hit {
                which: clocks.which(x, y)?,
                at: range,
                form: form.name,
                a: x,
                b: y,
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::tests::{A, B, clocks};
    use proptest::prelude::*;

    fn look(a: &[u8], b: &[u8]) -> Option<&'static str> {
        let a = [b"head", a, b"tail"].concat();
        let b = [b"head", b, b"tail"].concat();
        let at = (0..a.len()).find(|i| a[*i] != b[*i])?;
        covering(&a, &b, at, &clocks()).map(|hit| hit.form)
    }

    type Encode<'e> = &'e dyn Fn(i64) -> Vec<u8>;

    /// What puts an instant into bytes, against what the table calls it.
    #[test]
    fn numbers_of_the_clock() {
        let word = |s: i64| u32::try_from(s).unwrap();
        let wide = |s: i64| u64::try_from(s).unwrap();
        let float = |s: i64| f64::from(word(s)) + 0.25;
        let encodings: &[(&str, Encode<'_>)] = &[
            ("a 32-bit little-endian epoch", &|s| {
                word(s).to_le_bytes().into()
            }),
            ("a 32-bit big-endian epoch", &|s| {
                word(s).to_be_bytes().into()
            }),
            ("a 64-bit little-endian epoch", &|s| {
                wide(s).to_le_bytes().into()
            }),
            ("a 64-bit big-endian epoch", &|s| {
                wide(s).to_be_bytes().into()
            }),
            ("a 64-bit little-endian epoch in milliseconds", &|s| {
                (wide(s) * 1000 + 7).to_le_bytes().into()
            }),
            ("a 64-bit big-endian epoch in milliseconds", &|s| {
                (wide(s) * 1000 + 7).to_be_bytes().into()
            }),
            ("a 64-bit little-endian epoch in microseconds", &|s| {
                (wide(s) * 1_000_000 + 7).to_le_bytes().into()
            }),
            ("a 64-bit big-endian epoch in nanoseconds", &|s| {
                (wide(s) * 1_000_000_000 + 7).to_be_bytes().into()
            }),
            ("a 64-bit little-endian epoch in nanoseconds", &|s| {
                (wide(s) * 1_000_000_000 + 7).to_le_bytes().into()
            }),
            ("a floating-point little-endian epoch", &|s| {
                float(s).to_le_bytes().into()
            }),
            ("a floating-point big-endian epoch", &|s| {
                float(s).to_be_bytes().into()
            }),
            ("a Windows file time", &|s| {
                ((wide(s) + 11_644_473_600) * 10_000_000 + 3)
                    .to_le_bytes()
                    .into()
            }),
            ("a 64-bit big-endian time since 1904", &|s| {
                (wide(s) + 2_082_844_800).to_be_bytes().into()
            }),
            ("a 32-bit big-endian time since 1904", &|s| {
                (word(s) + 2_082_844_800).to_be_bytes().into()
            }),
            ("an epoch in hexadecimal digits", &|s| {
                format!("{s:08x}").into()
            }),
            ("an epoch in hexadecimal digits", &|s| {
                format!("{s:08X}").into()
            }),
            ("a protobuf varint epoch", &|s| {
                let group = |i: u32| u8::try_from(s >> (7 * i) & 0x7f).unwrap();
                let more = |i| if i < 4 { 0x80 } else { 0 };
                (0..5).map(|i| group(i) | more(i)).collect()
            }),
        ];
        for (name, encode) in encodings {
            assert_eq!(look(&encode(A), &encode(B)), Some(*name));
            // Of another time than the clocks': nothing.
            assert_eq!(look(&encode(A - 100_000), &encode(B)), None, "{name}");
            assert_eq!(look(&encode(A), &encode(B + 100_000)), None, "{name}");
        }
    }

    #[test]
    fn a_dos_date() {
        // 2026-11-24 10:05:08 and 2028-01-01 22:47:30
        let dos = |y: u32, m: u32, d: u32, h: u32, min: u32, s: u32| {
            ((y - 1980) << 25 | m << 21 | d << 16 | h << 11 | min << 5 | (s / 2)).to_le_bytes()
        };
        let (x, y) = (dos(2026, 11, 24, 10, 5, 8), dos(2028, 1, 1, 22, 47, 30));
        assert_eq!(look(&x, &y), Some("a DOS date and time"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn random_bytes_are_no_clock(a in prop::array::uniform16(0u8..), b in prop::array::uniform16(0u8..)) {
            let found = look(&a, &b);
            prop_assert!(found.is_none(), "{:?}", found);
        }

        #[test]
        fn anything_at_all_is_decoded_without_a_panic(a: Vec<u8>, b: Vec<u8>, at in 0usize..40) {
            let _ = covering(&a, &b, at, &clocks());
            for form in FORMS {
                let _ = a.get(..form.width).and_then(form.seconds);
            }
        }
    }
}
