//! Toolchains that the caller's PATH points to outside of the file table.
//!
//! Only what one of the two tables knows is mounted, at `/toolchains/NAME`, and of that only the
//! folders that hold tools: never a home folder, never configuration or credentials. A PATH entry
//! that no table knows is left out and named to the caller.

mod rustup;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use belljar_model::OsText;

use table::{MANAGERS, Manager, SHAPES, SYSTEM, SYSTEM_PATH, Shape};

use super::{Caller, HostEntry, HostEntryKind, Kind, View, files};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Toolchains {
    /// What is mounted.
    pub(super) entries: Vec<HostEntry>,
    /// PATH inside.
    path: Vec<PathBuf>,
    /// Variables of theirs.
    pub(super) vars: BTreeMap<&'static str, OsText>,
    /// PATH entries of the caller that no table knows.
    pub(super) left_out: Vec<PathBuf>,
    names: BTreeMap<String, PathBuf>,
}

impl Toolchains {
    /// PATH inside: toolchains in the caller's order, then the system.
    pub(super) fn path(&self) -> OsText {
        let mut path = Vec::new();
        let system = SYSTEM_PATH.iter().map(Path::new);
        for dir in self.path.iter().map(PathBuf::as_path).chain(system) {
            if !path.is_empty() {
                path.push(b':');
            }
            path.extend_from_slice(OsText::from(dir).as_bytes());
        }
        path.into()
    }
}

/// Looks at each entry of the caller's PATH. `table` is what stands inside already.
pub(super) fn find(
    caller: &Caller,
    workdir: &Path,
    table: &[HostEntry],
    view: &dyn View,
) -> Toolchains {
    let mut search = Search {
        homes: homes(caller, view),
        caller,
        view,
        table,
        found: Toolchains::default(),
    };
    let mut seen = BTreeSet::new();
    let path = caller.var("PATH").unwrap_or_default();
    let folders = std::env::split_paths(path).filter(|_| !path.is_empty());
    for dir in folders {
        // An empty entry stands for the current folder.
        let dir = if dir.as_os_str().is_empty() {
            ".".into()
        } else {
            dir
        };
        if seen.insert(dir.clone()) && !SYSTEM.iter().any(|s| dir == Path::new(s)) {
            search.entry(&dir);
        }
    }
    search.rustup(workdir);
    search.found
}

/// A manager that this caller has.
struct Home {
    tool: &'static Manager,
    /// As the caller names it.
    named: PathBuf,
    /// Without links.
    source: PathBuf,
}

fn homes(caller: &Caller, view: &dyn View) -> Vec<Home> {
    let known = |tool: &'static Manager| {
        let named = caller.dir_or_home(tool.variable, tool.usual)?;
        let source = view.canonical(&named).ok()?;
        Some(Home {
            tool,
            named,
            source,
        })
    };
    MANAGERS.iter().filter_map(known).collect()
}

struct Search<'a> {
    homes: Vec<Home>,
    caller: &'a Caller,
    view: &'a dyn View,
    table: &'a [HostEntry],
    found: Toolchains,
}

