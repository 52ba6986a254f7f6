//! Where things are: workdir, root, git, evidence, scratch.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

use super::error::shown;
use super::{Caller, Kind, PlanError, View};

/// Folders that hold a system and no project.
const SYSTEM: [&str; 17] = [
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/libx32", "/nix",
    "/proc", "/run", "/sbin", "/sys", "/usr", "/var",
];

/// The usual places for scratch. `/tmp` is the second, since it is small on many machines.
pub const SCRATCH: [&str; 2] = ["/var/tmp", "/tmp"];

/// Where the build is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Where it starts, canonical.
    pub workdir: PathBuf,
    /// What stands at `/build`, canonical; `workdir` or above it.
    pub root: PathBuf,
    /// A git folder of `root` that lies elsewhere.
    pub gitdir: Option<PathBuf>,
    /// Whether `root` is a git repository.
    pub git: bool,
    /// What the caller should be told.
    pub notice: Option<String>,
}

/// Finds workdir and root, and refuses what no build should be given.
pub fn places(
    workdir: &Path,
    root: Option<&Path>,
    caller: &Caller,
    view: &dyn View,
) -> Result<Places, PlanError> {
    let start = folder("workdir", workdir, caller, view)?;
    let mut notice = None;
    let mut git = None;
    let root = if let Some(root) = root {
        let root = folder("root", root, caller, view)?;
        git = repository(&root, view);
        root
    } else {
        match toplevel(&start, view) {
            // A home folder under git (dotfiles) holds far more than one project.
            Some((top, _)) if system(&top) || caller.home().is_some_and(|h| h == top) => {
                notice = Some(format!(
                    "the git repository at {} is a home or system folder, so the workdir alone is shown to the build",
                    top.display()
                ));
                start.clone()
            }
            Some((top, repository)) => {
                git = Some(repository);
                top
            }
            None => start.clone(),
        }
    };
    if !start.starts_with(&root) {
        return Err(PlanError::Outside {
            workdir: shown(start),
            root: shown(root),
        });
    }
    Ok(Places {
        workdir: start,
        root,
        git: git.is_some(),
        gitdir: git.and_then(|g| g.elsewhere),
        notice,
    })
}

/// A folder that was named: canonical, there, and no system's.
fn folder(
    what: &'static str,
    named: &Path,
    caller: &Caller,
    view: &dyn View,
) -> Result<PathBuf, PlanError> {
    let unusable = |errno| PlanError::Unusable {
        what,
        path: shown(named),
        errno,
    };
    if named.as_os_str().is_empty() {
        return Err(unusable(Errno::ENOENT));
    }
    let path = view.canonical(&caller.cwd.join(named)).map_err(unusable)?;
    if view.kind(&path) != Some(Kind::Folder) {
        return Err(unusable(Errno::ENOTDIR));
    }
    if system(&path) {
        return Err(PlanError::System {
            what,
            path: shown(path),
        });
    }
    Ok(path)
}

fn system(path: &Path) -> bool {
    SYSTEM.iter().any(|s| path == Path::new(s))
        || ["/proc", "/sys"].iter().any(|s| path.starts_with(s))
        || (path.starts_with("/dev") && !path.starts_with("/dev/shm"))
}

/// The nearest folder at or above `start` that is a repository.
fn toplevel(start: &Path, view: &dyn View) -> Option<(PathBuf, Repository)> {
    start
        .ancestors()
        .find_map(|dir| Some((dir.to_owned(), repository(dir, view)?)))
}

/// A folder is the top of a repository.
#[derive(Debug, Clone)]
struct Repository {
    /// Its git folder, if that lies elsewhere.
    elsewhere: Option<PathBuf>,
}

