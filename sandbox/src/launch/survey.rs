//! One look at the source tree before the walls go up: owners, newest stamp, mounts inside it.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};

use crate::SetupError;
use crate::error::At;
use crate::plan::{Host, Ids};

/// What the survey found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// Newest modification time in whole seconds, rounded up.
    pub newest_s: i64,
    /// The entry that has it, below the root folder.
    pub newest: PathBuf,
    /// The newest modification time in whole seconds, rounded down.
    pub newest_second: i64,
    /// Entries seen.
    pub entries: u64,
    /// Bytes in regular files.
    pub bytes: u64,
    /// The first path of a user that has no id inside.
    pub foreign_user: Option<PathBuf>,
    /// The first path of a group that has no id inside.
    pub foreign_group: Option<PathBuf>,
    /// The first path at which something else is mounted.
    pub mount: Option<PathBuf>,
}

impl Survey {
    /// Walks `host.root` without following a link; `mapped` are the ids that the build can have.
    /// Hidden paths are left out: the build does not
    /// see them.
    pub fn of(host: &Host, mapped: Ids) -> Result<Self, SetupError> {
        let step = "look through the source tree";
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root =
            Dir::open(&host.root, flags, Mode::empty()).step_at(step, host.root.as_path())?;
        let top = nix::sys::stat::fstat(root.as_fd()).step_at(step, host.root.as_path())?;
        let mut survey = Self::default();
        let mut todo = vec![(root, PathBuf::new())];
        let mut later: Vec<PathBuf> = Vec::new();
        loop {
            let (mut dir, at) = match todo.pop() {
                Some(next) => next,
                None => match later.pop() {
                    None => return Ok(survey),
                    Some(path) => {
                        let flags = flags | OFlag::O_NOFOLLOW;
                        match Dir::open(&host.root.join(&path), flags, Mode::empty()) {
                            Ok(dir) => (dir, path),
                            // Unreadable for us is unreadable for the build.
                            Err(_) => continue,
                        }
                    }
                },
            };
            let fd = dir.as_fd().try_clone_to_owned().step(step)?;
            for entry in dir.iter() {
                let Ok(entry) = entry else { break };
                let name = entry.file_name();
                if name == c"." || name == c".." {
                    continue;
                }
                let path = at.join(os(name));
                if host.hidden.contains(&path) {
                    continue;
                }
                let Ok(stat) = fstatat(&fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) else {
                    continue;
                };
                survey.note(&stat, &path, mapped, top.st_dev);
                let is_dir = entry.file_type() == Some(Type::Directory)
                    || SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
                        == SFlag::S_IFDIR;
                if !is_dir || stat.st_dev != top.st_dev {
                    continue;
                }
                let flags = flags | OFlag::O_NOFOLLOW;
                match openat(&fd, name, flags, Mode::empty()) {
                    Ok(sub) if todo.len() < 64 => {
                        if let Ok(sub) = Dir::from_fd(sub) {
                            todo.push((sub, path));
                        }
                    }
                    Ok(_) | Err(Errno::EMFILE) => later.push(path),
                    Err(_) => {}
                }
            }
        }
    }

    fn note(&mut self, stat: &nix::sys::stat::FileStat, path: &Path, mapped: Ids, dev: u64) {
        self.entries += 1;
        if stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits() {
            self.bytes += u64::try_from(stat.st_size).unwrap_or(0);
        }
        let written_s = stat
            .st_mtime
            .saturating_add(i64::from(stat.st_mtime_nsec > 0));
        if written_s > self.newest_s {
            self.newest_s = written_s;
            path.clone_into(&mut self.newest);
        }
        self.newest_second = self.newest_second.max(stat.st_mtime);
        let first = |slot: &mut Option<PathBuf>, hit: bool| {
            if hit && slot.is_none() {
                *slot = Some(path.to_owned());
            }
        };
        first(&mut self.foreign_user, stat.st_uid != mapped.uid);
        first(&mut self.foreign_group, stat.st_gid != mapped.gid);
        first(&mut self.mount, stat.st_dev != dev);
    }
}

fn os(name: &CStr) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes())
}
