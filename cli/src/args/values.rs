//! Values of options and keys: sizes, processors, durations, variables, layers.
//!
//! One parser for each, used by the command line and by `belljar.toml` alike, so that both refuse
//! the same things in the same words. Every refusal is a fragment that fits after
//! ``--memory `4Q`: ``.

use std::str::FromStr;
use std::time::Duration;

use belljar_model::{CacheKind, Layer, Skew, SkewError};

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

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvPair {
    /// The variable.
    pub name: String,
    /// What it is set to.
    pub value: String,
}

impl FromStr for EnvPair {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (name, value) = s.split_once('=').ok_or(
            "a variable is written NAME=VALUE; --pass-env NAME passes the caller's value on",
        )?;
        Ok(Self {
            name: EnvName::from_str(name)?.0,
            value: value.to_owned(),
        })
    }
}

/// The name of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvName(pub String);

impl FromStr for EnvName {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        if s.is_empty() {
            return Err("a variable has a name".into());
        }
        if s.contains(['=', '\0']) || s.chars().any(char::is_whitespace) {
            return Err("a variable's name holds no `=` and no space".into());
        }
        Ok(Self(s.to_owned()))
    }
}

/// `LAYER` or `LAYER=LEVEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The wall.
    pub layer: Layer,
    /// How much of it.
    pub level: Option<String>,
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (name, level) = match s.split_once('=') {
            Some((name, level)) => (name, Some(level)),
            None => (s, None),
        };
        let layer = Layer::from_name(name).ok_or_else(|| {
            let names: Vec<_> = Layer::ALL.iter().map(|l| l.name()).collect();
            let near = nearest(name, names.iter().copied());
            let near = near
                .map(|n| format!(" (did you mean `{n}`?)"))
                .unwrap_or_default();
            format!("there is no such layer{near}; known: {}", names.join(", "))
        })?;
        match (layer, level) {
            (_, None) => {}
            (Layer::Landlock, Some(abi)) if matches!(abi.parse::<u32>(), Ok(1..=99)) => {}
            (Layer::Landlock, Some(_)) => {
                return Err("landlock's level is the number of an ABI, such as landlock=6".into());
            }
            (_, Some(_)) => {
                return Err(format!(
                    "{name} stands or does not, and has no levels; landlock has, as in landlock=6"
                ));
            }
        }
        Ok(Self {
            layer,
            level: level.map(str::to_owned),
        })
    }
}

/// A destination that the build would be allowed to reach. No version so far opens the network,
/// so there is none that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowHost {}

impl FromStr for AllowHost {
    type Err = String;

    fn from_str(_: &str) -> Result<Self, String> {
        Err(
            "this version lets nothing out; let a download cache of the host serve the build with --cache, \
             or fetch before and build after"
                .into(),
        )
    }
}

/// The name of a download cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheName(pub CacheKind);

impl FromStr for CacheName {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Ok(Self(match s {
            "cargo" => CacheKind::Cargo,
            "npm" => CacheKind::Npm,
            "go" => CacheKind::Go,
            "pip" => CacheKind::Pip,
            "maven" => CacheKind::Maven,
            _ => return Err("the known caches are cargo, npm, go, pip and maven".into()),
        }))
    }
}

/// A rule for run B's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkewRule(pub Skew);

impl FromStr for SkewRule {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match Skew::parse(s) {
            Ok(Skew::By { seconds: 0 }) => {
                Err("a skew of nothing varies nothing, so it can show nothing".into())
            }
            Ok(skew) => Ok(Self(skew)),
            Err(SkewError::Syntax(_)) => Err(
                "it is no duration and no date; it is auto, such as 400d or -3h, or such as 2038-01-20"
                    .into(),
            ),
            Err(e) => Err(e.to_string()),
        }
    }
}

/// What differs between the runs of a pair: the clock, which is all that this version can vary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vary;

impl FromStr for Vary {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        for knob in s.split(',') {
            match knob {
                "time" | "all" => {}
                "" => return Err("a variation has a name, such as time".into()),
                knob => {
                    return Err(format!(
                        "this version varies the clock alone and can't vary `{knob}`; `time` is what it can"
                    ));
                }
            }
        }
        Ok(Self)
    }
}

/// `SOURCE_DATE_EPOCH`: seconds, or `auto` for the time of the last commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateEpoch {
    /// The committer time of the root folder's last commit.
    Auto,
    /// Seconds since 1970.
    At(i64),
}

impl FromStr for DateEpoch {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        if s == "auto" {
            return Ok(Self::Auto);
        }
        let shape = "it is `auto` or a number of seconds since 1970";
        let n = whole(s, "it", "1700000000").map_err(|_| shape)?;
        match i64::try_from(n) {
            Ok(n) if n < 253_402_300_800 => Ok(Self::At(n)),
            _ => Err("the year is past 9999".into()),
        }
    }
}

fn split_number(s: &str) -> (&str, &str) {
    let end = s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
    s.split_at(end)
}

/// Digits alone: no sign, no space, no separator.
fn whole(digits: &str, what: &str, such_as: &str) -> Result<u64, String> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{what} is a whole number, such as {such_as}"));
    }
    digits
        .parse()
        .map_err(|_| format!("{what} of more than {} is none", u64::MAX))
}

