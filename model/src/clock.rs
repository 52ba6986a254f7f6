//! The skew: the rule that a plan holds, and the offset that it resolves to at a run's start.

use jiff::{Timestamp, civil, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// 398 days in seconds: a year, a long month and a day, the distance that `auto` aims at.
const AUTO_TARGET: i64 = 398 * 86_400;

/// How run B's wall clock is moved. A rule, not a fact of the moment: the same request has the
/// same plan digest tomorrow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", tag = "rule")]
pub enum Skew {
    /// The offset that [`auto_offset`] finds.
    Auto,
    /// A fixed number of seconds, negative for the past.
    By {
        /// Seconds.
        seconds: i64,
    },
    /// So that run B starts at this instant.
    To {
        /// RFC 3339, UTC.
        at: String,
    },
}

/// A run's wall-clock interval as the build saw it, in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Window {
    /// First instant at which the build may have read the clock.
    pub start_ns: i64,
    /// Last instant at which the build may have read the clock.
    pub end_ns: i64,
}

/// A skew that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkewError {
    /// Not a duration, not a date.
    #[error(
        "`{0}` is no duration (400d, -3h, 90m) and no date (2030-01-01 or 2030-01-01T00:00:00Z)"
    )]
    Syntax(String),
    /// Run B would start before the newest input was written.
    #[error("the clock would start at {start}, before the newest input ({newest})")]
    BeforeInputs {
        /// Run B's start, RFC 3339.
        start: String,
        /// The newest input's mtime, RFC 3339.
        newest: String,
    },
    /// The instant is outside the years that programs can count (1970 to 9999).
    #[error("the clock would start outside the years 1970 to 9999")]
    OutOfRange,
}

impl Skew {
    /// Reads `auto`, a duration with one unit (`s m h d w y`), or an RFC 3339 date.
    pub fn parse(s: &str) -> Result<Self, SkewError> {
        if s == "auto" {
            return Ok(Self::Auto);
        }
        let bad = || SkewError::Syntax(s.to_owned());
        if let Ok(at) = s.parse::<Timestamp>() {
            return Ok(Self::To { at: at.to_string() });
        }
        if let Ok(date) = s.parse::<civil::Date>() {
            let midnight = date.at(0, 0, 0, 0);
            let at = TimeZone::UTC.to_timestamp(midnight).map_err(|_| bad())?;
            return Ok(Self::To { at: at.to_string() });
        }
        let unit = s.chars().last().ok_or_else(bad)?;
        let scale = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            'y' => 31_536_000,
            _ => return Err(bad()),
        };
        let number = &s[..s.len() - unit.len_utf8()];
        let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
        if !digits.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(bad());
        }
        let n: i64 = number.parse().map_err(|_| bad())?;
        let seconds = n.checked_mul(scale).ok_or_else(bad)?;
        Ok(Self::By { seconds })
    }

    /// The offset in whole seconds for a pair whose run A started at `a_start` and whose run B
    /// starts at `b_start` (both real, seconds since the epoch), with inputs no newer than `newest_input`.
    pub fn resolve(&self, a_start: i64, b_start: i64, newest_input: i64) -> Result<i64, SkewError> {
        let offset = match self {
            Self::Auto => auto_offset(a_start, b_start, newest_input)?,
            Self::By { seconds } => *seconds,
            Self::To { at } => {
                let at: Timestamp = at.parse().map_err(|_| SkewError::Syntax(at.clone()))?;
                at.as_second() - b_start
            }
        };
        let start = b_start.checked_add(offset).ok_or(SkewError::OutOfRange)?;
        if !(0..253_402_300_800).contains(&start) {
            return Err(SkewError::OutOfRange);
        }
        if start < newest_input {
            return Err(SkewError::BeforeInputs {
                start: rfc3339(start),
                newest: rfc3339(newest_input),
            });
        }
        Ok(offset)
    }
}

fn rfc3339(s: i64) -> String {
    Timestamp::from_second(s).map_or_else(|_| s.to_string(), |t| t.to_string())
}

fn civil_utc(s: i64) -> Result<civil::DateTime, SkewError> {
    let t = Timestamp::from_second(s).map_err(|_| SkewError::OutOfRange)?;
    Ok(TimeZone::UTC.to_datetime(t))
}

/// Whether every date part that programs print differs between the two days.
fn days_differ(a: civil::Date, b: civil::Date) -> bool {
    a.year() != b.year()
        && a.month() != b.month()
        && a.day() != b.day()
        && a.weekday() != b.weekday()
        && a.iso_week_date().week() != b.iso_week_date().week()
        && (a.day() < 10) != (b.day() < 10)
}

