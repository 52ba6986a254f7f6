//! Variables, layers, caches, variations, dates.

use std::str::FromStr;

use belljar_model::{CacheKind, Layer, Skew};

use super::{nearest, whole};

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

/// The name of a download cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheName(pub CacheKind);

impl FromStr for CacheName {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let kind = CacheKind::ALL.into_iter().find(|kind| kind.name() == s);
        kind.map(Self)
            .ok_or_else(|| "the known caches are cargo, npm, go, pip and maven".to_owned())
    }
}

/// A rule for run B's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkewRule(pub Skew);

impl FromStr for SkewRule {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Skew::parse(s).map(Self).map_err(|e| e.to_string())
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
