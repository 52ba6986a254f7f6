//! What of a workspace the build wrote: against what lay below before.

use std::os::fd::{AsFd, OwnedFd};

use belljar_model::Scratch;
use nix::fcntl::{AtFlags, readlinkat};
use nix::sys::stat::{FileStat, SFlag, fstat, fstatat};
use nix::unistd::{Whence, lseek};

use super::CaptureError;
use super::beneath::{READ, open_at};
use super::error::shown;
use super::found::{Kind, Xattrs, ns};
use super::hash::{self, digests};
use super::walk::{Name, Open};
use super::worker::Worker;
use super::xattr::attributes;

/// Larger files are read at the end, largest first, so that none keeps the others waiting.
const LARGE: u64 = 4 << 20;

/// A file that says it is larger is sparse, and reading its holes would take an hour.
const LARGEST: u64 = 1 << 40;

/// A file system's clock may be this far behind the real one: a tick of the slowest kernels.
const TICK_NS: i64 = 20_000_000;

impl Worker<'_, '_> {
    /// A regular file.
    pub(super) fn file(
        &mut self,
        open: &Open,
        name: &Name,
        path: &[u8],
        fd: &OwnedFd,
        status: &FileStat,
        scratch: Option<Scratch>,
    ) -> Result<(), CaptureError> {
        if self.untouched(status) {
            return Ok(());
        }
        let read_failed = |e| CaptureError::io("read", path, e);
        let attributes = attributes(fd, self.walk.overlay()).map_err(read_failed)?;
        if attributes.whiteout && status.st_size == 0 {
            self.whiteout(open, name, path);
            return Ok(());
        }
        let size = status.st_size.unsigned_abs();
        if size > LARGEST {
            let path = shown(path);
            return Err(CaptureError::TooLarge { path, size });
        }
        if let Some(before) = self.before(open, name, path)
            && alike(&before, status)
            && before.st_size == status.st_size
            && self
                .same_file(open, name, fd, &attributes.own)
                .map_err(read_failed)?
        {
            return Ok(());
        }
        let content = if size > LARGE || status.st_nlink > 1 {
            None
        } else {
            let content = digests(fd, size, &mut self.buf).map_err(read_failed)?;
            unchanged(fd, status, content.size, path)?;
            Some(content)
        };
        self.add(
            path.to_vec(),
            Kind::File(content),
            status,
            scratch,
            attributes.own,
        );
        Ok(())
    }

    /// Whether the file below holds the same bytes and attributes.
    fn same_file(
        &mut self,
        open: &Open,
        name: &Name,
        fd: &OwnedFd,
        xattrs: &Xattrs,
    ) -> nix::Result<bool> {
        let Some(lower) = &open.lower else {
            return Ok(false);
        };
        let Ok(old) = open_at(lower.as_fd(), name.name.as_c_str(), READ) else {
            return Ok(false);
        };
        if attributes(&old, false)?.own != *xattrs {
            return Ok(false);
        }
        let same = hash::same(fd, &old, &mut self.buf)?;
        lseek(fd, 0, Whence::SeekSet)?;
        Ok(same)
    }

    /// A link, FIFO, socket or device.
    pub(super) fn other(
        &mut self,
        open: &Open,
        name: &Name,
        path: &[u8],
        fd: &OwnedFd,
        status: &FileStat,
    ) -> Result<(), CaptureError> {
        let kind = SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits());
        if kind == SFlag::S_IFCHR && status.st_rdev == 0 && self.walk.overlay() {
            self.whiteout(open, name, path);
            return Ok(());
        }
        if self.untouched(status) {
            return Ok(());
        }
        let failed = |e| CaptureError::io("read the link", path, e);
        let kind = match kind {
            SFlag::S_IFLNK => Kind::Symlink(readlinkat(fd, c"").map_err(failed)?.into()),
            SFlag::S_IFIFO => Kind::Fifo,
            SFlag::S_IFSOCK => Kind::Socket,
            _ => Kind::Device,
        };
        if let Some(before) = self.before(open, name, path)
            && alike(&before, status)
            && before.st_rdev == status.st_rdev
        {
            let same = match (&kind, &open.lower) {
                (Kind::Symlink(target), Some(lower)) => {
                    readlinkat(lower, name.name.as_c_str()).is_ok_and(|t| target.as_os_str() == t)
                }
                _ => true,
            };
            if same {
                return Ok(());
            }
        }
        match self.chosen(path, false) {
            Some(scratch) => self.add(path.to_vec(), kind, status, scratch, Xattrs::new()),
            None => self.left_out += 1,
        }
        Ok(())
    }

    /// A path that the overlay marks as deleted.
    fn whiteout(&mut self, open: &Open, name: &Name, path: &[u8]) {
        if self.before(open, name, path).is_some() {
            self.delete(path.to_vec());
        }
    }

    /// The status of the path below, if the build saw one.
    fn before(&self, open: &Open, name: &Name, path: &[u8]) -> Option<FileStat> {
        let below = self.walk.below.as_ref()?;
        let lower = open.lower.as_ref().filter(|_| !below.hides(path))?;
        fstatat(lower, name.name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()
    }

    /// In a copy: not touched since the run began. No process can set this time.
    fn untouched(&self, status: &FileStat) -> bool {
        self.walk.below.as_ref().is_some_and(|below| {
            let changed = ns(status.st_ctime, status.st_ctime_nsec);
            !below.overlay && changed < below.started_ns - TICK_NS
        })
    }
}

/// Same kind, mode and mtime: what a copy-up leaves.
fn alike(a: &FileStat, b: &FileStat) -> bool {
    a.st_mode == b.st_mode && a.st_mtime == b.st_mtime && a.st_mtime_nsec == b.st_mtime_nsec
}

/// That what was read is what the status said, and still says.
pub(super) fn unchanged(
    fd: &OwnedFd,
    before: &FileStat,
    read: u64,
    path: &[u8],
) -> Result<(), CaptureError> {
    let now = fstat(fd).map_err(|e| CaptureError::io("look at", path, e))?;
    let same = alike(before, &now) && before.st_size == now.st_size;
    // A file of `/proc` says it is empty.
    if same && (read == now.st_size.unsigned_abs() || now.st_size == 0) {
        return Ok(());
    }
    Err(CaptureError::Changed { path: shown(path) })
}
