//! One cgroup as a folder of files, and one that belljar made.
//!
//! A cgroup that belljar made is locked by flock(2) on its folder from the moment it is made
//! until every process of the run that inherited the descriptor has ended; that is how a sweep
//! tells the leaf of a living run, which may well be empty, from what a dead one left.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, fstat, fstatat, mkdirat};
use nix::unistd::{AccessFlags, Pid, UnlinkatFlags, faccessat, unlinkat};

use crate::sys::process::pidfd_open;
use crate::sys::signal::pidfd_kill;

const FOLDER: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
const TICK: Duration = Duration::from_millis(1);
/// How often something that a moment changes is tried again: with [`TICK`] some two seconds.
const TRIES: u32 = 2_000;
/// Processes that are killed in one go by descriptor.
const BATCH: usize = 64;

/// A cgroup.
#[derive(Debug)]
pub(super) struct Folder {
    fd: File,
    pub(super) path: PathBuf,
}

impl Folder {
    pub(super) fn open(path: &Path) -> nix::Result<Self> {
        let fd = open(path, FOLDER | OFlag::O_RDONLY, Mode::empty())?;
        Ok(Self {
            fd: fd.into(),
            path: path.to_owned(),
        })
    }

    fn child(&self, name: &str) -> nix::Result<Self> {
        let fd = openat(&self.fd, name, FOLDER | OFlag::O_RDONLY, Mode::empty())?;
        Ok(Self {
            fd: fd.into(),
            path: self.path.join(name),
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn open_file(&self, name: &str, flags: OFlag) -> nix::Result<File> {
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        openat(&self.fd, name, flags, Mode::empty()).map(OwnedFd::into)
    }

    pub(super) fn read(&self, name: &str) -> nix::Result<String> {
        let mut text = String::new();
        self.open_file(name, OFlag::O_RDONLY)?
            .read_to_string(&mut text)
            .map_err(|e| errno(&e))?;
        Ok(text)
    }

    pub(super) fn write(&self, name: &str, value: &str) -> nix::Result<()> {
        self.open_file(name, OFlag::O_WRONLY)?
            .write_all(value.as_bytes())
            .map_err(|e| errno(&e))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }

    /// Whether the caller may write the file.
    pub(super) fn may_write(&self, name: &str) -> nix::Result<()> {
        faccessat(&self.fd, name, AccessFlags::W_OK, AtFlags::AT_EACCESS)
    }

    /// The words of a file that lists controllers.
    pub(super) fn words(&self, name: &str) -> nix::Result<Vec<String>> {
        Ok(self
            .read(name)?
            .split_whitespace()
            .map(str::to_owned)
            .collect())
    }

    /// The processes in it. Those that this process can't see are listed as 0.
    pub(super) fn procs(&self) -> nix::Result<HashSet<i32>> {
        Ok(self
            .read("cgroup.procs")?
            .lines()
            .filter_map(|l| l.parse().ok())
            .collect())
    }
}

/// Who has a cgroup with one of our names.
pub(super) enum Taken {
    /// Nobody any more: it is locked by the caller now.
    Dead(Group),
    /// A process of a living run.
    Alive,
    /// Another user, or it is no cgroup.
    Foreign,
}

/// A cgroup that belljar made, locked.
#[derive(Debug)]
pub(super) struct Group {
    parent: Folder,
    name: String,
    folder: Folder,
}

impl std::ops::Deref for Group {
    type Target = Folder;
    fn deref(&self) -> &Folder {
        &self.folder
    }
}

impl Group {
    pub(super) fn make(parent: Folder, name: &str) -> nix::Result<Self> {
        let mut tries = 0;
        loop {
            tries += 1;
            match mkdirat(parent.fd(), name, Mode::from_bits_truncate(0o755)) {
                Ok(()) => {}
                // A sweep took the one of the last try for a dead one, and removes it.
                Err(Errno::EEXIST) if (2..TRIES).contains(&tries) => {
                    sleep(TICK);
                    continue;
                }
                Err(e) => return Err(e),
            }
            match parent.child(name) {
                Ok(folder) if lock(&parent, name, &folder)? => {
                    let name = name.to_owned();
                    return Ok(Self {
                        parent,
                        name,
                        folder,
                    });
                }
                Ok(_) | Err(Errno::ENOENT) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Takes what a dead run of the caller left under this name.
    pub(super) fn take_over(parent: Folder, name: &str) -> nix::Result<Taken> {
        let folder = match parent.child(name) {
            Ok(folder) => folder,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(Taken::Foreign),
            Err(e) => return Err(e),
        };
        if fstat(&folder.fd)?.st_uid != nix::unistd::geteuid().as_raw() {
            return Ok(Taken::Foreign);
        }
        if !lock(&parent, name, &folder)? {
            return Ok(Taken::Alive);
        }
        let name = name.to_owned();
        Ok(Taken::Dead(Self {
            parent,
            name,
            folder,
        }))
    }

    pub(super) fn join(&self, pid: Pid) -> nix::Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    pub(super) fn populated(&self) -> nix::Result<bool> {
        match self.read("cgroup.events") {
            Ok(events) => Ok(events.lines().any(|line| line == "populated 1")),
            // v1 has no such file, and no groups below a leaf.
            Err(Errno::ENOENT) => self.procs().map(|procs| !procs.is_empty()),
            Err(e) => Err(e),
        }
    }

    /// SIGKILL for all of it: by the kernel where it can, else one by one until none is left.
    pub(super) fn kill(&self) -> nix::Result<()> {
        match self.write("cgroup.kill", "1") {
            Err(Errno::ENOENT) => {}
            other => return other,
        }
        if self.has("pids.max") {
            // Nothing in it can fork away from the loop below.
            self.write("pids.max", "0")?;
        }
        for _ in 0..TRIES {
            let members = self.procs()?;
            if members.is_empty() {
                return Ok(());
            }
            self.kill_each(&members)?;
            sleep(TICK);
        }
        Err(Errno::EBUSY)
    }

    /// A number may have passed to a foreign process since it was listed. A descriptor can't: it
    /// is opened first, and used if the number is still on the list.
    fn kill_each(&self, members: &HashSet<i32>) -> nix::Result<()> {
        let members: Vec<i32> = members.iter().copied().filter(|pid| *pid > 0).collect();
        for batch in members.chunks(BATCH) {
            let open: Vec<_> = batch
                .iter()
                .filter_map(|pid| Some((pid, pidfd_open(Pid::from_raw(*pid)).ok()?)))
                .collect();
            let still = self.procs()?;
            for (pid, fd) in open {
                if still.contains(pid) {
                    match pidfd_kill(fd.as_fd()) {
                        Ok(()) | Err(Errno::ESRCH) => {}
                        Err(e) => return Err(e),
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes it; waits a moment for the last of its processes to be gone.
    pub(super) fn remove(&self) -> nix::Result<()> {
        for _ in 0..TRIES {
            match unlinkat(
                self.parent.fd(),
                self.name.as_str(),
                UnlinkatFlags::RemoveDir,
            ) {
                Ok(()) | Err(Errno::ENOENT) => return Ok(()),
                Err(Errno::EBUSY) => sleep(TICK),
                Err(e) => return Err(e),
            }
        }
        Err(Errno::EBUSY)
    }
}

/// Locks the folder of a cgroup and makes sure that it still has its name.
fn lock(parent: &Folder, name: &str, folder: &Folder) -> nix::Result<bool> {
    match folder.fd.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Ok(false),
        Err(std::fs::TryLockError::Error(e)) => return Err(errno(&e)),
    }
    let ino = fstat(&folder.fd)?.st_ino;
    Ok(fstatat(parent.fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|s| s.st_ino == ino))
}

fn errno(e: &std::io::Error) -> Errno {
    e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
