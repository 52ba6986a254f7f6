//! Copies under names of their own, which take their places together at the end.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use belljar_model::{Entry, EntryKind, OsText};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, openat, renameat2};
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, linkat, symlinkat, unlinkat};

use super::super::Workspace;
use super::super::beneath::{LIST, STAND, open_at, open_path};
use super::super::error::shown;
use super::super::xattr;
use super::check::{Before, again};
use super::{Destination, ExportError, Item, Refused, split};
use crate::launch::id::RunId;
use crate::plan::Ids;
use crate::sys::xattr::fsetxattr;

/// Bits that are exported: never a set-id bit.
const MODE: u32 = 0o777;

/// Copies that wait for their names. What has none when this is dropped is taken back.
pub(super) struct Stage<'a> {
    ws: &'a Workspace,
    dest: BorrowedFd<'a>,
    owner: Option<Ids>,
    id: RunId,
    waiting: Vec<Waiting>,
    /// Folders made or to get another mode, outermost first.
    folders: Vec<Folder>,
    /// For each hard-link group the copy that its other paths are linked to.
    links: HashMap<u32, usize>,
}

/// A copy that waits for its name.
struct Waiting {
    path: Vec<u8>,
    temporary: Vec<u8>,
    before: Before,
}

struct Folder {
    path: Vec<u8>,
    made: bool,
    mode: Option<u32>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(ws: &'a Workspace, to: Destination<'a>) -> Result<Self, ExportError> {
        let id = RunId::new().map_err(|e| {
            let errno = e.errno.unwrap_or(Errno::UnknownErrno);
            ExportError::io("get random bytes for", b"", errno)
        })?;
        Ok(Self {
            ws,
            dest: to.folder,
            owner: to.owner,
            id,
            waiting: Vec::new(),
            folders: Vec::new(),
            links: HashMap::new(),
        })
    }

    /// Copies one output beside its place; a folder is made at once.
    pub(super) fn put(&mut self, item: &Item<'_>, before: Before) -> Result<(), ExportError> {
        let (entry, path) = (item.entry, item.path);
        self.parents(path)?;
        if entry.kind == EntryKind::Dir {
            let mode = Some(entry.mode & MODE);
            return self.folder(path, mode);
        }
        let temporary = format!(".{}-{}", self.id.name(), self.waiting.len()).into_bytes();
        let (folder, _) = split(path);
        let at = self.open(folder)?;
        // Noted first: also a copy that fails half-way is taken back.
        self.waiting.push(Waiting {
            path: path.to_vec(),
            temporary: temporary.clone(),
            before,
        });
        let step = match &entry.kind {
            EntryKind::Symlink { target } => {
                let made = self.symlink(target, &at, &temporary, entry);
                made.map_err(|e| ("make the link", e))
            }
            _ => self.file(&at, &temporary, entry),
        };
        step.map_err(|(step, e)| ExportError::io(step, path, e))
    }

    fn open(&self, folder: &[u8]) -> Result<OwnedFd, ExportError> {
        open_path(self.dest, folder, STAND)
            .map_err(|e| ExportError::io("open the folder", folder, e))
    }

    /// Makes the folders above a path that the build did not make and that are missing here.
    fn parents(&mut self, path: &[u8]) -> Result<(), ExportError> {
        let (folder, _) = split(path);
        if folder.is_empty() || open_path(self.dest, folder, STAND).is_ok() {
            return Ok(());
        }
        for (i, _) in folder.iter().enumerate().filter(|(_, b)| **b == b'/') {
            self.folder(&folder[..i], None)?;
        }
        self.folder(folder, None)
    }

    fn folder(&mut self, path: &[u8], mode: Option<u32>) -> Result<(), ExportError> {
        let (above, name) = split(path);
        let at = self.open(above)?;
        let is_new = match mkdirat(&at, name, Mode::S_IRWXU) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false,
            Err(e) => return Err(ExportError::io("make the folder", path, e)),
        };
        let mode = mode.or(is_new.then_some(0o755));
        self.folders.push(Folder {
            path: path.to_vec(),
            made: is_new,
            mode,
        });
        if let Some(owner) = self.owner.filter(|_| is_new) {
            own(&at, name, owner).map_err(|e| ExportError::io("give away", path, e))?;
        }
        Ok(())
    }

    fn symlink(
        &self,
        target: &OsText,
        at: &OwnedFd,
        temporary: &[u8],
        entry: &Entry,
    ) -> nix::Result<()> {
        symlinkat(target.as_bytes(), at, temporary)?;
        if let Some(owner) = self.owner {
            own(at, temporary, owner)?;
        }
        let time = stamp(entry);
        utimensat(at, temporary, &time, &time, UtimensatFlags::NoFollowSymlink)
    }

    fn file(
        &mut self,
        at: &OwnedFd,
        temporary: &[u8],
        entry: &Entry,
    ) -> Result<(), (&'static str, Errno)> {
        if let Some(group) = entry.hardlink_group {
            if let Some(first) = self.links.get(&group).and_then(|i| self.waiting.get(*i)) {
                let (folder, _) = split(&first.path);
                let from = open_path(self.dest, folder, STAND).map_err(|e| ("link", e))?;
                let name = first.temporary.as_slice();
                match linkat(&from, name, at, temporary, AtFlags::empty()) {
                    Ok(()) => return Ok(()),
                    // Another file system, or one without links: a copy has to do.
                    Err(Errno::EXDEV | Errno::EPERM | Errno::EMLINK) => {}
                    Err(e) => return Err(("link", e)),
                }
            } else {
                self.links.insert(group, self.waiting.len() - 1);
            }
        }
        let mut source = self.ws.open(&entry.path).map_err(|e| ("read", errno(&e)))?;
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let target = openat(at, temporary, flags, mode).map_err(|e| ("write", e))?;
        let mut target = File::from(target);
        let copied = std::io::copy(&mut source, &mut target).map_err(|e| ("write", errno(&e)))?;
        if !matches!(entry.kind, EntryKind::File { size, .. } if size == copied) {
            return Err(("copy the whole of", Errno::EIO));
        }
        attributes(&source.into(), &target).map_err(|e| ("write the attributes of", e))?;
        if let Some(owner) = self.owner {
            let (uid, gid) = ids(owner);
            fchown(&target, uid, gid).map_err(|e| ("give away", e))?;
        }
        let mode = Mode::from_bits_truncate(entry.mode & MODE);
        fchmod(&target, mode).map_err(|e| ("set the mode of", e))?;
        let time = stamp(entry);
        nix::sys::stat::futimens(&target, &time, &time).map_err(|e| ("set the time of", e))
    }

    /// Gives every copy its name.
    pub(super) fn commit(mut self) -> Result<(), ExportError> {
        let mut done = 0;
        self.waiting.reverse();
        while let Some(copy) = self.waiting.last() {
            match rename(self.dest, copy) {
                Ok(None) => {}
                Ok(Some(why)) if done == 0 => return Err(ExportError::Refused(vec![why])),
                Ok(Some(why)) => return Err(ExportError::Late { done, why }),
                Err(e) => return Err(ExportError::io("write", &copy.path, e)),
            }
            done += 1;
            self.waiting.pop();
        }
        let folders = std::mem::take(&mut self.folders);
        for folder in folders.iter().rev() {
            let Some(mode) = folder.mode else { continue };
            let fd = self.open(&folder.path)?;
            chmod(&fd, mode).map_err(|e| ExportError::io("set the mode of", &folder.path, e))?;
        }
        Ok(())
    }
}

