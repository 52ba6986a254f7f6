//! One worker of a walk: looks at names, decides which of them the build wrote, reads those.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use belljar_model::Scratch;
use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, readlinkat};
use nix::sys::stat::{FileStat, SFlag, fstat, fstatat};
use nix::unistd::{Whence, lseek};

use super::CaptureError;
use super::beneath::{LIST, LOOK, READ, is, open_at, open_locked, open_path};
use super::error::shown;
use super::found::{Found, Kind, Xattrs, ns};
use super::hash::{self, BUFFER, digests};
use super::select::Choice;
use super::walk::{Folder, Job, Name, Open, Walk, join, names};
use super::xattr::attributes;

/// A folder with more names than this is split between workers.
const BATCH: usize = 64;

/// Larger files are read at the end, largest first, so that none keeps the others waiting.
const LARGE: u64 = 4 << 20;

/// A file that says it is larger is sparse, and reading its holes would take an hour.
const LARGEST: u64 = 1 << 40;

/// A file system's clock may be this far behind the real one: a tick of the slowest kernels.
const TICK_NS: i64 = 20_000_000;

pub(super) struct Worker<'w, 'a> {
    walk: &'w Walk<'a>,
    buf: Vec<u8>,
    /// Modes are lifted to read what its owner may not.
    unlock: bool,
    pub(super) found: Vec<Found>,
    pub(super) deleted: Vec<Vec<u8>>,
    pub(super) left_out: u64,
    /// What could not be opened for its mode.
    pub(super) locked: Vec<Job>,
    pub(super) path_bytes: u64,
    /// Folders that a listing did not name as such.
    untold: Vec<Job>,
}

impl<'w, 'a> Worker<'w, 'a> {
    pub(super) fn new(walk: &'w Walk<'a>) -> Self {
        Self {
            walk,
            buf: vec![0; BUFFER],
            unlock: false,
            found: Vec::new(),
            deleted: Vec::new(),
            left_out: 0,
            locked: Vec::new(),
            path_bytes: 0,
            untold: Vec::new(),
        }
    }

    pub(super) fn unlocking(walk: &'w Walk<'a>) -> Self {
        Self {
            unlock: true,
            ..Self::new(walk)
        }
    }

    /// Does one job: the jobs that follow from it, those to be done first last.
    pub(super) fn take(&mut self, job: Job) -> Result<Vec<Job>, CaptureError> {
        let mut jobs = match job {
            Job::Folder(folder) => self.folder(folder)?,
            Job::Names(open, names) => {
                self.names(&open, names)?;
                Vec::new()
            }
        };
        jobs.append(&mut self.untold);
        Ok(jobs)
    }

    fn folder(&mut self, folder: Folder) -> Result<Vec<Job>, CaptureError> {
        let path = &folder.path;
        let opened = if self.unlock {
            open_locked(self.walk.top, path, LIST)
        } else {
            open_path(self.walk.top, path, LIST).and_then(|fd| fstat(&fd).map(|st| (fd, st)))
        };
        let (top, status) = match opened {
            Ok(opened) => opened,
            Err(Errno::EACCES) if self.may_unlock() => {
                self.locked.push(Job::Folder(folder));
                return Ok(Vec::new());
            }
            Err(Errno::ENOTDIR | Errno::ELOOP | Errno::ENOENT) if !path.is_empty() => {
                return Err(CaptureError::Changed { path: shown(path) });
            }
            Err(e) => return Err(CaptureError::io("open the folder", path, e)),
        };
        let lower = self.walk.lower_folder(path)?;
        let opaque = self.own_folder(&folder, &top, &status, lower.as_ref())?;
        // By the descriptor at hand: a second opening would need the right to pass.
        let listed = top
            .try_clone()
            .map_err(|_| Errno::last())
            .and_then(names)
            .map_err(|e| CaptureError::io("list", path, e))?;
        if let Some(lower) = lower.as_ref().filter(|_| opaque || !self.walk.overlay()) {
            self.gone(lower, path, &listed)?;
        }
        let open = Arc::new(Open {
            path: folder.path,
            top,
            lower,
        });
        let (folders, others): (Vec<_>, Vec<_>) = listed
            .into_iter()
            .partition(|n| n.hint == Some(Type::Directory));
        let mut jobs = Vec::with_capacity(folders.len());
        for name in folders {
            let path = open.path_of(&name.name)?;
            self.path_bytes += path.len() as u64;
            jobs.push(Job::Folder(Folder { path, opaque }));
        }
        let mut others = others.into_iter().peekable();
        // The last batch is this worker's own; the others, on top of the stack, are taken first.
        while others.len() > BATCH {
            let batch = others.by_ref().take(BATCH).collect();
            jobs.push(Job::Names(Arc::clone(&open), batch));
        }
        self.names(&open, others.collect())?;
        Ok(jobs)
    }

    /// Records the folder itself if the build made it or changed its mode; whether it hides the
    /// lower one.
    fn own_folder(
        &mut self,
        folder: &Folder,
        top: &OwnedFd,
        status: &FileStat,
        lower: Option<&OwnedFd>,
    ) -> Result<bool, CaptureError> {
        let path = &folder.path;
        let failed = |e| CaptureError::io("read the attributes of", path, e);
        let attributes = attributes(top, self.walk.overlay()).map_err(failed)?;
        let opaque = folder.opaque || attributes.opaque;
        if path.is_empty() {
            return Ok(opaque);
        }
        if let Some(lower) = lower {
            let before = fstat(lower).map_err(failed)?;
            // A copy does not take over set-id bits.
            let bits = if self.walk.overlay() { 0o7777 } else { 0o777 };
            if before.st_mode & bits == status.st_mode & bits {
                return Ok(opaque);
            }
        }
        if let Some(scratch) = self.chosen(path, true) {
            self.add(path.clone(), Kind::Dir, status, scratch, attributes.own);
        }
        Ok(opaque)
    }

