//! Download caches of the host: read-only lower layers, so that a warm cache serves a build that
//! has no network. What a tool writes into one is dropped with the run.

mod registry;
mod wheels;
mod zip;

use std::path::{Path, PathBuf};

use belljar_model::{CacheKind, EnvValue, OsText};

use super::error::{name, shown};
use super::{Caller, HostEntry, HostEntryKind, PlanError, View};

/// What a cache brings.
#[derive(Debug, Default)]
pub(super) struct Caches {
    /// What stands inside.
    pub(super) entries: Vec<HostEntry>,
    /// Variables that keep the tool from asking the network for what may be newer.
    pub(super) vars: Vec<(&'static str, EnvValue)>,
}

/// Finds a cache, and refuses where there is none to find.
pub(super) fn find(
    kind: CacheKind,
    caller: &Caller,
    view: &dyn View,
    into: &mut Caches,
) -> Result<(), PlanError> {
    match kind {
        CacheKind::Cargo => {
            let home = known(kind, caller.dir_or_home("CARGO_HOME", ".cargo"))?;
            into.layer(
                kind,
                &home.join("registry"),
                "/home/builder/.cargo/registry",
                view,
            )?;
            // Only builds with git dependencies have this one.
            let git = home.join("git");
            if view.is_folder(&git) {
                into.layer(kind, &git, "/home/builder/.cargo/git", view)?;
            }
            into.set("CARGO_NET_OFFLINE", "true");
            if let Some(content) = registry::cargo(&home, view) {
                into.made(
                    "/home/builder/.cargo/config.toml",
                    content,
                    "which registry cargo's cache is of",
                );
            }
        }
        CacheKind::Npm => {
            let home = known(kind, caller.dir_or_home("npm_config_cache", ".npm"))?;
            into.layer(
                kind,
                &home.join("_cacache"),
                "/home/builder/.npm/_cacache",
                view,
            )?;
            into.set("npm_config_offline", "true");
            if let Some(url) = registry::npm(caller, view) {
                let value = EnvValue {
                    value: url.into(),
                    public: false,
                };
                into.vars.push(("npm_config_registry", value));
            }
        }
        CacheKind::Go => {
            let path = caller
                .dir_or_home("GOPATH", "go")
                .map(|p| p.join("pkg/mod"));
            let home = known(kind, caller.dir("GOMODCACHE").or(path))?;
            let inside = "/home/builder/go/pkg/mod/cache/download";
            into.layer(kind, &home.join("cache/download"), inside, view)?;
            into.set("GOPROXY", "off");
            into.set("GOTOOLCHAIN", "local");
        }
        CacheKind::Pip => {
            let usual = caller
                .dir_or_home("XDG_CACHE_HOME", ".cache")
                .map(|c| c.join("pip"));
            let home = known(kind, caller.dir("PIP_CACHE_DIR").or(usual))?;
            into.layer(kind, &home, "/home/builder/.cache/pip", view)?;
            into.entries.extend(wheels::links(&home, view));
            into.set("PIP_NO_INDEX", "1");
            into.set("PIP_FIND_LINKS", wheels::INSIDE);
        }
        CacheKind::Maven => {
            let home = known(kind, caller.home().map(|h| h.join(".m2")))?;
            into.layer(
                kind,
                &home.join("repository"),
                "/home/builder/.m2/repository",
                view,
            )?;
            // A flag for this came with maven 3.9 alone; a settings file is read by all.
            into.made(
                "/home/builder/.m2/settings.xml",
                "<settings>\n  <offline>true</offline>\n</settings>\n".into(),
                "maven uses what its cache has",
            );
        }
    }
    Ok(())
}

fn known(kind: CacheKind, home: Option<PathBuf>) -> Result<PathBuf, PlanError> {
    home.ok_or_else(|| PlanError::NoCache {
        kind,
        path: OsText::from(format!("$HOME ({} has none)", name(kind))),
    })
}

impl Caches {
    fn set(&mut self, name: &'static str, value: &str) {
        let value = EnvValue {
            value: value.into(),
            public: true,
        };
        self.vars.push((name, value));
    }

    fn made(&mut self, target: &str, content: String, reason: &'static str) {
        self.entries.push(HostEntry {
            target: target.into(),
            kind: HostEntryKind::Made {
                content: content.into_bytes(),
            },
            reason,
        });
    }

    fn layer(
        &mut self,
        kind: CacheKind,
        source: &Path,
        inside: &str,
        view: &dyn View,
    ) -> Result<(), PlanError> {
        let missing = || PlanError::NoCache {
            kind,
            path: shown(source),
        };
        if !view.is_folder(source) {
            return Err(missing());
        }
        self.entries.push(HostEntry {
            target: inside.into(),
            kind: HostEntryKind::Cache {
                source: view.canonical(source).map_err(|_| missing())?,
            },
            reason: "a download cache, asked for with --cache",
        });
        Ok(())
    }
}
