//! Copies a run's outputs into a folder of the host.
//!
//! Checks everything first, then writes: a copy is made beside its place and renamed into it, so
//! that no reader ever sees half a file. Nothing is deleted, no link of the host is followed, and
//! a file that changed on the host since the run started is refused by name, with nothing written.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use belljar_model::{Entry, EntryKind, Manifest, OsText};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, openat, renameat2};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstatat, mkdirat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{
    Gid, LinkatFlags, Uid, UnlinkatFlags, fchown, fchownat, linkat, symlinkat, unlinkat,
};

use super::Workspace;
use super::beneath::{STAND, is, open_path};
use crate::plan::Ids;
use crate::sys::random::getrandom;

/// Why outputs were not exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The host's file is not the one that the build started from.
    #[error("{path} changed on the host while the build ran; nothing was exported")]
    Changed {
        /// Which file.
        path: OsText,
    },
    /// Something of another kind is in the way.
    #[error("{path} can't be exported: {why}; nothing was exported")]
    InTheWay {
        /// Which output.
        path: OsText,
        /// What is there.
        why: &'static str,
    },
    /// The kernel refused a step.
    #[error("could not {step} {path}: {errno:?} ({})", errno.desc())]
    Io {
        /// What was tried, as a verb phrase.
        step: &'static str,
        /// On what, relative to the folder.
        path: OsText,
        /// The kernel's answer.
        errno: Errno,
    },
}

impl ExportError {
    /// The one thing to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "run the build again, or take its outputs with --export DIR",
            Self::InTheWay { .. } => "move it away, or take the outputs with --export DIR",
            Self::Io { .. } => "see that the folder can be written, and has room",
        }
    }
}

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Files, links and folders that were written.
    pub written: u64,
    /// Outputs that are no files: devices, sockets, FIFOs.
    pub skipped: u64,
}

/// Where to, and as whose.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// The folder.
    pub folder: BorrowedFd<'a>,
    /// Paths of the manifest below this one lose it; others keep all of theirs.
    pub strip: &'a OsText,
    /// Who gets what is written; absent: the caller.
    pub owner: Option<Ids>,
}

/// Exports the gating outputs of `manifest`.
pub fn export(
    ws: &Workspace,
    manifest: &Manifest,
    to: Destination<'_>,
) -> Result<Exported, ExportError> {
    let mut done = Exported::default();
    let mut items = Vec::new();
    for entry in manifest.entries.iter().filter(|e| e.scratch.is_none()) {
        match entry.kind {
            EntryKind::Fifo | EntryKind::Socket | EntryKind::Device => done.skipped += 1,
            _ => items.push((entry, target(&entry.path, to.strip))),
        }
    }
    for (entry, path) in &items {
        check(ws, entry, path, to.folder)?;
    }
    let mut writer = Writer {
        ws,
        to,
        links: BTreeMap::new(),
    };
    for (entry, path) in &items {
        writer.write(entry, path)?;
        done.written += 1;
    }
    writer.finish_folders(&items)?;
    Ok(done)
}

fn target(path: &OsText, strip: &OsText) -> OsText {
    let bytes = path.as_bytes();
    let below = bytes
        .strip_prefix(strip.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"/"));
    below
        .filter(|_| !strip.as_bytes().is_empty())
        .unwrap_or(bytes)
        .into()
}

fn io(step: &'static str, path: &OsText) -> impl Fn(Errno) -> ExportError {
    move |errno| ExportError::Io {
        step,
        path: path.clone(),
        errno,
    }
}

/// Folder and name of a path.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(cut) => (&path[..cut], &path[cut + 1..]),
        None => (b"", path),
    }
}

