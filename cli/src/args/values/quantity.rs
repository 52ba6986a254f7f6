//! Sizes, processors, durations, counts.

use std::str::FromStr;
use std::time::Duration;

use super::whole;

/// Bytes: `4G`, `512M`, `64KiB`, `1048576`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (digits, unit) = split_number(s);
        let shift = match unit.to_ascii_uppercase().as_str() {
            "" | "B" => 0,
            "K" | "KIB" => 10,
            "M" | "MIB" => 20,
            "G" | "GIB" => 30,
            "T" | "TIB" => 40,
            _ => {
                return Err(
                    "a size is a whole number with K, M, G or T, such as 512M or 4G".into(),
                );
            }
        };
        let n = whole(digits, "a size", "512M or 4G")?;
        let bytes = n.checked_mul(1 << shift);
        match bytes {
            Some(0) => Err("a size of nothing can hold nothing".into()),
            // The kernel's counters are signed.
            Some(n) if i64::try_from(n).is_ok() => Ok(Self(n)),
            _ => Err("the size is larger than any file or memory can be".into()),
        }
    }
}

/// Thousandths of a processor: `2`, `0.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus(pub u32);

impl FromStr for Cpus {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let shape = || "a number of processors is such as 2 or 0.5".to_owned();
        let (int, frac) = s.split_once('.').unwrap_or((s, "0"));
        let numeric = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !numeric(int) || !numeric(frac) {
            return Err(shape());
        }
        if frac.len() > 3 {
            return Err("processors are counted in thousandths: at most three decimals".into());
        }
        let thousandths = format!("{frac:0<3}").parse::<u32>().map_err(|_| shape())?;
        let milli = int
            .parse::<u32>()
            .ok()
            .and_then(|n| n.checked_mul(1000))
            .and_then(|n| n.checked_add(thousandths))
            .ok_or("that is more processors than there are")?;
        // The kernel's smallest quota is 1 ms in a period of at most 1 s; below a hundredth of a
        // processor it rounds to something else.
        if milli < 10 {
            return Err("the smallest share of a processor that the kernel holds is 0.01".into());
        }
        Ok(Self(milli))
    }
}

/// Wall-clock time: `30m`, `1h30m`, `90s`, `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallTime(pub Duration);

impl FromStr for WallTime {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let shape = || "a duration is such as 30m, 1h30m, 90s or 500ms".to_owned();
        let mut rest = s;
        let mut total: u64 = 0;
        let mut last = u64::MAX;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(|| {
                "a duration needs a unit: ms, s, m, h or d, such as 30m".to_owned()
            })?;
            let (digits, tail) = rest.split_at(end);
            let len = tail
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(len);
            let scale: u64 = match unit {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(shape()),
            };
            // Larger units first and each once: `1m1h` is a slip.
            if scale >= last {
                return Err(shape());
            }
            last = scale;
            total = whole(digits, "a duration", "30m")?
                .checked_mul(scale)
                .and_then(|n| total.checked_add(n))
                .filter(|n| *n <= 3_153_600_000_000)
                .ok_or("a duration of more than a hundred years is none")?;
            rest = tail;
        }
        match total {
            0 if s.is_empty() => Err(shape()),
            0 => Err("a duration of nothing leaves no time to build".into()),
            ms => Ok(Self(Duration::from_millis(ms))),
        }
    }
}

/// A count that is at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u32);

impl FromStr for Count {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match whole(s, "a count", "1024").map(u32::try_from)? {
            Ok(0) => Err("a count of nothing lets nothing run".into()),
            // The kernel's `pid_max` is at most 2^22.
            Ok(n) if n <= 4_194_304 => Ok(Self(n)),
            _ => Err("Linux can't have more than 4194304 tasks".into()),
        }
    }
}

fn split_number(s: &str) -> (&str, &str) {
    let end = s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
    s.split_at(end)
}