/// Whether `dir` is the top of a repository.
fn repository(dir: &Path, view: &dyn View) -> Option<Repository> {
    let dot_git = dir.join(".git");
    let git = match view.kind(&dot_git)? {
        // An empty folder of this name is no repository.
        Kind::Folder => common(&dot_git, view)?,
        Kind::Link => common(&view.canonical(&dot_git).ok()?, view)?,
        Kind::File => {
            let pointer = view.small(&dot_git)?;
            let pointer = pointer.strip_prefix(b"gitdir:")?.trim_ascii();
            let git = view.canonical(&dir.join(OsStr::from_bytes(pointer))).ok()?;
            common(&git, view)?
        }
        Kind::Other => return None,
    };
    let elsewhere = (!git.starts_with(dir)).then_some(git);
    Some(Repository { elsewhere })
}

/// A linked worktree's folder names the one that holds the objects.
fn common(git: &Path, view: &dyn View) -> Option<PathBuf> {
    view.kind(&git.join("HEAD"))?;
    match view.small(&git.join("commondir")) {
        None => Some(git.to_owned()),
        Some(text) => view
            .canonical(&git.join(OsStr::from_bytes(text.trim_ascii())))
            .ok(),
    }
}

/// The evidence folder, absolute, without links as far as it exists.
pub(super) fn evidence(
    named: &Path,
    places: &Places,
    caller: &Caller,
    view: &dyn View,
) -> Result<PathBuf, PlanError> {
    let path = settled(&caller.cwd.join(named), view).map_err(|errno| PlanError::Unusable {
        what: "evidence folder",
        path: shown(named),
        errno,
    })?;
    let above = |inner: &Path| inner.starts_with(&path);
    let what = match (above(&places.root), above(&places.workdir)) {
        (true, _) => "root",
        (_, true) => "workdir",
        _ => return Ok(path),
    };
    Err(PlanError::EvidenceAbove {
        evidence: shown(named),
        what,
    })
}

/// Resolves what is there of a path and appends the rest, which must be plain names.
fn settled(path: &Path, view: &dyn View) -> Result<PathBuf, Errno> {
    for there in path.ancestors() {
        let Ok(found) = view.canonical(there) else {
            continue;
        };
        let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
        if rest.as_os_str().is_empty() {
            return match view.kind(&found) {
                Some(Kind::Folder) => Ok(found),
                _ => Err(Errno::ENOTDIR),
            };
        }
        if view.kind(&found) != Some(Kind::Folder) {
            return Err(Errno::ENOTDIR);
        }
        if rest
            .components()
            .any(|c| !matches!(c, Component::Normal(_)))
        {
            return Err(Errno::ENOENT);
        }
        // A link to nowhere would be followed when the folder is made.
        let first = rest.components().next().map(|c| found.join(c));
        if first.is_some_and(|p| view.kind(&p).is_some()) {
            return Err(Errno::ENOENT);
        }
        return Ok(found.join(rest));
    }
    Err(Errno::ENOENT)
}

/// The folder for scratch: never in the source.
pub(super) fn scratch(
    named: Option<&Path>,
    root: &Path,
    caller: &Caller,
    view: &dyn View,
) -> Result<PathBuf, PlanError> {
    if let Some(named) = named {
        let path = view.canonical(&caller.cwd.join(named)).and_then(|path| {
            match (view.kind(&path), view.writable(&path)) {
                (Some(Kind::Folder), true) => Ok(path),
                (Some(Kind::Folder), false) => Err(Errno::EACCES),
                _ => Err(Errno::ENOTDIR),
            }
        });
        let path = path.map_err(|errno| PlanError::Unusable {
            what: "scratch folder",
            path: shown(named),
            errno,
        })?;
        return if path.starts_with(root) {
            Err(PlanError::ScratchInside { path: shown(named) })
        } else {
            Ok(path)
        };
    }
    SCRATCH
        .iter()
        .filter_map(|p| view.canonical(Path::new(p)).ok())
        .find(|p| !p.starts_with(root) && view.writable(p))
        .ok_or_else(|| PlanError::NoScratch {
            tried: SCRATCH.join(" and "),
        })
}