/// The known name that a mistyped one most likely stands for.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| (strsim::jaro_winkler(typed, k), k))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        for (s, n) in [
            ("1", 1),
            ("7B", 7),
            ("64K", 65_536),
            ("512M", 512 << 20),
            ("4G", 4 << 30),
            ("4gib", 4 << 30),
            ("2T", 2 << 40),
        ] {
            assert_eq!(s.parse(), Ok(Size(n)), "{s}");
        }
        for s in [
            "",
            "G",
            "-1G",
            "+1G",
            "1.5G",
            "0",
            "0M",
            "4Q",
            "4 G",
            " 4G",
            "8388608T",
            "99999999999999999999",
            "1e9",
            "٤G",
        ] {
            assert!(s.parse::<Size>().is_err(), "{s}");
        }
    }

    #[test]
    fn processors() {
        for (s, n) in [
            ("2", 2000),
            ("0.5", 500),
            ("1.25", 1250),
            ("0.01", 10),
            ("64", 64_000),
        ] {
            assert_eq!(s.parse(), Ok(Cpus(n)), "{s}");
        }
        for s in [
            "", "0", "0.0", "0.001", "-1", "+1", ".5", "1.", "1.2345", "1e3", "inf", "NaN",
            "4294968", "two",
        ] {
            assert!(s.parse::<Cpus>().is_err(), "{s}");
        }
    }

    #[test]
    fn durations() {
        for (s, ms) in [
            ("30m", 1_800_000),
            ("1h30m", 5_400_000),
            ("90s", 90_000),
            ("500ms", 500),
            ("1d2h", 93_600_000),
            ("1s500ms", 1500),
        ] {
            assert_eq!(s.parse(), Ok(WallTime(Duration::from_millis(ms))), "{s}");
        }
        for s in [
            "",
            "30",
            "m",
            "-3m",
            "3x",
            "1m1h",
            "1m2m",
            "0s",
            "1.5h",
            "99999999999999999999s",
            "36501d",
            "1 h",
        ] {
            assert!(s.parse::<WallTime>().is_err(), "{s}");
        }
    }

    #[test]
    fn requirements() {
        assert_eq!(
            "landlock=6".parse(),
            Ok(Requirement {
                layer: Layer::Landlock,
                level: Some("6".into())
            })
        );
        assert_eq!(
            "cgroup".parse(),
            Ok(Requirement {
                layer: Layer::Cgroup,
                level: None
            })
        );
        for s in [
            "",
            "landlok",
            "landlock=",
            "landlock=0",
            "landlock=six",
            "seccomp=2",
            "=6",
        ] {
            assert!(s.parse::<Requirement>().is_err(), "{s}");
        }
        assert!(
            "landlok"
                .parse::<Requirement>()
                .unwrap_err()
                .contains("did you mean `landlock`")
        );
    }

    #[test]
    fn variations_that_have_no_engine_are_named() {
        assert!("time".parse::<Vary>().is_ok() && "all".parse::<Vary>().is_ok());
        assert!(
            "time,locale"
                .parse::<Vary>()
                .unwrap_err()
                .contains("`locale`")
        );
        assert!(
            "all,-kernel"
                .parse::<Vary>()
                .unwrap_err()
                .contains("`-kernel`")
        );
        assert!("".parse::<Vary>().is_err());
    }

    #[test]
    fn variables() {
        assert_eq!(
            "A=b=c".parse(),
            Ok(EnvPair {
                name: "A".into(),
                value: "b=c".into()
            })
        );
        for s in ["A", "=b", "A B=c", ""] {
            assert!(s.parse::<EnvPair>().is_err(), "{s}");
        }
    }

    #[test]
    fn a_skew_of_nothing_is_refused() {
        assert!("0d".parse::<SkewRule>().is_err());
        assert!("auto".parse::<SkewRule>().is_ok());
    }

    proptest! {
        #[test]
        fn nothing_panics(s in "\\PC*") {
            let _ = s.parse::<Size>();
            let _ = s.parse::<Cpus>();
            let _ = s.parse::<WallTime>();
            let _ = s.parse::<Count>();
            let _ = s.parse::<EnvPair>();
            let _ = s.parse::<Requirement>();
            let _ = s.parse::<Vary>();
            let _ = s.parse::<SkewRule>();
            let _ = s.parse::<DateEpoch>();
            let _ = s.parse::<CacheName>();
        }

        #[test]
        fn sizes_mean_what_they_say(n in 1u64..1 << 20, unit in 0usize..5) {
            let (suffix, shift) = [("", 0), ("K", 10), ("M", 20), ("G", 30), ("T", 40)][unit];
            prop_assert_eq!(format!("{n}{suffix}").parse(), Ok(Size(n << shift)));
        }

        #[test]
        fn what_is_negative_is_refused(n in 1u64.., unit in "[KMGTsmhd]?") {
            let s = format!("-{n}{unit}");
            prop_assert!(s.parse::<Size>().is_err());
            prop_assert!(s.parse::<WallTime>().is_err());
            prop_assert!(s.parse::<Cpus>().is_err());
            prop_assert!(s.parse::<Count>().is_err());
        }

        #[test]
        fn processors_in_thousandths(milli in 10u32..4_000_000) {
            let s = format!("{}.{:03}", milli / 1000, milli % 1000);
            prop_assert_eq!(s.parse(), Ok(Cpus(milli)));
        }

        #[test]
        fn durations_add_up(h in 0u64..800_000, m in 0u64..60, s in 1u64..60) {
            let text = format!("{h}h{m}m{s}s");
            let want = Duration::from_secs(h * 3600 + m * 60 + s);
            prop_assert_eq!(text.parse(), Ok(WallTime(want)));
        }
    }
}
