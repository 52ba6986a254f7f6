//! What of an instant programs print, which of it a word may be, and how much that says.

use jiff::{Timestamp, tz::TimeZone};

use super::clock::log2;

/// A way to print an instant, or a part of one. Several may fit one word, so they are a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Parts(u32);

impl Parts {
    /// Seconds since the epoch, or parts of them, in decimal digits.
    pub(super) const EPOCH: Self = Self(1);
    /// Seconds since the epoch in eleven octal digits, as tar has them.
    pub(super) const OCTAL: Self = Self(1 << 1);
    /// `20261124` and its like.
    pub(super) const DATE: Self = Self(1 << 2);
    /// `100509`.
    pub(super) const TIME: Self = Self(1 << 3);
    /// `20261124100509` and its like.
    pub(super) const BOTH: Self = Self(1 << 4);
    pub(super) const YEAR: Self = Self(1 << 5);
    pub(super) const MONTH: Self = Self(1 << 6);
    pub(super) const MONTH_NAME: Self = Self(1 << 7);
    pub(super) const DAY: Self = Self(1 << 8);
    pub(super) const WEEKDAY: Self = Self(1 << 9);
    pub(super) const HOUR: Self = Self(1 << 10);
    pub(super) const MINUTE: Self = Self(1 << 11);
    pub(super) const SECOND: Self = Self(1 << 12);
    pub(super) const HALF: Self = Self(1 << 13);
    pub(super) const YEAR_SHORT: Self = Self(1 << 14);
    pub(super) const DAY_OF_YEAR: Self = Self(1 << 15);
    pub(super) const WEEK: Self = Self(1 << 16);
    /// `24th`: follows from the day.
    pub(super) const ORDINAL: Self = Self(1 << 17);
    /// Digits after the point of a second: nothing can be said of their value.
    pub(super) const FRACTION: Self = Self(1 << 18);

    /// The parts of a time of day.
    pub(super) const TIMES: Self = Self(Self::HOUR.0 | Self::MINUTE.0 | Self::SECOND.0);

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    pub(super) fn any(self) -> bool {
        self.0 != 0
    }
    pub(super) fn has(self, part: Self) -> bool {
        self.0 & part.0 != 0
    }
    /// How many bits chance had to get right for a word of one side, with a clock that showed
    /// `seconds` seconds: of all readings the one that says least.
    pub(super) fn bits(self, seconds: i64) -> f64 {
        let least = |step: i64, all: i64| log2(all) - log2((seconds / step + 1).min(all));
        let table = [
            (Self::EPOCH.or(Self::OCTAL), 32.0 - log2(seconds)),
            (Self::BOTH, 30.0 - log2(seconds)),
            (Self::DATE, 15.0),
            (Self::TIME, log2(86_400) - log2(seconds)),
            (Self::YEAR, 6.5),
            (Self::MONTH.or(Self::MONTH_NAME), 3.5),
            (Self::DAY, 5.0),
            (Self::WEEKDAY, 2.8),
            (Self::HOUR, least(3600, 24)),
            (Self::MINUTE, least(60, 60)),
            (Self::SECOND, least(1, 60)),
            (Self::HALF, 1.0),
            (Self::YEAR_SHORT, 5.0),
            (Self::DAY_OF_YEAR, 8.5),
            (Self::WEEK, 5.5),
            (Self::ORDINAL.or(Self::FRACTION), 0.0),
        ];
        let fitting = table.iter().filter(|(part, _)| self.has(*part));
        fitting
            .map(|(_, bits)| *bits)
            .reduce(f64::min)
            .unwrap_or(0.0)
            .max(0.0)
    }

    /// What a small number gives away by being allowed to be any of several parts.
    pub(super) fn choice(self) -> f64 {
        const SMALL: Parts = Parts(
            Parts::MONTH.0
                | Parts::DAY.0
                | Parts::HOUR.0
                | Parts::MINUTE.0
                | Parts::SECOND.0
                | Parts::YEAR_SHORT.0
                | Parts::WEEK.0,
        );
        if self.has(SMALL) { 2.6 } else { 0.0 }
    }
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// One second of the clock, taken apart in UTC, which is the zone inside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Second {
    epoch: i64,
    year: u64,
    month: u64,
    day: u64,
    weekday: usize,
    hour: u64,
    minute: u64,
    seconds: u64,
    day_of_year: u64,
    week: u64,
}