/// What stands at `path` below `folder`, if anything; never through a link.
fn look(folder: BorrowedFd<'_>, path: &[u8]) -> nix::Result<Option<FileStat>> {
    let (dir, name) = split(path);
    let dir = match open_path(folder, dir, STAND) {
        Err(Errno::ENOENT) => return Ok(None),
        other => other?,
    };
    match fstatat(&dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

fn check(
    ws: &Workspace,
    entry: &Entry,
    path: &OsText,
    folder: BorrowedFd<'_>,
) -> Result<(), ExportError> {
    let in_the_way = |why| ExportError::InTheWay {
        path: path.clone(),
        why,
    };
    let evidence = ws.hidden.iter().any(|h| {
        let rest = entry.path.as_bytes().strip_prefix(h.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    });
    if evidence {
        return Err(in_the_way("the build did not see what the host has there"));
    }
    let found = match look(folder, path.as_bytes()) {
        Ok(found) => found,
        Err(Errno::ELOOP | Errno::EXDEV) => {
            return Err(in_the_way("a link of the host leads elsewhere"));
        }
        Err(Errno::ENOTDIR) => return Err(in_the_way("a file stands where it needs a folder")),
        Err(e) => return Err(io("look at", path)(e)),
    };
    let Some(found) = found else { return Ok(()) };
    let wants_dir = matches!(entry.kind, EntryKind::Dir);
    match (wants_dir, is(&found, SFlag::S_IFDIR)) {
        (true, false) => Err(in_the_way("a file stands where it needs a folder")),
        (false, true) => Err(in_the_way("a folder stands there")),
        (false, false) if changed_since(&found, ws.started_ns) => {
            Err(ExportError::Changed { path: path.clone() })
        }
        (true, true) | (false, false) => Ok(()),
    }
}

/// The change time can't be set by hand, so it tells of every change.
fn changed_since(stat: &FileStat, started_ns: i64) -> bool {
    stat.st_ctime
        .saturating_mul(1_000_000_000)
        .saturating_add(stat.st_ctime_nsec)
        >= started_ns
}

struct Writer<'a> {
    ws: &'a Workspace,
    to: Destination<'a>,
    /// First exported path of each group of hard links.
    links: BTreeMap<u32, OsText>,
}

impl Writer<'_> {
    fn write(&mut self, entry: &Entry, path: &OsText) -> Result<(), ExportError> {
        let (dir, name) = split(path.as_bytes());
        let dir = self.folder(dir).map_err(io("make the folder of", path))?;
        match &entry.kind {
            EntryKind::Dir => self
                .subfolder(&dir, name)
                .map_err(io("make the folder", path)),
            EntryKind::Symlink { target } => self
                .link(&dir, name, target)
                .map_err(io("make the link", path)),
            EntryKind::File { .. } => {
                let first = entry
                    .hardlink_group
                    .and_then(|g| self.links.get(&g).cloned());
                if let Some(first) = first {
                    return self.hard_link(&dir, name, &first).map_err(io("link", path));
                }
                let mut source = self.ws.open(&entry.path).map_err(|e| {
                    io("read", path)(Errno::from_raw(e.raw_os_error().unwrap_or(0)))
                })?;
                self.file(&dir, name, &mut source, entry)
                    .map_err(|e| match e {
                        Errno::EEXIST => ExportError::Changed { path: path.clone() },
                        e => io("write", path)(e),
                    })?;
                if let Some(group) = entry.hardlink_group {
                    self.links.insert(group, path.clone());
                }
                Ok(())
            }
            EntryKind::Fifo | EntryKind::Socket | EntryKind::Device => Ok(()),
        }
    }

    /// Opens a folder below the destination, making what is missing of it.
    fn folder(&self, path: &[u8]) -> nix::Result<OwnedFd> {
        match open_path(self.to.folder, path, STAND) {
            Err(Errno::ENOENT) => {}
            other => return other,
        }
        let (parent, name) = split(path);
        let parent = self.folder(parent)?;
        self.subfolder(&parent, name)?;
        open_path(self.to.folder, path, STAND)
    }

    fn subfolder(&self, dir: &OwnedFd, name: &[u8]) -> nix::Result<()> {
        match mkdirat(dir, name, Mode::from_bits_truncate(0o755)) {
            Err(Errno::EEXIST) => Ok(()),
            Ok(()) => self.give(dir, name),
            Err(e) => Err(e),
        }
    }

    fn give(&self, dir: &OwnedFd, name: &[u8]) -> nix::Result<()> {
        let Some(Ids { uid, gid }) = self.to.owner else {
            return Ok(());
        };
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        fchownat(dir, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    fn link(&self, dir: &OwnedFd, name: &[u8], target: &OsText) -> nix::Result<()> {
        let beside = beside()?;
        symlinkat(target.as_bytes(), dir, beside.as_bytes())?;
        self.give(dir, beside.as_bytes())?;
        replace(dir, beside.as_bytes(), name)
    }

    fn hard_link(&self, dir: &OwnedFd, name: &[u8], first: &OsText) -> nix::Result<()> {
        let (first_dir, first_name) = split(first.as_bytes());
        let first_dir = open_path(self.to.folder, first_dir, STAND)?;
        let beside = beside()?;
        linkat(
            &first_dir,
            first_name,
            dir,
            beside.as_bytes(),
            LinkatFlags::empty(),
        )?;
        replace(dir, beside.as_bytes(), name)
    }

    /// Writes a nameless file and gives it its name when it is whole: whatever ends belljar before
    /// that leaves nothing.
    fn file(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        source: &mut File,
        entry: &Entry,
    ) -> nix::Result<()> {
        let mode = Mode::from_bits_truncate(0o600);
        let flags = OFlag::O_WRONLY | OFlag::O_TMPFILE | OFlag::O_CLOEXEC;
        let (mut file, named) = match openat(dir, ".", flags, mode) {
            Ok(fd) => (File::from(fd), None),
            // A file system without nameless files.
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT) => {
                let beside = beside()?;
                let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
                (
                    File::from(openat(dir, beside.as_str(), flags, mode)?),
                    Some(beside),
                )
            }
            Err(e) => return Err(e),
        };
        let filled = self.fill(&mut file, source, entry);
        let placed = filled.and_then(|()| match &named {
            Some(beside) => replace(dir, beside.as_bytes(), name),
            None => self.name(dir, name, &file),
        });
        if let (Err(_), Some(beside)) = (&placed, &named) {
            let _ = unlinkat(dir, beside.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        placed
    }

    fn fill(&self, file: &mut File, source: &mut File, entry: &Entry) -> nix::Result<()> {
        let raw = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(0));
        std::io::copy(source, file).map_err(raw)?;
        if let Some(Ids { uid, gid }) = self.to.owner {
            fchown(&*file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        // Set-id bits stay behind.
        fchmod(&*file, Mode::from_bits_truncate(entry.mode & 0o777))?;
        let real = source.metadata().and_then(|m| m.modified()).map_err(raw)?;
        file.set_modified(real).map_err(raw)
    }

    fn name(&self, dir: &OwnedFd, name: &[u8], file: &File) -> nix::Result<()> {
        let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
        let put = |name: &[u8]| {
            linkat(
                AT_FDCWD,
                nameless.as_str(),
                dir,
                name,
                LinkatFlags::AT_SYMLINK_FOLLOW,
            )
        };
        match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => put(name),
            Ok(found) if changed_since(&found, self.ws.started_ns) => Err(Errno::EEXIST),
            Ok(_) => {
                let beside = beside()?;
                put(beside.as_bytes())?;
                replace(dir, beside.as_bytes(), name)
            }
            Err(e) => Err(e),
        }
    }

    /// Modes of folders last: one may forbid to write in it.
    fn finish_folders(&self, items: &[(&Entry, OsText)]) -> Result<(), ExportError> {
        for (entry, path) in items.iter().rev() {
            if !matches!(entry.kind, EntryKind::Dir) {
                continue;
            }
            let (dir, name) = split(path.as_bytes());
            let mode = Mode::from_bits_truncate(entry.mode & 0o777);
            let time = TimeSpec::new(
                entry.when.mtime_ns.div_euclid(1_000_000_000),
                entry.when.mtime_ns.rem_euclid(1_000_000_000),
            );
            open_path(self.to.folder, dir, STAND)
                .and_then(|dir| {
                    fchmodat(&dir, name, mode, FchmodatFlags::FollowSymlink)?;
                    utimensat(&dir, name, &time, &time, UtimensatFlags::NoFollowSymlink)
                })
                .map_err(io("finish the folder", path))?;
        }
        Ok(())
    }
}

/// Moves a finished thing to its place.
fn replace(dir: &OwnedFd, beside: &[u8], name: &[u8]) -> nix::Result<()> {
    let moved = renameat2(dir, beside, dir, name, RenameFlags::empty());
    if moved.is_err() {
        let _ = unlinkat(dir, beside, UnlinkatFlags::NoRemoveDir);
    }
    moved
}

/// A name that nothing else has.
fn beside() -> nix::Result<String> {
    use std::fmt::Write as _;
    let mut name = ".belljar-".to_owned();
    let mut random = [0; 8];
    getrandom(&mut random)?;
    for byte in random {
        let _ = write!(name, "{byte:02x}");
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
