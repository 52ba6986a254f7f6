//! Download caches of the host: read-only lower layers, so that a warm cache serves a build that
//! has no network. What a tool writes into one is dropped with the run.

mod registry;
mod wheels;
mod zip;

use std::path::{Path, PathBuf};

use belljar_model::{CacheKind, EnvValue, OsText};

use super::error::shown;
use super::{Caller, HostEntry, HostEntryKind, PlanError, Request, View};

/// What a cache brings.
#[derive(Debug, Default)]
pub(super) struct Caches {
    /// What stands inside.
    pub(super) entries: Vec<HostEntry>,
    /// Variables that keep the tool from asking the network for what may be newer.
    pub(super) vars: Vec<(&'static str, EnvValue)>,
}

/// Finds the caches that were asked for and says which of them serve the build. One that is not
/// there ends the plan if it was typed; if it stands in `belljar.toml`, which machines share, the
/// caller is told and the build has to do without.
pub(super) fn find(
    request: &Request,
    caller: &Caller,
    view: &dyn View,
    notices: &mut Vec<String>,
) -> Result<(Caches, Vec<CacheKind>), PlanError> {
    let mut into = Caches::default();
    let mut there = Vec::new();
    for kind in request.caches.iter().copied() {
        match one(kind, caller, view, &mut into) {
            Ok(()) => there.push(kind),
            Err(e) if request.caches_may_lack => {
                notices.push(format!("{e}; the build goes on without ({})", e.hint()));
            }
            Err(e) => return Err(e),
        }
    }
    Ok((into, there))
}

/// Why a cache can't serve a build of this caller, if it can't.
pub fn lacks(kind: CacheKind, caller: &Caller, view: &dyn View) -> Option<PlanError> {
    one(kind, caller, view, &mut Caches::default()).err()
}

/// The variables come before the layer: a tool whose cache is not there does not try the network
/// either.
fn one(
    kind: CacheKind,
    caller: &Caller,
    view: &dyn View,
    into: &mut Caches,
) -> Result<(), PlanError> {
    match kind {
        CacheKind::Cargo => {
            let home = known(kind, caller.dir_or_home("CARGO_HOME", ".cargo"))?;
            into.set("CARGO_NET_OFFLINE", "true");
            if let Some(content) = registry::cargo(&home, view) {
                into.made(
                    "/home/builder/.cargo/config.toml",
                    content,
                    "which registry cargo's cache is of",
                );
            }
            // Only builds with git dependencies have this one.
            let git = home.join("git");
            if view.is_folder(&git) {
                into.layer(kind, &git, "/home/builder/.cargo/git", view)?;
            }
            let registry = home.join("registry");
            into.layer(kind, &registry, "/home/builder/.cargo/registry", view)
        }
        CacheKind::Npm => {
            let home = known(kind, caller.dir_or_home("npm_config_cache", ".npm"))?;
            into.set("npm_config_offline", "true");
            if let Some(url) = registry::npm(caller, view) {
                let value = EnvValue {
                    value: url.into(),
                    public: false,
                };
                into.vars.push(("npm_config_registry", value));
            }
            let content = home.join("_cacache");
            into.layer(kind, &content, "/home/builder/.npm/_cacache", view)
        }
        CacheKind::Go => {
            let path = caller
                .dir_or_home("GOPATH", "go")
                .map(|p| p.join("pkg/mod"));
            let home = known(kind, caller.dir("GOMODCACHE").or(path))?;
            into.set("GOPROXY", "off");
            into.set("GOTOOLCHAIN", "local");
            let inside = "/home/builder/go/pkg/mod/cache/download";
            into.layer(kind, &home.join("cache/download"), inside, view)
        }
        CacheKind::Pip => {
            let usual = caller
                .dir_or_home("XDG_CACHE_HOME", ".cache")
                .map(|c| c.join("pip"));
            let home = known(kind, caller.dir("PIP_CACHE_DIR").or(usual))?;
            into.set("PIP_NO_INDEX", "1");
            into.layer(kind, &home, "/home/builder/.cache/pip", view)?;
            into.entries.extend(wheels::links(&home, view));
            into.set("PIP_FIND_LINKS", wheels::INSIDE);
            Ok(())
        }
        CacheKind::Maven => {
            let home = known(kind, caller.home().map(|h| h.join(".m2")))?;
            // A flag for this came with maven 3.9 alone; a settings file is read by all.
            into.made(
                "/home/builder/.m2/settings.xml",
                "<settings>\n  <offline>true</offline>\n</settings>\n".into(),
                "maven uses what its cache has",
            );
            let repository = home.join("repository");
            into.layer(kind, &repository, "/home/builder/.m2/repository", view)
        }
    }
}

fn known(kind: CacheKind, home: Option<PathBuf>) -> Result<PathBuf, PlanError> {
    home.ok_or_else(|| PlanError::NoCache {
        kind,
        path: OsText::from(format!("$HOME ({} has none)", kind.name())),
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
