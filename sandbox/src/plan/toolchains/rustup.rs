//! Rust toolchains that rustup installed.
//!
//! rustup's proxies (`cargo`, `rustc`) look up the toolchain in `RUSTUP_HOME`, so that is what
//! they are given: each toolchain, and a small settings file. A choice that rustup makes by
//! something it can't see inside (a variable of the caller, an override for a folder of the
//! host) is pinned.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use belljar_model::OsText;
use serde::{Deserialize, Serialize};

use super::Search;
use crate::plan::{HostEntryKind, Kind, files};

const INSIDE: &str = "/toolchains/rustup";
const REASON: &str = "rust toolchains that rustup installed";

/// What of rustup's settings is kept.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Settings {
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_toolchain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_host_triple: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(skip_serializing)]
    overrides: BTreeMap<PathBuf, String>,
}

impl Search<'_> {
    /// Mounts the toolchains if PATH names rustup's proxies.
    pub(super) fn rustup(&mut self, workdir: &Path) {
        let Some(home) = self.caller.dir_or_home("RUSTUP_HOME", ".rustup") else {
            return;
        };
        if !self.has_proxies() || !self.view.is_folder(&home.join("toolchains")) {
            return;
        }
        let vars = &mut self.found.vars;
        // Cargo's own home starts empty and can be written: configuration and credentials of the
        // caller stay outside.
        vars.insert("CARGO_HOME", "/home/builder/.cargo".into());
        vars.insert("RUSTUP_AUTO_INSTALL", "0".into());
        let settings: Settings = self
            .view
            .small(&home.join("settings.toml"))
            .and_then(|text| toml::from_str(&String::from_utf8(text).ok()?).ok())
            .unwrap_or_default();
        let pinned = self
            .caller
            .var("RUSTUP_TOOLCHAIN")
            .map(OsText::from)
            .or_else(|| overridden(&settings, workdir).map(OsText::from));
        if let Some(pinned) = pinned {
            self.found.vars.insert("RUSTUP_TOOLCHAIN", pinned);
        }
        if self
            .view
            .canonical(&home)
            .is_ok_and(|real| files::shows(self.table, &real))
        {
            self.found.vars.insert("RUSTUP_HOME", home.as_path().into());
            return;
        }
        self.found.vars.insert("RUSTUP_HOME", INSIDE.into());
        self.found.names.insert("rustup".into(), home.clone());
        self.settings(&settings);
        self.toolchains(&home.join("toolchains"));
    }

    /// Whether `rustup` stands in a folder of the caller's PATH that PATH inside has too.
    fn has_proxies(&self) -> bool {
        let cargo = self.caller.dir_or_home("CARGO_HOME", ".cargo");
        let named = |bin: &PathBuf| {
            let path = self.caller.var("PATH").unwrap_or_default();
            std::env::split_paths(path).any(|dir| dir == *bin)
        };
        let own = cargo.map(|c| c.join("bin")).filter(named);
        own.into_iter()
            .chain([PathBuf::from("/usr/bin")])
            .any(|bin| self.stands(&bin.join("rustup")))
    }

    fn settings(&mut self, settings: &Settings) {
        let version = if settings.version.is_empty() {
            "12"
        } else {
            &settings.version
        };
        let kept = Settings {
            version: version.to_owned(),
            default_toolchain: settings.default_toolchain.clone(),
            default_host_triple: settings.default_host_triple.clone(),
            profile: settings.profile.clone(),
            overrides: BTreeMap::new(),
        };
        let content = toml::to_string(&kept).unwrap_or_default().into_bytes();
        let target = Path::new(INSIDE).join("settings.toml");
        self.push(&target, HostEntryKind::Made { content }, REASON);
    }

    /// Each toolchain by itself: a linked one may point anywhere, also to its neighbour by a
    /// path that does not stand inside.
    fn toolchains(&mut self, dir: &Path) {
        let real = self.view.canonical(dir).unwrap_or_else(|_| dir.to_owned());
        for (name, kind) in self.view.names(dir) {
            let Ok(source) = self.view.canonical(&dir.join(&name)) else {
                continue;
            };
            let target = Path::new(INSIDE).join("toolchains").join(&name);
            match (kind, source.file_name()) {
                (Kind::Link, Some(neighbour)) if source.parent() == Some(&real) => {
                    let to = neighbour.into();
                    self.push(&target, HostEntryKind::Symlink { to }, REASON);
                }
                (Kind::Link | Kind::Folder, _) if self.stands(&source.join("bin")) => {
                    self.push(&target, HostEntryKind::Bind { source }, REASON);
                }
                _ => {}
            }
        }
    }
}

/// The toolchain that an override names for the nearest folder at or above the workdir.
fn overridden<'a>(settings: &'a Settings, workdir: &Path) -> Option<&'a str> {
    workdir
        .ancestors()
        .find_map(|dir| settings.overrides.get(dir))
        .map(String::as_str)
}
