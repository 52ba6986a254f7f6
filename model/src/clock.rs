//! The skew: the rule that a plan holds, and the offset that it resolves to at a run's start.

use jiff::{Timestamp, civil, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// 398 days in seconds: a year, a long month and a day, the distance that `auto` aims at.
const AUTO_TARGET: i64 = 398 * 86_400;
/// Sixteen years in seconds, the distance that the far run aims at.
const FAR_TARGET: i64 = 5844 * 86_400;

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
        "it is no duration and no date; it is auto, such as 400d, -3h or 1h30m, or such as 2030-01-01 or 2030-01-01T00:00:00Z"
    )]
    Syntax,
    /// No whole second, or none at all.
    #[error("a skew is one second or more, in whole seconds: less varies nothing")]
    NoSecond,
    /// Run B would start before the newest input was written.
    #[error("run B's clock would start at {start}, before the newest input was written ({newest})")]
    BeforeInputs {
        /// Run B's start, RFC 3339.
        start: String,
        /// The newest input's mtime, RFC 3339.
        newest: String,
    },
    /// Outside [`YEARS`].
    #[error(
        "the clock would start outside the years 1970 to 2241; the header of a tar archive counts no further"
    )]
    OutOfRange,
}

/// Where a moved clock may start, in seconds since the epoch: 1970 to 2241. Past that the eleven octal
/// digits of a tar header are full (16 March 2242), then nanoseconds in 64 bits (2262), then the times of
/// ext4 (2446).
const YEARS: std::ops::Range<i64> = 0..8_583_494_400;

impl Skew {
    /// Reads `auto`, a duration (`400d`, `-3h`, `1h30m`, `+1w2d`), or a date (RFC 3339; without a zone
    /// it is UTC, without a time midnight).
    pub fn parse(s: &str) -> Result<Self, SkewError> {
        if s == "auto" {
            return Ok(Self::Auto);
        }
        if let Some(seconds) = duration(s)? {
            // Whenever it is: between the first and the last year there is no more.
            if !YEARS.contains(&seconds.abs()) {
                return Err(SkewError::OutOfRange);
            }
            return Ok(Self::By { seconds });
        }
        let at = instant(s).ok_or(SkewError::Syntax)?;
        if !YEARS.contains(&at.as_second()) {
            return Err(SkewError::OutOfRange);
        }
        if at.subsec_nanosecond() != 0 {
            return Err(SkewError::NoSecond);
        }
        Ok(Self::To { at: at.to_string() })
    }

    /// The offset in whole seconds for a pair whose run A started at `a_start` and whose run B
    /// starts at `b_start` (both real, seconds since the epoch), with inputs no newer than `newest_input`.
    pub fn resolve(&self, a_start: i64, b_start: i64, newest_input: i64) -> Result<i64, SkewError> {
        let offset = match self {
            Self::Auto => auto_offset(a_start, b_start, newest_input)?,
            Self::By { seconds } => *seconds,
            Self::To { at } => {
                let at: Timestamp = at.parse().map_err(|_| SkewError::Syntax)?;
                at.as_second() - b_start
            }
        };
        if offset == 0 {
            return Err(SkewError::NoSecond);
        }
        checked(offset, b_start, newest_input)
    }
}

