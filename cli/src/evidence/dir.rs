//! Folders and files by descriptor: nothing here follows a symbolic link that a build, or the
//! owner of a folder in which root runs belljar, could have put in the way.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use belljar_model::OsText;
use belljar_sandbox::plan::Ids;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fchmod, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, geteuid, unlinkat};

use super::error::{EvidenceError, refused};

const FOLDER: Mode = Mode::from_bits_truncate(0o755);
const FILE: Mode = Mode::from_bits_truncate(0o644);
const LOOK: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);
const READ: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// Whom new files belong to: the owner of the root folder where belljar runs as root, else the
/// caller, whom the kernel names by itself.
pub fn give_to(owner: Ids) -> Option<Ids> {
    geteuid().is_root().then_some(owner)
}

fn settle(fd: BorrowedFd<'_>, mode: Mode, owner: Option<Ids>) -> nix::Result<()> {
    // Not left to the caller's umask: evidence is read by others.
    fchmod(fd, mode)?;
    if let Some(Ids { uid, gid }) = owner {
        fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(())
}

/// A new folder; `EEXIST` where there is one.
pub fn make(at: BorrowedFd<'_>, name: &Path, owner: Option<Ids>) -> nix::Result<OwnedFd> {
    mkdirat(at, name, FOLDER)?;
    let fd = openat(at, name, READ | OFlag::O_NOFOLLOW, Mode::empty())?;
    settle(fd.as_fd(), FOLDER, owner)?;
    Ok(fd)
}

/// A new file, open for writing; `EEXIST` where there is one.
pub fn create(at: BorrowedFd<'_>, name: &Path, owner: Option<Ids>) -> nix::Result<File> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = openat(at, name, flags, FILE)?;
    settle(fd.as_fd(), FILE, owner)?;
    Ok(File::from(fd))
}

/// The folder `name`, made where it is missing.
fn enter(
    at: BorrowedFd<'_>,
    name: &Path,
    flags: OFlag,
    owner: Option<Ids>,
) -> nix::Result<OwnedFd> {
    match openat(at, name, flags, Mode::empty()) {
        Err(Errno::ENOENT) => match make(at, name, owner) {
            // Another belljar made it in between.
            Err(Errno::EEXIST) => openat(at, name, flags, Mode::empty()),
            made => made,
        },
        found => found,
    }
}

/// Opens the folder `path` for reading, making what is missing of it. Below `root`, whose content
/// may be anybody's, no part of the way may be a symbolic link; outside of it the way is the caller's.
pub fn open_or_make(path: &Path, root: &Path, owner: Option<Ids>) -> Result<File, EvidenceError> {
    let (start, below, nofollow) = match path.strip_prefix(root) {
        Ok(below) => (root, below, OFlag::O_NOFOLLOW),
        Err(_) => (
            Path::new("/"),
            path.strip_prefix("/").unwrap_or(path),
            OFlag::empty(),
        ),
    };
    let error = |e: nix::Error| refused("open the folder", path)(e);
    let mut fd = openat(nix::fcntl::AT_FDCWD, start, LOOK, Mode::empty()).map_err(error)?;
    for part in below.components() {
        fd = enter(
            fd.as_fd(),
            part.as_os_str().as_ref(),
            LOOK | nofollow,
            owner,
        )
        .map_err(error)?;
    }
    // O_PATH descriptors can be neither listed nor locked.
    let fd = openat(&fd, ".", READ, Mode::empty()).map_err(error)?;
    Ok(File::from(fd))
}

/// Opens an existing folder for reading.
pub fn open(path: &Path) -> Result<File, EvidenceError> {
    openat(nix::fcntl::AT_FDCWD, path, READ, Mode::empty())
        .map(File::from)
        .map_err(refused("open the evidence folder", path))
}

/// The parts of a relative path, none of which leads up or elsewhere.
pub fn parts(path: &OsText) -> Result<Vec<&Path>, EvidenceError> {
    let outside = || EvidenceError::Outside { path: path.clone() };
    let parts: Option<Vec<&Path>> = path
        .as_path()
        .components()
        .map(|c| matches!(c, Component::Normal(_)).then(|| Path::new(c.as_os_str())))
        .collect();
    parts.filter(|p| !p.is_empty()).ok_or_else(outside)
}

/// Creates the file `path` below `at`, with the folders it needs.
pub fn create_below(
    at: BorrowedFd<'_>,
    path: &OsText,
    owner: Option<Ids>,
) -> Result<File, EvidenceError> {
    let error = |e: nix::Error| refused("create", path.clone())(e);
    let parts = parts(path)?;
    let (name, folders) = parts
        .split_last()
        .ok_or_else(|| EvidenceError::Outside { path: path.clone() })?;
    let mut fd = at
        .try_clone_to_owned()
        .map_err(refused("create", path.clone()))?;
    for folder in folders {
        fd = enter(fd.as_fd(), folder, LOOK | OFlag::O_NOFOLLOW, owner).map_err(error)?;
    }
    create(fd.as_fd(), name, owner).map_err(error)
}

/// Removes the file `name` in the folder `folder` below `at`, and the folder if it is empty then.
pub fn unlink_in(at: BorrowedFd<'_>, folder: &str, name: &str) -> nix::Result<()> {
    let inner = openat(at, folder, LOOK | OFlag::O_NOFOLLOW, Mode::empty())?;
    unlinkat(&inner, name, UnlinkatFlags::NoRemoveDir)?;
    match unlinkat(at, folder, UnlinkatFlags::RemoveDir) {
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => Ok(()),
        done => done,
    }
}

/// Opens the regular file `path` below `at` for reading.
pub fn open_below(at: BorrowedFd<'_>, path: &OsText) -> Result<File, EvidenceError> {
    let error = |e: nix::Error| refused("read", path.clone())(e);
    let parts = parts(path)?;
    let (name, folders) = parts
        .split_last()
        .ok_or_else(|| EvidenceError::Outside { path: path.clone() })?;
    let mut fd = at
        .try_clone_to_owned()
        .map_err(refused("read", path.clone()))?;
    for folder in folders {
        fd = openat(&fd, *folder, LOOK | OFlag::O_NOFOLLOW, Mode::empty()).map_err(error)?;
    }
    // Nonblocking: a FIFO put in the way must not hang the reader.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = File::from(openat(&fd, *name, flags, Mode::empty()).map_err(error)?);
    let regular = file
        .metadata()
        .map_err(refused("read", path.clone()))?
        .is_file();
    if regular {
        Ok(file)
    } else {
        Err(error(Errno::EINVAL))
    }
}

/// Whether `name` stands in the folder, whatever it is.
pub fn exists(at: BorrowedFd<'_>, name: &str) -> bool {
    fstatat(at, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
}

/// A folder's path by its descriptor, for the functions of the standard library that take paths.
pub fn by_fd(fd: BorrowedFd<'_>) -> std::path::PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

/// The names in a folder, sorted.
pub fn names(at: BorrowedFd<'_>) -> io::Result<Vec<OsText>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(by_fd(at))? {
        names.push(OsText::from(entry?.file_name().as_bytes()));
    }
    names.sort();
    Ok(names)
}

/// Removes `name` with all that is in it. The standard library's removal follows no link.
pub fn remove(at: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match std::fs::remove_dir_all(by_fd(at).join(name)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
