//! Values of options and keys.
//!
//! One parser for each, used by the command line and by `belljar.toml` alike, so that both refuse
//! the same things in the same words. Every refusal is a fragment that fits after
//! ``--memory `4Q`: ``; what stands behind a semicolon in it is the hint.

mod allowed;
mod name;
mod quantity;
#[cfg(test)]
mod tests;

pub use allowed::Allowed;
pub use name::{CacheName, DateEpoch, EnvName, EnvPair, Requirement, SkewRule, Vary};
pub use quantity::{Count, Cpus, Size, WallTime};

/// The known name that a mistyped one most likely stands for.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| (strsim::jaro_winkler(typed, k), k))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
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
