//! The evidence folder as a consumer reads it: plain JSON, by the names in the documents.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// An evidence folder that a command left.
#[derive(Debug)]
pub struct Evidence {
    dir: PathBuf,
    /// `result.json`.
    pub result: Value,
}

impl Evidence {
    /// Reads a folder.
    ///
    /// # Panics
    /// If there is no `result.json` in it, or it is not JSON.
    pub fn read(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            result: json(&dir.join("result.json")),
        }
    }

    /// A document below the folder.
    ///
    /// # Panics
    /// If it is missing or not JSON.
    pub fn document(&self, name: &str) -> Value {
        json(&self.dir.join(name))
    }

    /// A text below the folder.
    ///
    /// # Panics
    /// If it is missing.
    pub fn text(&self, name: &str) -> String {
        let path = self.dir.join(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The verdict.
    pub fn verdict(&self) -> &str {
        self.result["verdict"].as_str().unwrap_or("none")
    }

    /// What ended the run that decided.
    pub fn ended_by(&self) -> &str {
        self.result["ended_by"].as_str().unwrap_or("none")
    }

    /// The gating outputs that differ, each with the slugs of its causes.
    ///
    /// # Panics
    /// If the document is not as documented.
    pub fn differing(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        // a pair whose second run failed was not compared
        if !self.dir.join("determinism/differences.json").exists() {
            return found;
        }
        let document = self.document("determinism/differences.json");
        for item in document["items"].as_array().expect("items") {
            if item["gating"] != Value::Bool(true) {
                continue;
            }
            let path = item["path"].as_str().expect("a path").to_owned();
            let slugs = item["causes"].as_array().expect("causes").iter();
            found
                .entry(path)
                .or_default()
                .extend(slugs.map(|c| c["slug"].as_str().expect("a slug").to_owned()));
        }
        found
    }

    /// The paths of the gating outputs in run A's manifest.
    ///
    /// # Panics
    /// If the document is not as documented.
    pub fn outputs(&self) -> BTreeSet<String> {
        let manifest = self.document("determinism/manifest-a.json");
        let entries = manifest["entries"].as_array().expect("entries");
        entries
            .iter()
            .filter(|e| e["kind"]["type"] == "file" && e.get("scratch").is_none())
            .map(|e| e["path"].as_str().expect("a path").to_owned())
            .collect()
    }
}

fn json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