impl Second {
    pub(super) fn at(epoch: i64) -> Option<Self> {
        let civil = TimeZone::UTC.to_datetime(Timestamp::from_second(epoch).ok()?);
        let date = civil.date();
        let n = |value: i8| u64::try_from(value).ok();
        Some(Self {
            epoch,
            year: u64::try_from(date.year()).ok()?,
            month: n(date.month())?,
            day: n(date.day())?,
            weekday: usize::try_from(date.weekday().to_monday_zero_offset()).ok()?,
            hour: n(civil.hour())?,
            minute: n(civil.minute())?,
            seconds: n(civil.second())?,
            day_of_year: u64::try_from(date.day_of_year()).ok()?,
            week: n(date.iso_week_date().week())?,
        })
    }

    /// What of this second the word can be.
    pub(super) fn parts_of(&self, word: &[u8]) -> Parts {
        if word.iter().all(u8::is_ascii_digit) {
            return self.number(word);
        }
        self.name(word)
    }

    fn name(&self, word: &[u8]) -> Parts {
        let is = |full: &str| full.as_bytes().eq_ignore_ascii_case(word);
        // `Nov`, `Sept`, `Thurs`, `November`.
        let begins = |full: &str| {
            (3..=5).contains(&word.len())
                && full
                    .as_bytes()
                    .get(..word.len())
                    .is_some_and(|f| f.eq_ignore_ascii_case(word))
        };
        let named = |names: &[&str], index: u64| {
            let full = usize::try_from(index).ok().and_then(|i| names.get(i));
            full.is_some_and(|full| is(full) || begins(full))
        };
        let ordinal = match self.day {
            1 | 21 | 31 => "st",
            2 | 22 => "nd",
            3 | 23 => "rd",
            _ => "th",
        };
        let half = if self.hour < 12 { "am" } else { "pm" };
        set(&[
            (
                named(&MONTHS, self.month.saturating_sub(1)),
                Parts::MONTH_NAME,
            ),
            (named(&DAYS, self.weekday as u64), Parts::WEEKDAY),
            (is(half), Parts::HALF),
            (is(ordinal), Parts::ORDINAL),
        ])
    }

    fn number(&self, word: &[u8]) -> Parts {
        let Some(value) = decimal(word) else {
            return Parts::default();
        };
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            seconds,
            ..
        } = *self;
        let short = year % 100;
        let date = (year * 100 + month) * 100 + day;
        let time = (hour * 100 + minute) * 100 + seconds;
        let epoch = |scale: u64| i64::try_from(value / scale) == Ok(self.epoch);
        match word.len() {
            1 | 2 => set(&[
                (value == month, Parts::MONTH),
                (value == day, Parts::DAY),
                (value == hour || value == (hour + 11) % 12 + 1, Parts::HOUR),
                (value == minute, Parts::MINUTE),
                (value == seconds, Parts::SECOND),
                (value == self.week, Parts::WEEK),
                (value == short && word.len() == 2, Parts::YEAR_SHORT),
            ]),
            3 => set(&[(value == self.day_of_year, Parts::DAY_OF_YEAR)]),
            4 => set(&[(value == year, Parts::YEAR)]),
            6 => set(&[
                (value == date % 1_000_000, Parts::DATE),
                (value == time, Parts::TIME),
            ]),
            7 => set(&[(value == year * 1000 + self.day_of_year, Parts::DATE)]),
            8 => {
                let others = [(day * 100 + month), (month * 100 + day)];
                let turned = others.iter().any(|dm| value == dm * 10_000 + year);
                set(&[(value == date || turned, Parts::DATE)])
            }
            10 => set(&[(epoch(1), Parts::EPOCH)]),
            11 => set(&[(octal(word) == Some(self.epoch), Parts::OCTAL)]),
            12 => set(&[
                (value == date * 10_000 + time / 100, Parts::BOTH),
                (value == date % 1_000_000 * 1_000_000 + time, Parts::BOTH),
            ]),
            13 => set(&[(epoch(1_000), Parts::EPOCH)]),
            14 => set(&[(value == date * 1_000_000 + time, Parts::BOTH)]),
            16 => set(&[(epoch(1_000_000), Parts::EPOCH)]),
            19 => set(&[(epoch(1_000_000_000), Parts::EPOCH)]),
            _ => Parts::default(),
        }
    }
}

