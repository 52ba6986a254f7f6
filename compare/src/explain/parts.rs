//! What of an instant programs print, and which of it a word may be.

use jiff::{Timestamp, tz::TimeZone};

/// A way to print an instant, or a part of one. Several may fit one word, so they are a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Parts(u32);

impl Parts {
    pub(super) const EPOCH: Self = Self(1);
    pub(super) const OCTAL: Self = Self(1 << 1);
    pub(super) const STAMP: Self = Self(1 << 2);
    pub(super) const YEAR: Self = Self(1 << 3);
    pub(super) const MONTH: Self = Self(1 << 4);
    pub(super) const MONTH_NAME: Self = Self(1 << 5);
    pub(super) const DAY: Self = Self(1 << 6);
    pub(super) const WEEKDAY: Self = Self(1 << 7);
    pub(super) const HOUR: Self = Self(1 << 8);
    pub(super) const MINUTE: Self = Self(1 << 9);
    pub(super) const SECOND: Self = Self(1 << 10);
    pub(super) const HALF: Self = Self(1 << 11);
    pub(super) const YEAR_SHORT: Self = Self(1 << 12);
    pub(super) const DAY_OF_YEAR: Self = Self(1 << 13);
    pub(super) const WEEK: Self = Self(1 << 14);
    /// Digits after the point of a second: nothing can be said of their value.
    pub(super) const FRACTION: Self = Self(1 << 15);
    pub(super) const CHECKSUM: Self = Self(1 << 16);

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
#[derive(Debug, Clone)]
pub(super) struct Second {
    epoch: i64,
    date: jiff::civil::Date,
    time: jiff::civil::Time,
}

impl Second {
    pub(super) fn at(epoch: i64) -> Option<Self> {
        let civil = TimeZone::UTC.to_datetime(Timestamp::from_second(epoch).ok()?);
        Some(Self {
            epoch,
            date: civil.date(),
            time: civil.time(),
        })
    }

    /// What of this second the word can be.
    pub(super) fn parts_of(&self, word: &[u8]) -> Parts {
        let Ok(word) = std::str::from_utf8(word) else {
            return Parts::default();
        };
        if word.bytes().all(|b| b.is_ascii_digit()) {
            self.number(word)
        } else {
            self.name(&word.to_ascii_lowercase())
        }
    }

    fn name(&self, word: &str) -> Parts {
        let of = |names: &[&str], index: i8, part: Parts| {
            let full = usize::try_from(index).ok().and_then(|i| names.get(i - 1));
            let fits = full
                .is_some_and(|full| word == *full || (word.len() == 3 && full.starts_with(word)));
            if fits { part } else { Parts::default() }
        };
        let month = of(&MONTHS, self.date.month(), Parts::MONTH_NAME);
        let day = of(
            &DAYS,
            self.date.weekday().to_monday_one_offset(),
            Parts::WEEKDAY,
        );
        let half = if self.time.hour() < 12 { "am" } else { "pm" };
        let half = if word == half {
            Parts::HALF
        } else {
            Parts::default()
        };
        month.or(day).or(half)
    }

    fn number(&self, word: &str) -> Parts {
        let (date, time) = (self.date, self.time);
        let mut parts = Parts::default();
        let mut is = |yes: bool, part: Parts| {
            if yes {
                parts = parts.or(part);
            }
        };
        let Ok(value) = word.parse::<i128>() else {
            return parts;
        };
        let epoch = i128::from(self.epoch);
        match word.len() {
            1 | 2 => {
                let hour12 = (time.hour() + 11) % 12 + 1;
                is(value == i128::from(date.month()), Parts::MONTH);
                is(value == i128::from(date.day()), Parts::DAY);
                is(
                    value == i128::from(time.hour()) || value == i128::from(hour12),
                    Parts::HOUR,
                );
                is(value == i128::from(time.minute()), Parts::MINUTE);
                is(value == i128::from(time.second()), Parts::SECOND);
                is(
                    word.len() == 2 && value == i128::from(date.year() % 100),
                    Parts::YEAR_SHORT,
                );
                is(
                    value == i128::from(date.iso_week_date().week()),
                    Parts::WEEK,
                );
            }
            3 => is(value == i128::from(date.day_of_year()), Parts::DAY_OF_YEAR),
            4 => is(value == i128::from(date.year()), Parts::YEAR),
            5..=9 => {
                let stamps = [
                    format!("{:04}{:02}{:02}", date.year(), date.month(), date.day()),
                    format!(
                        "{:02}{:02}{:02}",
                        date.year() % 100,
                        date.month(),
                        date.day()
                    ),
                    format!("{:02}{:02}{:02}", time.hour(), time.minute(), time.second()),
                ];
                is(stamps.iter().any(|s| s == word), Parts::STAMP);
            }
            10 => is(value == epoch, Parts::EPOCH),
            11 => {
                let octal = i64::from_str_radix(word, 8) == Ok(self.epoch);
                is(octal, Parts::OCTAL);
            }
            12 | 14 => {
                let minute = format!(
                    "{:04}{:02}{:02}{:02}{:02}",
                    date.year(),
                    date.month(),
                    date.day(),
                    time.hour(),
                    time.minute()
                );
                let short = format!(
                    "{:02}{:02}{:02}{:02}{:02}{:02}",
                    date.year() % 100,
                    date.month(),
                    date.day(),
                    time.hour(),
                    time.minute(),
                    time.second()
                );
                is(word == minute || word == short, Parts::STAMP);
                is(
                    word == format!("{minute}{:02}", time.second()),
                    Parts::STAMP,
                );
            }
            13 => is(value / 1_000 == epoch, Parts::EPOCH),
            16 => is(value / 1_000_000 == epoch, Parts::EPOCH),
            19 => is(value / 1_000_000_000 == epoch, Parts::EPOCH),
            _ => {}
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("Tue", Parts::WEEKDAY),
            ("10", Parts::HOUR),
            ("05", Parts::MINUTE),
            ("09", Parts::SECOND),
            ("AM", Parts::HALF),
            ("20261124", Parts::STAMP),
            ("20261124100509", Parts::STAMP),
            ("1795514709", Parts::EPOCH),
            ("1795514709123", Parts::EPOCH),
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
        ] {
            assert!(!t.parts_of(word.as_bytes()).any(), "{word}");
        }
    }
}
