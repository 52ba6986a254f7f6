//! One worker of a walk: looks at names, decides which of them the build wrote, reads those.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use belljar_model::Scratch;
use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag, fstat};

use super::CaptureError;
use super::beneath::{LIST, LOOK, READ, is, open_at, open_locked, open_path};
use super::error::shown;
use super::found::{Found, Kind, Xattrs};
use super::hash::BUFFER;
use super::select::Choice;
use super::walk::{Folder, Job, Name, Open, Walk, join, names};
use super::xattr::attributes;

/// A folder with more names than this is split between workers.
const BATCH: usize = 64;

pub(super) struct Worker<'w, 'a> {
    pub(super) walk: &'w Walk<'a>,
    pub(super) buf: Vec<u8>,
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

    pub(super) fn delete(&mut self, path: Vec<u8>) {
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

    /// `None`: no output. Else which rule makes it scratch, if one does.
    #[expect(
        clippy::option_option,
        reason = "left out, output, scratch: read in two places"
    )]
    pub(super) fn chosen(&self, path: &[u8], is_dir: bool) -> Option<Option<Scratch>> {
        match self.walk.selection.choose(path, is_dir) {
            Choice::Output => Some(None),
            Choice::Scratch(rule) => Some(Some(rule)),
            Choice::LeftOut => None,
        }
    }

    fn may_unlock(&self) -> bool {
        self.walk.below.is_some() && !self.unlock
    }

    pub(super) fn add(
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
