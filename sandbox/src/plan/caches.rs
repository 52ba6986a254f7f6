//! Download caches of the host: read-only lower layers, so that a warm cache serves a build that
//! has no network. What a tool writes into one is dropped with the run.

mod wheels;

use std::path::{Path, PathBuf};

use belljar_model::{CacheKind, OsText};

use super::error::{name, shown};
use super::{Caller, HostEntry, HostEntryKind, PlanError, View};

/// What a cache brings.
#[derive(Debug, Default)]
pub(super) struct Caches {
    /// What stands inside.
    pub(super) entries: Vec<HostEntry>,
    /// Variables that keep the tool from asking the network for what may be newer.
    pub(super) vars: Vec<(&'static str, &'static str)>,
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
            into.vars.push(("CARGO_NET_OFFLINE", "true"));
        }
        CacheKind::Npm => {
            let home = known(kind, caller.dir_or_home("npm_config_cache", ".npm"))?;
            into.layer(
                kind,
                &home.join("_cacache"),
                "/home/builder/.npm/_cacache",
                view,
            )?;
            into.vars.push(("npm_config_offline", "true"));
        }
        CacheKind::Go => {
            let path = caller
                .dir_or_home("GOPATH", "go")
                .map(|p| p.join("pkg/mod"));
            let home = known(kind, caller.dir("GOMODCACHE").or(path))?;
            let inside = "/home/builder/go/pkg/mod/cache/download";
            into.layer(kind, &home.join("cache/download"), inside, view)?;
            into.vars
                .extend([("GOPROXY", "off"), ("GOTOOLCHAIN", "local")]);
        }
        CacheKind::Pip => {
            let usual = caller
                .dir_or_home("XDG_CACHE_HOME", ".cache")
                .map(|c| c.join("pip"));
            let home = known(kind, caller.dir("PIP_CACHE_DIR").or(usual))?;
            into.layer(kind, &home, "/home/builder/.cache/pip", view)?;
            into.entries.extend(wheels::links(&home, view));
            into.vars
                .extend([("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", wheels::INSIDE)]);
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
            into.entries.push(HostEntry {
                target: "/home/builder/.m2/settings.xml".into(),
                kind: HostEntryKind::Made {
                    content: b"<settings>\n  <offline>true</offline>\n</settings>\n".to_vec(),
                },
                reason: "maven uses what its cache has",
            });
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
