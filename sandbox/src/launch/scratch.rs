//! Scratch folders: what one run writes on the host before anything of it is exported.
//!
//! `belljar-<id>` in the scratch parent, mode 0700, with a `lock` file that the run holds by
//! flock(2) for its whole life. Descriptors of the lock that forked processes inherit keep it too,
//! so it is free only when every process of the run has ended, however it ended. [`sweep`]
//! removes what dead runs left by that rule: our name, our owner, a lock that can be had.

use std::fs::{DirBuilder, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use crate::SetupError;
use crate::launch::id::RunId;
use crate::launch::ids::BUILDER_OUTSIDE;
use crate::launch::remove;
use crate::launch::sweep::{Found, Swept};

const LOCK: &std::ffi::CStr = c"lock";
const FOLDER: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
/// How often a folder is made anew that a sweep took for a dead one before it was locked.
const TRIES: u32 = 50;

/// The scratch folder of one run; removed with all that is in it when this is dropped by the
/// process that made it.
#[derive(Debug)]
pub struct Scratch {
    parent: OwnedFd,
    path: PathBuf,
    id: RunId,
    dir: OwnedFd,
    /// Never read: it is open, so it is locked.
    _lock: File,
    maker: u32,
}

impl Scratch {
    /// Makes the folder of run `id` in `parent`, and `parent` itself if it is missing. The last
    /// component of `parent` must be a folder and no link, owned by the caller or root, and not
    /// open to others' renames.
    pub fn create(parent: &Path, id: RunId) -> Result<Self, SetupError> {
        let step = "make the scratch folder";
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|e| SetupError::io(step, &e).at(parent).hint(ELSEWHERE))?;
        let fd = open_parent(parent)?;
        let mut tries = 0;
        let (dir, lock) = loop {
            tries += 1;
            match claim(&fd, id) {
                Ok(Some(claimed)) => break claimed,
                // A sweep held it in the moment between mkdir and flock, and removes it.
                Ok(None) => {}
                Err(Errno::EEXIST) if tries > 1 => {}
                Err(e) => return Err(SetupError::new(step, e).at(parent).hint(ELSEWHERE)),
            }
            if tries == TRIES {
                return Err(SetupError::refused(step, "another process keeps taking it").at(parent));
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let path = parent.join(id.name());
        Ok(Self {
            parent: fd,
            path,
            id,
            dir,
            _lock: lock,
            maker: std::process::id(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder itself.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Whose it is.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Removes it and says what could not be removed; dropping it removes it silently.
    pub fn remove(mut self) -> Result<(), SetupError> {
        self.maker = 0;
        take_down(self.parent.as_fd(), self.dir.as_fd(), self.id)
            .map_err(|e| e.at(self.path.as_path()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A forked copy of this value is not the run.
        if self.maker == std::process::id() {
            let _ = take_down(self.parent.as_fd(), self.dir.as_fd(), self.id);
        }
    }
}

const ELSEWHERE: &str = "name a folder of your own with `--scratch DIR`";

fn errno(e: &std::io::Error) -> Errno {
    e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Opens the scratch parent, and refuses one in which others could put something else in place of
/// a run's folder.
fn open_parent(parent: &Path) -> Result<OwnedFd, SetupError> {
    let step = "use the scratch parent";
    let failed = |e| SetupError::new(step, e).at(parent).hint(ELSEWHERE);
    let fd = open(parent, FOLDER | OFlag::O_RDONLY, Mode::empty()).map_err(failed)?;
    let stat = fstat(&fd).map_err(failed)?;
    let owner_ok = stat.st_uid == geteuid().as_raw() || stat.st_uid == 0;
    let open_to_others = stat.st_mode & 0o022 != 0 && stat.st_mode & libc::S_ISVTX == 0;
    if !owner_ok || open_to_others {
        let why = if owner_ok {
            "others can write to it"
        } else {
            "it belongs to another user"
        };
        return Err(SetupError::refused(step, why).at(parent).hint(ELSEWHERE));
    }
    Ok(fd)
}

/// Makes and locks the folder. `None`: someone else locked it first.
fn claim(parent: &OwnedFd, id: RunId) -> nix::Result<Option<(OwnedFd, File)>> {
    mkdirat(parent, id.name().as_str(), Mode::S_IRWXU)?;
    let Some(dir) = open_ours(parent, id)? else {
        return Ok(None);
    };
    let lock = lock(&dir, OFlag::O_EXCL)?;
    // The lock is worth something only on the folder and the file that still have these names.
    Ok(lock
        .filter(|_| is_at(parent, id.name().as_str(), &dir))
        .map(|lock| (dir, lock)))
}

/// Opens the run's folder if it is one of ours.
fn open_ours(parent: &OwnedFd, id: RunId) -> nix::Result<Option<OwnedFd>> {
    match openat(
        parent,
        id.name().as_str(),
        FOLDER | OFlag::O_RDONLY,
        Mode::empty(),
    ) {
        Ok(dir) => {
            let (owner, me) = (fstat(&dir)?.st_uid, geteuid());
            // Root's runs hand their folder to the builder's ids, which are nobody else's.
            let ours = owner == me.as_raw() || me.is_root() && owner == BUILDER_OUTSIDE;
            Ok(ours.then_some(dir))
        }
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The lock file of `dir`, locked. `None`: another process holds it or has removed it.
fn lock(dir: &OwnedFd, how: OFlag) -> nix::Result<Option<File>> {
    let flags = OFlag::O_CREAT | OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | how;
    let file = match openat(dir, LOCK, flags, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(fd) => File::from(fd),
        Err(Errno::EEXIST | Errno::ENOENT) => return Ok(None),
        Err(e) => return Err(e),
    };
    match file.try_lock() {
        Ok(()) => Ok(is_at(dir, LOCK, &file).then_some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(e)) => Err(errno(&e)),
    }
}

/// Whether `name` in `dir` is still the file that `fd` is.
fn is_at<N: nix::NixPath + ?Sized>(dir: &OwnedFd, name: &N, fd: impl AsFd) -> bool {
    let same = |a: FileStat, b: FileStat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
    fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        .and_then(|a| fstat(fd).map(|b| same(a, b)))
        .unwrap_or(false)
}

/// Removes a folder whose lock the caller holds: the lock file last, so that a crash on the way
/// leaves something that a sweep still knows.
fn take_down(parent: BorrowedFd<'_>, dir: BorrowedFd<'_>, id: RunId) -> Result<(), SetupError> {
    let step = "remove the scratch folder";
    remove::empty(dir, LOCK).map_err(|left| SetupError {
        detail: Some(format!("its entry {}", left.name)),
        ..SetupError::new(step, left.errno)
    })?;
    for (at, name, how) in [
        (dir, LOCK.to_owned(), UnlinkatFlags::NoRemoveDir),
        (
            parent,
            std::ffi::CString::new(id.name()).unwrap_or_default(),
            UnlinkatFlags::RemoveDir,
        ),
    ] {
        match unlinkat(at, name.as_c_str(), how) {
            // Not empty: between the two calls a sweep made a lock of its own, and ends the work.
            Ok(()) | Err(Errno::ENOENT | Errno::ENOTEMPTY) => {}
            Err(e) => return Err(SetupError::new(step, e)),
        }
    }
    Ok(())
}

/// Removes the scratch folders that dead runs of the caller left in `parent`, and nothing else.
pub fn sweep(parent: &Path) -> Swept {
    let mut swept = Swept::default();
    if !parent.exists() {
        return swept;
    }
    let parent_fd = match open_parent(parent) {
        Ok(fd) => fd,
        Err(e) => {
            return Swept {
                failed: vec![e],
                ..swept
            };
        }
    };
    match names(&parent_fd) {
        Ok(ids) => ids.into_iter().for_each(|id| {
            let found = sweep_one(&parent_fd, id);
            swept.note(
                id,
                found.map_err(|e| e.at(parent.join(id.name()).as_path())),
            );
        }),
        Err(e) => swept
            .failed
            .push(SetupError::new("list the scratch parent", e).at(parent)),
    }
    swept
}

fn names(parent: &OwnedFd) -> nix::Result<Vec<RunId>> {
    let mut dir = Dir::openat(parent, c".", FOLDER | OFlag::O_RDONLY, Mode::empty())?;
    let mut ids = Vec::new();
    for entry in dir.iter() {
        ids.extend(RunId::of_name(entry?.file_name().to_bytes()));
    }
    ids.sort_unstable();
    Ok(ids)
}

fn sweep_one(parent: &OwnedFd, id: RunId) -> Result<Found, SetupError> {
    let failed = |e| SetupError::new("look at a scratch folder", e);
    let Some(dir) = open_ours(parent, id).map_err(failed)? else {
        return Ok(Found::Foreign);
    };
    let Some(_lock) = lock(&dir, OFlag::empty()).map_err(failed)? else {
        return Ok(Found::Alive);
    };
    take_down(parent.as_fd(), dir.as_fd(), id).map(|()| Found::Dead)
}