    /// Records what is below and not in the workspace any more.
    fn gone(&mut self, lower: &OwnedFd, path: &[u8], top: &[Name]) -> Result<(), CaptureError> {
        let here: HashSet<&[u8]> = top.iter().map(|n| n.name.to_bytes()).collect();
        let listed = open_at(lower.as_fd(), ".", LIST).and_then(names);
        for name in listed.map_err(|e| CaptureError::io("list the source folder", path, e))? {
            // Sockets and devices are not copied.
            let copied = !matches!(
                name.hint,
                Some(Type::Socket | Type::CharacterDevice | Type::BlockDevice)
            );
            if !here.contains(name.name.to_bytes()) && (copied || self.walk.overlay()) {
                self.delete(join(path, name.name.to_bytes())?);
            }
        }
        Ok(())
    }

    fn delete(&mut self, path: Vec<u8>) {
        let hidden = self.walk.below.as_ref().is_some_and(|b| b.hides(&path));
        if !hidden && self.walk.selection.deletion_counts(&path) {
            self.path_bytes += path.len() as u64;
            self.deleted.push(path);
        }
    }

    fn names(&mut self, open: &Arc<Open>, names: Vec<Name>) -> Result<(), CaptureError> {
        for name in names {
            let path = open.path_of(&name.name)?;
            self.path_bytes += path.len() as u64;
            match self.name(open, &name, &path) {
                Err(Refused::Locked) if self.may_unlock() => {
                    self.locked.push(Job::Names(Arc::clone(open), vec![name]));
                }
                Err(Refused::Locked) => return Err(CaptureError::io("open", &path, Errno::EACCES)),
                Err(Refused::Failed(e)) => return Err(e),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn name(&mut self, open: &Open, name: &Name, path: &[u8]) -> Result<(), Refused> {
        if name.hint == Some(Type::File) {
            let Some(scratch) = self.chosen(path, false) else {
                self.left_out += 1;
                return Ok(());
            };
            match self.open(open, name, path, READ) {
                Ok((fd, status)) if is(&status, SFlag::S_IFREG) => {
                    return Ok(self.file(open, name, path, &fd, &status, scratch)?);
                }
                // Something else took its place since the folder was listed.
                Ok(_) | Err(Errno::ELOOP | Errno::ENXIO | Errno::EINVAL) => {}
                Err(e) => return Err(Refused::of("open", path, e)),
            }
        }
        let (fd, status) = self
            .open(open, name, path, LOOK)
            .map_err(|e| Refused::of("look at", path, e))?;
        if name.hint.is_none() && is(&status, SFlag::S_IFDIR) {
            self.untold.push(Job::Folder(Folder {
                path: path.to_vec(),
                opaque: false,
            }));
            return Ok(());
        }
        if name.hint.is_none() && is(&status, SFlag::S_IFREG) {
            let told = Name {
                name: name.name.clone(),
                hint: Some(Type::File),
            };
            return self.name(open, &told, path);
        }
        if is(&status, SFlag::S_IFREG) || is(&status, SFlag::S_IFDIR) {
            return Err(CaptureError::Changed { path: shown(path) }.into());
        }
        Ok(self.other(open, name, path, &fd, &status)?)
    }

    fn open(
        &self,
        open: &Open,
        name: &Name,
        path: &[u8],
        flags: OFlag,
    ) -> nix::Result<(OwnedFd, FileStat)> {
        if self.unlock {
            return open_locked(self.walk.top, path, flags);
        }
        let fd = open_at(open.top.as_fd(), name.name.as_c_str(), flags)?;
        let status = fstat(&fd)?;
        Ok((fd, status))
    }

    /// A regular file.
    fn file(
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
    fn other(
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

    /// `None`: no output. Else which rule makes it scratch, if one does.
    #[expect(
        clippy::option_option,
        reason = "left out, output, scratch: read in two places"
    )]
    fn chosen(&self, path: &[u8], is_dir: bool) -> Option<Option<Scratch>> {
        match self.walk.selection.choose(path, is_dir) {
            Choice::Output => Some(None),
            Choice::Scratch(rule) => Some(Some(rule)),
            Choice::LeftOut => None,
        }
    }

    fn may_unlock(&self) -> bool {
        self.walk.below.is_some() && !self.unlock
    }

    fn add(
        &mut self,
        path: Vec<u8>,
        kind: Kind,
        status: &FileStat,
        scratch: Option<Scratch>,
        xattrs: Xattrs,
    ) {
        self.walk.selection.note(&path);
        self.found
            .push(Found::new(path, kind, status, scratch, xattrs));
    }
}

/// Why a name was not taken.
enum Refused {
    /// Its mode forbids it.
    Locked,
    Failed(CaptureError),
}

impl Refused {
    fn of(step: &'static str, path: &[u8], errno: Errno) -> Self {
        match errno {
            Errno::EACCES => Self::Locked,
            Errno::ENOENT => Self::Failed(CaptureError::Changed { path: shown(path) }),
            e => Self::Failed(CaptureError::io(step, path, e)),
        }
    }
}

impl From<CaptureError> for Refused {
    fn from(e: CaptureError) -> Self {
        Self::Failed(e)
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
