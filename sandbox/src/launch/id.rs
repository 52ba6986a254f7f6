//! The id of one run: what its scratch folder and its cgroup leaf are called.
//!
//! Random, so that two runs that start together never share a name, and free of any clock.

use std::fmt;

use crate::SetupError;
use crate::sys::random::getrandom;

/// What the name of everything that belljar leaves on a host begins with.
const PREFIX: &str = "belljar-";
/// Lower-case letters and digits that can't be mistaken for each other: 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 60 random bits: a million runs side by side share a name once in two million tries.
const LEN: usize = 12;

/// The id of one run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId([u8; LEN]);

impl RunId {
    /// A new id.
    pub fn new() -> Result<Self, SetupError> {
        let mut bytes = [0; LEN];
        getrandom(&mut bytes).map_err(|e| SetupError::new("get random bytes", e))?;
        Ok(Self(bytes.map(|b| ALPHABET[usize::from(b & 31)])))
    }

    /// `belljar-<id>`, the name of the run's scratch folder and of its leaf.
    pub fn name(self) -> String {
        format!("{PREFIX}{self}")
    }

    /// The id in a name that [`RunId::name`] made; `None` for every other name.
    pub fn of_name(name: &[u8]) -> Option<Self> {
        let id = <[u8; LEN]>::try_from(name.strip_prefix(PREFIX.as_bytes())?).ok()?;
        id.iter().all(|b| ALPHABET.contains(b)).then_some(Self(id))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|b| write!(f, "{}", char::from(*b)))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_differ_and_their_names_lead_back_to_them() {
        let ids: HashSet<_> = (0..10_000).map(|_| RunId::new().unwrap()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids {
            assert_eq!(RunId::of_name(id.name().as_bytes()), Some(id));
        }
    }

    proptest! {
        #[test]
        fn only_names_of_our_pattern_are_ours(name in "(belljar-)?[a-z0-9/.~-]{0,20}") {
            let ours = RunId::of_name(name.as_bytes());
            prop_assert!(ours.is_none_or(|id| id.name() == name));
        }
        #[test]
        fn any_bytes_are_safe_to_ask_about(name: Vec<u8>) {
            let ours = RunId::of_name(&name);
            prop_assert!(ours.is_none_or(|id| id.name().as_bytes() == name));
        }
    }
}
