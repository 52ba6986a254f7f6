//! The table of leaky builds: `fixtures/leaks/NAME/expect.toml`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde::Deserialize;

use crate::repository;

/// What is expected of one leak and of its fixed twin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// What leaks, one sentence.
    pub about: String,
    /// The build with the leak.
    pub leaky: Side,
    /// The same build without it.
    pub fixed: Side,
}

/// What is expected of `belljar verify -- make` in one folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    /// The verdict.
    pub verdict: String,
    /// The exit code.
    pub exit: i32,
    /// All gating outputs that differ, each with the slug of its cause.
    #[serde(default)]
    pub differing: BTreeMap<String, String>,
    /// All files that count as output.
    #[serde(default)]
    pub outputs: BTreeSet<String>,
}

impl Expect {
    /// The expectation of one leak.
    ///
    /// # Panics
    /// If the file is missing or not as documented.
    pub fn of(name: &str) -> Self {
        let path = repository()
            .join("fixtures/leaks")
            .join(name)
            .join("expect.toml");
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }
}

/// The folders below `fixtures/leaks`.
///
/// # Panics
/// If they can't be read.
pub fn leak_names() -> BTreeSet<String> {
    fs::read_dir(repository().join("fixtures/leaks"))
        .expect("fixtures/leaks")
        .map(|e| {
            e.expect("an entry")
                .file_name()
                .into_string()
                .expect("an ASCII name")
        })
        .collect()
}