fn set(all: &[(bool, Parts)]) -> Parts {
    let fitting = all.iter().filter(|(fits, _)| *fits);
    fitting.fold(Parts::default(), |set, (_, part)| set.or(*part))
}

/// At most 19 digits, so that it fits.
pub(super) fn decimal(word: &[u8]) -> Option<u64> {
    if word.is_empty() || word.len() > 19 || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(word.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
}

pub(super) fn octal(word: &[u8]) -> Option<i64> {
    if word.is_empty() || word.len() > 12 || !word.iter().all(|b| (b'0'..=b'7').contains(b)) {
        return None;
    }
    Some(word.iter().fold(0, |n, d| n * 8 + i64::from(d - b'0')))
}

/// The instant that a long number is by itself: seconds, or thousandths and so on, or octal.
pub(super) fn instant(word: &[u8]) -> Option<i64> {
    let value = || i64::try_from(decimal(word)?).ok();
    match word.len() {
        10 => value(),
        11 => octal(word),
        13 => Some(value()? / 1_000),
        16 => Some(value()? / 1_000_000),
        19 => Some(value()? / 1_000_000_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_of_one_second() {
        // 2026-11-24T10:05:09Z, a Tuesday
        let t = Second::at(1_795_514_709).unwrap();
        for (word, part) in [
            ("2026", Parts::YEAR),
            ("Nov", Parts::MONTH_NAME),
            ("november", Parts::MONTH_NAME),
            ("11", Parts::MONTH),
            ("24", Parts::DAY),
            ("th", Parts::ORDINAL),
            ("Tue", Parts::WEEKDAY),
            ("TUES", Parts::WEEKDAY),
            ("10", Parts::HOUR),
            ("05", Parts::MINUTE),
            ("09", Parts::SECOND),
            ("AM", Parts::HALF),
            ("48", Parts::WEEK),
            ("20261124", Parts::DATE),
            ("261124", Parts::DATE),
            ("24112026", Parts::DATE),
            ("2026328", Parts::DATE),
            ("100509", Parts::TIME),
            ("20261124100509", Parts::BOTH),
            ("261124100509", Parts::BOTH),
            ("202611241005", Parts::BOTH),
            ("1795514709", Parts::EPOCH),
            ("1795514709123", Parts::EPOCH),
            ("1795514709123456", Parts::EPOCH),
            ("1795514709123456789", Parts::EPOCH),
            ("15301260525", Parts::OCTAL),
            ("328", Parts::DAY_OF_YEAR),
        ] {
            assert!(t.parts_of(word.as_bytes()).has(part), "{word}");
        }
        for word in [
            "2027",
            "Dec",
            "Wed",
            "1795514708",
            "20261125",
            "3",
            "999",
            "x",
            "",
            "st",
            "PM",
        ] {
            assert!(!t.parts_of(word.as_bytes()).any(), "{word}");
        }
    }

    proptest! {
        #[test]
        fn any_word_at_any_second(word: Vec<u8>, digits in "[0-9]{0,25}", epoch: i64) {
            let seconds = [Second::at(epoch), Second::at(epoch % 5_000_000_000)];
            for second in seconds.into_iter().flatten() {
                for word in [&word[..], digits.as_bytes()] {
                    let parts = second.parts_of(word);
                    prop_assert!(parts.bits(10) >= 0.0);
                }
            }
            let _ = instant(digits.as_bytes());
        }
    }
}