/// Whether hour, minute, second, am/pm all differ between two seconds of the day.
fn times_differ(a: i64, b: i64) -> bool {
    a / 3600 != b / 3600
        && a / 60 % 60 != b / 60 % 60
        && a % 60 != b % 60
        && (a < 43_200) != (b < 43_200)
}

/// Orders instants by distance from `target`, the later one first where two are as near.
fn nearness(instant: i64, target: i64) -> (i64, bool) {
    ((instant - target).abs(), instant < target)
}

/// The offset, in seconds, nearest to 398 days (ties forward) for which, against A's start, year,
/// month, day, weekday, hour, minute, second, am/pm, ISO week and the number of digits of the day
/// all differ in UTC, and B does not start before the newest input.
///
/// The distance is measured from `b_start + 398 days`: B starts later than A, and what counts is
/// what B's clock shows.
pub fn auto_offset(a_start: i64, b_start: i64, newest_input: i64) -> Result<i64, SkewError> {
    let a = civil_utc(a_start)?;
    let a_tod = a_start.rem_euclid(86_400);
    let target = b_start + AUTO_TARGET;
    let target_day = target.div_euclid(86_400);
    let mut best: Option<i64> = None;
    let ok = |tod: &i64| times_differ(a_tod, *tod);
    for distance in 0..800 {
        for day in [target_day + distance, target_day - distance] {
            let start = day * 86_400;
            if !days_differ(a.date(), civil_utc(start)?.date()) {
                continue;
            }
            let late_enough = |tod: &i64| start + tod >= newest_input;
            let mut times = (0..86_400).filter(ok).filter(late_enough);
            // On a later day the earliest time is nearest, on an earlier day the latest.
            let nearest = match distance {
                0 => times.min_by_key(|tod| nearness(start + tod, target)),
                _ if day > target_day => times.next(),
                _ => times.next_back(),
            };
            best = best
                .into_iter()
                .chain(nearest.map(|tod| start + tod))
                .min_by_key(|instant| nearness(*instant, target));
        }
        // One further day on either side can't be nearer than what is found already.
        if best.is_some_and(|found| (found - target).abs() <= distance * 86_400) {
            break;
        }
    }
    let found = best.ok_or(SkewError::BeforeInputs {
        start: rfc3339(target),
        newest: rfc3339(newest_input),
    })?;
    Ok(found - b_start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn syntax() {
        assert_eq!(
            Skew::parse("400d"),
            Ok(Skew::By {
                seconds: 34_560_000
            })
        );
        assert_eq!(Skew::parse("-3h"), Ok(Skew::By { seconds: -10_800 }));
        assert_eq!(
            Skew::parse("2030-01-01"),
            Ok(Skew::To {
                at: "2030-01-01T00:00:00Z".into()
            })
        );
        for bad in [
            "",
            "d",
            "4",
            "4x",
            "++4d",
            "+-4d",
            "99999999999999999y",
            "2030-13-01",
        ] {
            assert!(Skew::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn inputs_of_the_future_are_refused() {
        let e = Skew::By { seconds: -86_400 }.resolve(1_000_000, 1_000_000, 950_000);
        assert!(matches!(e, Err(SkewError::BeforeInputs { .. })));
    }

    proptest! {
        #[test]
        fn auto_moves_every_part(a in 0i64..4_000_000_000, later in 0i64..100_000) {
            let b = a + later;
            let off = auto_offset(a, b, a).unwrap();
            let (x, y) = (civil_utc(a).unwrap(), civil_utc(b + off).unwrap());
            prop_assert!(days_differ(x.date(), y.date()));
            prop_assert!(times_differ(a.rem_euclid(86_400), (b + off).rem_euclid(86_400)));
            prop_assert!((off - AUTO_TARGET).abs() < 60 * 86_400, "{}", off);
        }

        #[test]
        fn auto_is_nearest(a in 1_500_000_000i64..2_000_000_000) {
            let off = auto_offset(a, a, a).unwrap();
            let x = civil_utc(a).unwrap();
            let d = (off - AUTO_TARGET).abs();
            // A sample of nearer instants: none may do.
            for nearer in (0..d).step_by(usize::try_from(d / 500 + 1).unwrap()) {
                for cand in [a + AUTO_TARGET + nearer, a + AUTO_TARGET - nearer] {
                    let ok = days_differ(x.date(), civil_utc(cand).unwrap().date())
                        && times_differ(a.rem_euclid(86_400), cand.rem_euclid(86_400));
                    prop_assert!(!ok, "{} is nearer than {}", cand - a, off);
                }
            }
        }
    }
}