/// The offset, if a clock that is moved by it starts in a year that can be had, and after the inputs.
fn checked(offset: i64, b_start: i64, newest_input: i64) -> Result<i64, SkewError> {
    let start = b_start.checked_add(offset).ok_or(SkewError::OutOfRange)?;
    if !YEARS.contains(&start) {
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

/// The seconds of a duration: a sign, then numbers with a unit each. `None`: it does not look like one.
fn duration(s: &str) -> Result<Option<i64>, SkewError> {
    let (sign, mut rest) = match s.as_bytes().first() {
        Some(b'-') => (-1, &s[1..]),
        Some(b'+') => (1, &s[1..]),
        _ => (1, s),
    };
    let mut ns: i128 = 0;
    let mut parts = 0;
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = &rest[..rest.len() - after.len()];
        rest = after.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let Some(scale) = unit(&after[..after.len() - rest.len()]) else {
            return Ok(None);
        };
        if digits.is_empty() {
            return Ok(None);
        }
        // A number that fits nowhere is a number all the same.
        let n: i128 = digits.parse().map_err(|_| SkewError::OutOfRange)?;
        let part = n.checked_mul(scale).ok_or(SkewError::OutOfRange)?;
        ns = ns.checked_add(part).ok_or(SkewError::OutOfRange)?;
        parts += 1;
    }
    if parts == 0 {
        return Ok(None);
    }
    let seconds = ns / SECOND;
    if seconds == 0 || ns % SECOND != 0 {
        return Err(SkewError::NoSecond);
    }
    let seconds = i64::try_from(seconds).map_err(|_| SkewError::OutOfRange)?;
    Ok(Some(sign * seconds))
}

/// A second in nanoseconds.
const SECOND: i128 = 1_000_000_000;

/// A unit in nanoseconds. A year is 365 days; those below a second are known so that they can be refused
/// for what they are.
fn unit(name: &str) -> Option<i128> {
    Some(match name {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        "d" => 86_400 * SECOND,
        "w" => 604_800 * SECOND,
        "y" => 31_536_000 * SECOND,
        _ => return None,
    })
}

/// A date, or a date and a time, as an instant.
fn instant(s: &str) -> Option<Timestamp> {
    // What the parser takes beyond RFC 3339 (a year with a sign, a name of a zone) is nothing we promise.
    if !s.starts_with(|c: char| c.is_ascii_digit()) || s.contains('[') {
        return None;
    }
    if let Ok(at) = s.parse::<Timestamp>() {
        return Some(at);
    }
    let civil = s.parse::<civil::DateTime>().ok()?;
    // The last day of 9999 is none in every zone.
    Some(TimeZone::UTC.to_timestamp(civil).unwrap_or(Timestamp::MAX))
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
    nearest_offset(AUTO_TARGET, a_start, b_start, newest_input)
}

/// The same rule around 5844 days, which are sixteen years: past 2038, and past every certificate
/// that a build could make or read.
pub fn far_offset(a_start: i64, c_start: i64, newest_input: i64) -> Result<i64, SkewError> {
    nearest_offset(FAR_TARGET, a_start, c_start, newest_input)
}

fn nearest_offset(
    aim: i64,
    a_start: i64,
    b_start: i64,
    newest_input: i64,
) -> Result<i64, SkewError> {
    let a = civil_utc(a_start)?;
    let a_tod = a_start.rem_euclid(86_400);
    let target = b_start + aim;
    let target_day = target.div_euclid(86_400);
    // Where the newest input lies beyond, the search goes on behind it.
    let beyond = newest_input.div_euclid(86_400).saturating_sub(target_day);
    let days = 800 + beyond.clamp(0, YEARS.end / 86_400);
    let mut best: Option<i64> = None;
    for distance in 0..days {
        for day in [target_day + distance, target_day - distance] {
            let start = day * 86_400;
            if start + 86_400 <= newest_input || !days_differ(a.date(), civil_utc(start)?.date()) {
                continue;
            }
            let fits = |tod: &i64| times_differ(a_tod, *tod) && start + tod >= newest_input;
            // The first that fits from the target on, and the last before it.
            let here = (target - start).clamp(0, 86_400);
            let near = [(here..86_400).find(fits), (0..here).rev().find(fits)];
            best = best
                .into_iter()
                .chain(near.into_iter().flatten().map(|tod| start + tod))
                .min_by_key(|instant| nearness(*instant, target));
        }
        // One further day on either side can't be nearer than what is found already.
        if best.is_some_and(|found| (found - target).abs() <= distance * 86_400) {
            break;
        }
    }
    let found = best.ok_or(SkewError::OutOfRange)?;
    checked(found - b_start, b_start, newest_input)
}

#[cfg(test)]
mod tests;