impl Search<'_> {
    fn entry(&mut self, dir: &Path) {
        if !dir.is_absolute() {
            self.found.left_out.push(dir.to_owned());
            return;
        }
        let Ok(real) = self.view.canonical(dir) else {
            return;
        };
        if SYSTEM.iter().any(|s| real == Path::new(s)) {
            return;
        }
        let inside = self
            .in_place(&real)
            .or_else(|| self.managed(&real))
            .or_else(|| self.shaped(&real))
            .or_else(|| self.optional(&real));
        match inside {
            Some(inside) if self.found.path.contains(&inside) => {}
            Some(inside) => self.found.path.push(inside),
            None => self.found.left_out.push(dir.to_owned()),
        }
    }

    /// What the file table shows needs no mount: `/usr/local/go/bin`, a profile of the nix store.
    fn in_place(&mut self, real: &Path) -> Option<PathBuf> {
        if !files::shows(self.table, real) {
            return None;
        }
        if let Some((shape, home)) = self.shape(real)
            && let Some(variable) = shape.set
        {
            self.found
                .vars
                .entry(variable)
                .or_insert_with(|| home.as_path().into());
        }
        Some(real.to_owned())
    }

    fn managed(&mut self, real: &Path) -> Option<PathBuf> {
        let homes = std::mem::take(&mut self.homes);
        let inside = homes.iter().find_map(
            |Home {
                 tool,
                 named,
                 source,
             }| {
                let below = real.strip_prefix(source).ok()?;
                // The home itself on PATH is no folder of tools.
                let part = below.components().next()?;
                if !tool.parts.iter().any(|p| part.as_os_str() == *p) {
                    return None;
                }
                let inside = self.mount(tool.name, source, tool.parts, tool.reason);
                if tool.keeps_path {
                    self.link(named, &inside, tool.reason);
                }
                if let Some(variable) = tool.set {
                    self.found.vars.insert(variable, inside.as_path().into());
                }
                if let Some(home) = java_home(tool, below) {
                    let home = inside.join(home);
                    self.found
                        .vars
                        .entry("JAVA_HOME")
                        .or_insert_with(|| home.as_path().into());
                }
                Some(inside.join(below))
            },
        );
        self.homes = homes;
        inside
    }

    fn shaped(&mut self, real: &Path) -> Option<PathBuf> {
        let (shape, home) = self.shape(real)?;
        let inside = self.mount(shape.name, &home, shape.parts, shape.reason);
        if let Some(variable) = shape.set {
            self.found
                .vars
                .entry(variable)
                .or_insert_with(|| inside.as_path().into());
        }
        Some(inside.join("bin"))
    }

    /// The shape that the folder above this `bin` has. A home folder and the like never is one,
    /// whatever was unpacked into it.
    fn shape(&self, real: &Path) -> Option<(&'static Shape, PathBuf)> {
        let home = real.parent().filter(|_| real.ends_with("bin"))?;
        let shared = |h: PathBuf| home == h || home == h.join(".local");
        if home.parent().is_none() || self.caller.home().is_some_and(shared) {
            return None;
        }
        let whole = |s: &&Shape| s.marks.iter().all(|m| self.stands(&home.join(m)));
        Some((SHAPES.iter().find(whole)?, home.to_owned()))
    }

    fn stands(&self, path: &Path) -> bool {
        self.view.kind(path).is_some()
    }

    /// `/opt/NAME`: often built for its place, so a link stands there.
    fn optional(&mut self, real: &Path) -> Option<PathBuf> {
        let below = real.strip_prefix("/opt").ok()?;
        let name = below.components().next()?;
        let source = Path::new("/opt").join(name);
        let reason = "add-on software that PATH names";
        let inside = self.mount(&name.as_os_str().to_string_lossy(), &source, &[], reason);
        self.link(&source, &inside, reason);
        let below = real.strip_prefix(&source).ok()?;
        // A `join` with nothing would end it with a slash.
        Some(inside.components().chain(below.components()).collect())
    }

    /// Mounts `parts` of `source` (all of it if there are none) at a folder of this name, once.
    fn mount(
        &mut self,
        name: &str,
        source: &Path,
        parts: &[&str],
        reason: &'static str,
    ) -> PathBuf {
        let taken =
            |names: &BTreeMap<String, PathBuf>, n: &str| names.get(n).is_some_and(|s| s != source);
        let mut unique = name.to_owned();
        let mut count = 1;
        while taken(&self.found.names, &unique) || unique == "rustup" {
            count += 1;
            unique = format!("{name}-{count}");
        }
        let inside = Path::new("/toolchains").join(&unique);
        if self.found.names.insert(unique, source.to_owned()).is_some() {
            return inside;
        }
        if parts.is_empty() {
            self.bind(source, &inside, reason);
        }
        for part in parts {
            self.bind(&source.join(part), &inside.join(part), reason);
        }
        inside
    }

    fn bind(&mut self, source: &Path, target: &Path, reason: &'static str) {
        let mut source = source.to_owned();
        let mut kind = self.view.kind(&source);
        if kind == Some(Kind::Link) {
            let Ok(real) = self.view.canonical(&source) else {
                return;
            };
            kind = self.view.kind(&real);
            source = real;
        }
        let kind = match kind {
            Some(Kind::Folder) => HostEntryKind::Bind { source },
            Some(Kind::File) => match self.view.small(&source) {
                Some(content) => HostEntryKind::Made { content },
                None => HostEntryKind::Bind { source },
            },
            _ => return,
        };
        self.push(target, kind, reason);
    }

    fn link(&mut self, at: &Path, to: &Path, reason: &'static str) {
        let there = self.found.entries.iter().any(|e| e.target.as_path() == at);
        if !there && at != to {
            self.push(at, HostEntryKind::Symlink { to: to.into() }, reason);
        }
    }

    fn push(&mut self, target: &Path, kind: HostEntryKind, reason: &'static str) {
        self.found.entries.push(HostEntry {
            target: target.into(),
            kind,
            reason,
        });
    }
}

/// `candidates/java/VERSION` where that is what PATH names.
fn java_home<'a>(tool: &Manager, below: &'a Path) -> Option<&'a Path> {
    let home = below.parent().filter(|_| below.ends_with("bin"))?;
    (tool.name == "sdkman" && home.starts_with("candidates/java")).then_some(home)
}

#[cfg(test)]
mod tests;
