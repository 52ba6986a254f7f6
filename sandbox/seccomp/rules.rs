//! The shape of the seccomp data files: rules, conditions, and the words they use.
//!
//! Used by `build.rs`, which compiles the rules, and by the tests, which check what came out. It
//! must not know how a rule is compiled.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Names of constants and their values.
pub type Constants = BTreeMap<String, u64>;

/// `allow.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// What a build may call.
    pub rules: Vec<Rule>,
    /// What of that init may call once the build has begun.
    pub init: Vec<Rule>,
    /// What is left out on purpose; says why, compiles to nothing.
    pub absent: Vec<Rule>,
}

/// `known_bad.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownBad {
    /// What is refused.
    pub rules: Vec<Rule>,
}

/// `proxy.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// What every egress proxy may call.
    pub rules: Vec<Rule>,
    /// What one that dials may call besides.
    pub dials: Vec<Rule>,
}

/// `notify.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Calls that name a destination.
    pub observe: Vec<Rule>,
    /// Calls that tell, set or wait for the wall clock.
    pub clock: Vec<Rule>,
}

/// Calls that are treated alike.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names of system calls.
    pub calls: Vec<String>,
    /// Conditions on the arguments; all must hold. Without any, the rule is for every call.
    #[serde(default)]
    pub when: Vec<Condition>,
    /// Where the clock's own stubs mark a call that this rule must let pass.
    pub cookie: Option<Cookie>,
    /// Why.
    pub reason: String,
}

/// A condition on one argument: exactly one of `is`, `not` and `any`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Which argument, from 0.
    pub arg: u8,
    /// All 64 bits count, not the low 32.
    #[serde(default)]
    pub wide: bool,
    /// The argument is one of these ...
    #[serde(default)]
    pub is: Vec<String>,
    /// ... after all bits but these were dropped.
    #[serde(default)]
    pub mask: Vec<String>,
    /// The argument is none of these ...
    #[serde(default)]
    pub not: Vec<String>,
    /// ... whatever these bits are.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// At least one of these bits is set.
    #[serde(default)]
    pub any: Vec<String>,
}

/// The argument that carries the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Cookie {
    /// All of the sixth argument, of a call that has five or fewer.
    #[serde(rename = "arg5")]
    Arg5,
    /// The upper half of the second, which the kernel reads as an int.
    #[serde(rename = "arg1.high")]
    Arg1High,
    /// The upper half of the fourth, which the kernel reads as an int.
    #[serde(rename = "arg3.high")]
    Arg3High,
}

/// A condition with its words looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// `argument & mask` is one of `values`.
    Is {
        /// The bits that count.
        mask: u64,
        /// One of these.
        values: Vec<u64>,
    },
    /// `argument & !ignore` is none of `values`.
    Not {
        /// The bits that do not count.
        ignore: u64,
        /// None of these.
        values: Vec<u64>,
    },
    /// `argument & bits` is not 0.
    Any {
        /// At least one of these.
        bits: u64,
    },
}

impl Condition {
    /// Looks the words up; an error is a sentence.
    pub fn test(&self, constants: &Constants) -> Result<Test, String> {
        let given = [&self.is, &self.not, &self.any];
        if given.iter().filter(|words| !words.is_empty()).count() != 1 {
            return Err(format!("{self:?}: needs one of `is`, `not` and `any`"));
        }
        if (self.is.is_empty() && !self.mask.is_empty())
            || (self.not.is_empty() && !self.ignore.is_empty())
        {
            return Err(format!(
                "{self:?}: `mask` goes with `is`, `ignore` with `not`"
            ));
        }
        let all = if self.wide {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        };
        let values = |words: &[String]| -> Result<Vec<u64>, String> {
            let values: Vec<u64> = words
                .iter()
                .map(|word| value(word, constants))
                .collect::<Result<_, _>>()?;
            match values.iter().find(|v| *v & !all != 0) {
                Some(v) => Err(format!("{v:#x} needs `wide`")),
                None => Ok(values),
            }
        };
        let bits = |words: &[String]| Ok::<_, String>(values(words)?.iter().fold(0, |a, b| a | b));
        Ok(if !self.is.is_empty() {
            Test::Is {
                mask: if self.mask.is_empty() {
                    all
                } else {
                    bits(&self.mask)?
                },
                values: values(&self.is)?,
            }
        } else if !self.not.is_empty() {
            Test::Not {
                ignore: bits(&self.ignore)?,
                values: values(&self.not)?,
            }
        } else {
            Test::Any {
                bits: bits(&self.any)?,
            }
        })
    }
}

/// The value of a word: a constant's name or a decimal number.
fn value(word: &str, constants: &Constants) -> Result<u64, String> {
    match constants.get(word) {
        Some(value) => Ok(*value),
        None => word
            .parse()
            .map_err(|_| format!("{word:?} is not in constants.toml")),
    }
}