impl Drop for Stage<'_> {
    /// Takes back what has no name yet, and the folders made for it that are still empty.
    fn drop(&mut self) {
        let remove = |path: &[u8], name: &[u8], flag| {
            if let Ok(at) = open_path(self.dest, split(path).0, STAND) {
                // What can't be removed has a name that says whose it is.
                let _ = unlinkat(&at, name, flag);
            }
        };
        for copy in &self.waiting {
            remove(&copy.path, &copy.temporary, UnlinkatFlags::NoRemoveDir);
        }
        for folder in self.folders.iter().rev().filter(|f| f.made) {
            remove(
                &folder.path,
                split(&folder.path).1,
                UnlinkatFlags::RemoveDir,
            );
        }
    }
}

/// The last look and the rename; a refusal if the target is not as it was.
fn rename(dest: BorrowedFd<'_>, copy: &Waiting) -> nix::Result<Option<Refused>> {
    let (folder, name) = split(&copy.path);
    let at = open_path(dest, folder, STAND)?;
    if let Some(why) = again(at.as_fd(), &copy.path, &copy.before)? {
        return Ok(Some(why));
    }
    let temporary = copy.temporary.as_slice();
    if copy.before.is_some() {
        renameat2(&at, temporary, &at, name, RenameFlags::empty())?;
        return Ok(None);
    }
    let renamed = match renameat2(&at, temporary, &at, name, RenameFlags::RENAME_NOREPLACE) {
        // A file system without the flag: a link never replaces anything.
        Err(Errno::EINVAL) => linkat(&at, temporary, &at, name, AtFlags::empty())
            .and_then(|()| unlinkat(&at, temporary, UnlinkatFlags::NoRemoveDir)),
        other => other,
    };
    match renamed {
        Err(Errno::EEXIST) => Ok(Some(Refused {
            path: shown(&copy.path),
            why: "has appeared",
        })),
        other => other.map(|()| None),
    }
}

/// The user's own attributes; none where the file system has none.
fn attributes(source: &OwnedFd, target: &File) -> nix::Result<()> {
    for name in xattr::names(source)?.split_inclusive(|b| *b == 0) {
        let Ok(name) = std::ffi::CStr::from_bytes_with_nul(name) else {
            continue;
        };
        let bytes = name.to_bytes();
        if !bytes.starts_with(b"user.") || !xattr::is_own(bytes, true) {
            continue;
        }
        match fsetxattr(target, name, &xattr::value(source, name)?) {
            Ok(()) | Err(Errno::ENOTSUP) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn own(at: &OwnedFd, name: &[u8], owner: Ids) -> nix::Result<()> {
    let (uid, gid) = ids(owner);
    fchownat(at, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)
}

fn ids(owner: Ids) -> (Option<Uid>, Option<Gid>) {
    (
        Some(Uid::from_raw(owner.uid)),
        Some(Gid::from_raw(owner.gid)),
    )
}

fn chmod(fd: &OwnedFd, mode: u32) -> nix::Result<()> {
    use std::os::fd::AsRawFd as _;
    let mode = Mode::from_bits_truncate(mode);
    // The folder itself where it can be read, else by its name in /proc.
    if let Ok(open) = open_at(fd.as_fd(), ".", LIST) {
        return fchmod(&open, mode);
    }
    let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
    fchmodat(AT_FDCWD, name.as_str(), mode, FchmodatFlags::FollowSymlink)
}

fn stamp(entry: &Entry) -> TimeSpec {
    let ns = entry.when.mtime_ns;
    TimeSpec::new(ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000))
}

fn errno(e: &std::io::Error) -> Errno {
    e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
