//! The last rung: a copy of the source tree, reflinked where the file system can.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, FileTimes};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::mkfifo;

use crate::SetupError;
use crate::error::At;

/// Copies what is below `from` into the existing folder `to`, without `hidden` (relative paths).
/// Modes, times, links and hard links stay; sockets and devices are left out.
pub(super) fn tree(from: &Path, to: &Path, hidden: &[PathBuf]) -> Result<(), SetupError> {
    let hidden: HashSet<&Path> = hidden.iter().map(PathBuf::as_path).collect();
    let mut links: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    let mut todo = vec![PathBuf::new()];
    let mut folders = Vec::new();
    while let Some(at) = todo.pop() {
        let step = "copy the source tree";
        let source = from.join(&at);
        for entry in fs::read_dir(&source).step_at(step, source.as_path())? {
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
                file(&source, &target, &meta, &mut links).step_at(step, source.as_path())?;
            }
        }
    }
    // Last and innermost first: writing into a folder moves its time.
    for (path, meta) in folders.iter().rev() {
        finish(path, meta).step_at("copy the source tree", path.as_path())?;
    }
    Ok(())
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
