//! Whether every output can take its place, before anything is written.

use std::os::fd::BorrowedFd;

use belljar_model::EntryKind;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, SFlag, fstatat};

use super::super::Workspace;
use super::super::beneath::{STAND, is, open_path};
use super::super::error::shown;
use super::super::found::ns;
use super::{Destination, ExportError, Item, Refused, below, split};

/// What stands at a target before the export; `None`: nothing.
pub(super) type Before = Option<FileStat>;

/// Looks at every target: all that stand in the way are named, not just the first.
pub(super) fn all(
    ws: &Workspace,
    to: Destination<'_>,
    items: &[Item<'_>],
) -> Result<Vec<Before>, ExportError> {
    let mut found = Vec::with_capacity(items.len());
    let mut refused = Vec::new();
    for item in items {
        match one(ws, to, item) {
            Ok(Ok(before)) => found.push(before),
            Ok(Err(why)) => refused.push(Refused {
                path: shown(item.path),
                why,
            }),
            Err(e) => return Err(ExportError::io("look at", item.path, e)),
        }
    }
    if refused.is_empty() {
        Ok(found)
    } else {
        Err(ExportError::Refused(refused))
    }
}

fn one(
    ws: &Workspace,
    to: Destination<'_>,
    item: &Item<'_>,
) -> nix::Result<Result<Before, &'static str>> {
    let of_evidence = to.keep.is_some_and(|keep| {
        let (path, keep) = (item.entry.path.as_bytes(), keep.as_bytes());
        path == keep || below(path, keep).is_some()
    });
    if of_evidence {
        return Ok(Err("lies where the evidence is written"));
    }
    let (folder, name) = split(item.path);
    let folder = match open_path(to.folder, folder, STAND) {
        Ok(fd) => fd,
        Err(Errno::ENOENT) => return Ok(Ok(None)),
        Err(Errno::ENOTDIR) => return Ok(Err("lies below something that is no folder")),
        Err(Errno::ELOOP) => return Ok(Err("lies below a symbolic link")),
        Err(e) => return Err(e),
    };
    let before = match fstatat(&folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(status) => status,
        Err(Errno::ENOENT) => return Ok(Ok(None)),
        Err(e) => return Err(e),
    };
    let is_folder = is(&before, SFlag::S_IFDIR);
    let refused = match (&item.entry.kind, is_folder) {
        (EntryKind::Dir, true) => None,
        (EntryKind::Dir, false) => Some("is no folder"),
        (_, true) => Some("is a folder"),
        // No process can set this time: whatever was done to the file since the run began,
        // moved here included, shows in it.
        _ if ns(before.st_ctime, before.st_ctime_nsec) >= ws.started_ns => {
            Some("changed since the run began")
        }
        _ => None,
    };
    Ok(refused.map_or(Ok(Some(before)), Err))
}

/// What has happened to a target since [`all`] looked at it.
pub(super) fn again(
    folder: BorrowedFd<'_>,
    path: &[u8],
    before: &Before,
) -> nix::Result<Option<Refused>> {
    let (_, name) = split(path);
    let why = match (fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW), before) {
        (Err(Errno::ENOENT), None) => None,
        (Err(Errno::ENOENT), Some(_)) => Some("is gone"),
        (Err(e), _) => return Err(e),
        (Ok(_), None) => Some("has appeared"),
        (Ok(now), Some(then)) if same(&now, then) => None,
        (Ok(_), Some(_)) => Some("changed since the run began"),
    };
    let path = shown(path);
    Ok(why.map(|why| Refused { path, why }))
}

fn same(a: &FileStat, b: &FileStat) -> bool {
    let key = |s: &FileStat| (s.st_dev, s.st_ino, s.st_ctime, s.st_ctime_nsec);
    key(a) == key(b)
}
