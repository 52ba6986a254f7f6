//! The last rung: a copy of the source tree, reflinked where the file system can.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, FileTimes};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use belljar_model::OsText;
use nix::errno::Errno;
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{geteuid, mkfifo};

use crate::SetupError;
use crate::error::At;

/// Copies what is below `from` into the existing folder `to`, without `hidden` (relative paths).
/// Modes, times, links and hard links stay; sockets and devices are left out.
pub(super) fn tree(from: &Path, to: &Path, hidden: &[OsText]) -> Result<(), SetupError> {
    let hidden: HashSet<&Path> = hidden.iter().map(OsText::as_path).collect();
    let mut links: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    let mut todo = vec![PathBuf::new()];
    let mut folders = Vec::new();
    while let Some(at) = todo.pop() {
        let step = "copy the source tree";
        let source = from.join(&at);
        let listed = fs::read_dir(&source).step_at(step, source.as_path());
        for entry in listed.map_err(|e| explained(e, &source))? {
            let entry = entry.step_at(step, source.as_path())?;
            let path = at.join(entry.file_name());
            if hidden.contains(path.as_path()) {
                continue;
            }
            let (source, target) = (from.join(&path), to.join(&path));
            let meta = fs::symlink_metadata(&source).step_at(step, source.as_path())?;
            let kind = meta.file_type();
            if kind.is_dir() {
                fs::create_dir(&target).step_at(step, target.as_path())?;
                folders.push((target, meta));
                todo.push(path);
            } else {
                file(&source, &target, &meta, &mut links)
                    .step_at(step, source.as_path())
                    .map_err(|e| explained(e, &source))?;
            }
        }
    }
    // Last and innermost first: writing into a folder moves its time.
    for (path, meta) in folders.iter().rev() {
        finish(path, meta).step_at("copy the source tree", path.as_path())?;
    }
    Ok(())
}

/// With the way out.
fn explained(e: SetupError, source: &Path) -> SetupError {
    match e.errno {
        Some(Errno::EACCES) => {
            let owner = fs::symlink_metadata(source).map(|meta| meta.uid());
            e.hint(if owner.is_ok_and(|uid| uid == geteuid().as_raw()) {
                "a copy takes all of the source: make it readable with chmod u+rX"
            } else {
                "it is another user's, and a copy takes all of the source: move it out of there"
            })
        }
        Some(Errno::ENOSPC | Errno::EDQUOT) => {
            e.hint("name a folder on a disk with more room: --scratch DIR")
        }
        _ => e,
    }
}

fn file(
    source: &Path,
    target: &Path,
    meta: &fs::Metadata,
    links: &mut BTreeMap<(u64, u64), PathBuf>,
) -> std::io::Result<()> {
    let kind = meta.file_type();
    if kind.is_symlink() {
        symlink(fs::read_link(source)?, target)?;
        let (atime, mtime) = (
            stamp(meta.atime(), meta.atime_nsec()),
            stamp(meta.mtime(), meta.mtime_nsec()),
        );
        let flag = UtimensatFlags::NoFollowSymlink;
        return Ok(utimensat(
            nix::fcntl::AT_FDCWD,
            target,
            &atime,
            &mtime,
            flag,
        )?);
    }
    if kind.is_fifo() {
        mkfifo(target, Mode::from_bits_truncate(meta.mode()))?;
        return Ok(());
    }
    if !kind.is_file() {
        return Ok(());
    }
    if meta.nlink() > 1 {
        if let Some(first) = links.get(&(meta.dev(), meta.ino())) {
            return fs::hard_link(first, target);
        }
        links.insert((meta.dev(), meta.ino()), target.to_owned());
    }
    // copy_file_range(2), which shares blocks where the file system can.
    fs::copy(source, target)?;
    finish(target, meta)
}

fn stamp(seconds: i64, nanoseconds: i64) -> TimeSpec {
    TimeSpec::new(seconds, nanoseconds)
}

fn finish(path: &Path, meta: &fs::Metadata) -> std::io::Result<()> {
    let times = FileTimes::new()
        .set_accessed(meta.accessed()?)
        .set_modified(meta.modified()?);
    fs::File::open(path)?.set_times(times)?;
    fs::set_permissions(path, fs::Permissions::from_mode(meta.mode() & 0o1777))
}
