//! Walks a tree with a worker for each processor: folders are a shared stack, a folder with many
//! names is split, so that one wide folder is no bottleneck either.
//!
//! The order in which a folder lists its names has no influence on the result. At any moment
//! only the folders at hand are open, whatever the tree's depth and width.

use std::collections::HashSet;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nix::dir::{Dir, Type};
use nix::errno::Errno;

use super::beneath::{LONGEST_PATH, STAND, open_path};
use super::error::shown;
use super::found::{Found, Walked};
use super::worker::Worker;
use super::{CaptureError, Rung, Selection, Workspace};

/// More workers than this only wait for the disk.
const MOST_WORKERS: usize = 16;

/// A tree of fewer folders than this is walked without a second thread.
const ALONE: usize = 24;

/// All paths of a walk together need at most this, about two million outputs.
const PATH_BYTES: u64 = 1 << 30;

/// A walk that is to be made.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) top: BorrowedFd<'a>,
    pub(super) below: Option<Below<'a>>,
    pub(super) selection: &'a Selection,
}

/// What a workspace was written over.
#[derive(Debug)]
pub(super) struct Below<'a> {
    pub(super) lower: BorrowedFd<'a>,
    pub(super) hidden: HashSet<&'a [u8]>,
    /// Only what was written is in the workspace.
    pub(super) overlay: bool,
    /// Real time at the run's start, nanoseconds.
    pub(super) started_ns: i64,
}

/// Work for one worker.
#[derive(Debug)]
pub(super) enum Job {
    Folder(Folder),
    /// Names of one folder that are no folders.
    Names(Arc<Open>, Vec<Name>),
}

/// A folder that is to be listed.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) path: Vec<u8>,
    /// Nothing of the lower folder shines through.
    pub(super) opaque: bool,
}

/// A folder at hand.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) path: Vec<u8>,
    pub(super) top: OwnedFd,
    /// The folder of the same path below.
    pub(super) lower: Option<OwnedFd>,
}

/// A name in a folder and what the folder says it is.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) name: CString,
    pub(super) hint: Option<Type>,
}

impl Open {
    pub(super) fn path_of(&self, name: &CString) -> Result<Vec<u8>, CaptureError> {
        join(&self.path, name.to_bytes())
    }
}

impl<'a> Walk<'a> {
    /// What a run wrote.
    pub(super) fn workspace(ws: &'a Workspace, selection: &'a Selection) -> Self {
        let below = Below {
            lower: ws.lower.as_fd(),
            hidden: ws
                .hidden
                .iter()
                .map(belljar_model::OsText::as_bytes)
                .collect(),
            overlay: ws.rung != Rung::Copy,
            started_ns: ws.started_ns,
        };
        Self {
            top: ws.upper.as_fd(),
            below: Some(below),
            selection,
        }
    }

    /// All of a folder on the host.
    pub(super) fn host(top: BorrowedFd<'a>, selection: &'a Selection) -> Self {
        Self {
            top,
            below: None,
            selection,
        }
    }

    /// Whether the workspace is an overlay's upper folder.
    pub(super) fn overlay(&self) -> bool {
        self.below.as_ref().is_some_and(|b| b.overlay)
    }

    /// Walks.
    pub(super) fn run(&self) -> Result<Walked, CaptureError> {
        let crew = Crew::default();
        crew.lock().jobs.push(Job::Folder(Folder {
            path: Vec::new(),
            opaque: false,
        }));
        let mut workers = vec![Worker::new(self)];
        if crew.work(&mut workers[0], ALONE) == Rest::Some {
            let more = processors().min(MOST_WORKERS) - 1;
            workers.extend((0..more).map(|_| Worker::new(self)));
            std::thread::scope(|scope| {
                for worker in &mut workers {
                    let crew = &crew;
                    scope.spawn(move || crew.work(worker, usize::MAX));
                }
            });
        }
        if let Some(e) = crew.lock().failed.take() {
            return Err(e);
        }
        let mut found: Vec<Found> = Vec::new();
        let mut walked = Walked::default();
        let mut locked = Vec::new();
        for worker in workers {
            found.extend(worker.found);
            walked.deleted.extend(worker.deleted);
            walked.left_out += worker.left_out;
            locked.extend(worker.locked);
        }
        if !locked.is_empty() {
            // Alone, so that no other worker takes a lifted mode for the file's own.
            let mut worker = Worker::unlocking(self);
            while let Some(job) = locked.pop() {
                locked.extend(worker.take(job)?);
            }
            found.extend(worker.found);
            walked.deleted.extend(worker.deleted);
            walked.left_out += worker.left_out;
        }
        walked.finish(self.top, found)
    }

    /// The folder of this path below, if there is one that the build saw.
    pub(super) fn lower_folder(&self, path: &[u8]) -> Result<Option<OwnedFd>, CaptureError> {
        let Some(below) = &self.below else {
            return Ok(None);
        };
        if below.hides(path) {
            return Ok(None);
        }
        match open_path(below.lower, path, STAND) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES) => Ok(None),
            Err(e) => Err(CaptureError::io("open the source folder", path, e)),
        }
    }
}

impl Below<'_> {
    /// Whether the build did not see this path.
    pub(super) fn hides(&self, path: &[u8]) -> bool {
        if self.hidden.is_empty() {
            return false;
        }
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/');
        let mut prefixes = ends.map(|(i, _)| &path[..i]).chain([path]);
        prefixes.any(|prefix| self.hidden.contains(prefix))
    }
}

/// Threads to use; one where the system does not say.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// `folder/name`, unless it gets too long.
pub(super) fn join(folder: &[u8], name: &[u8]) -> Result<Vec<u8>, CaptureError> {
    if folder.len() + 1 + name.len() > LONGEST_PATH {
        return Err(CaptureError::TooDeep {
            path: shown(folder),
        });
    }
    if folder.is_empty() {
        return Ok(name.to_vec());
    }
    Ok([folder, b"/", name].concat())
}

/// All names of a folder, opened to be listed, but `.` and `..`.
pub(super) fn names(folder: OwnedFd) -> nix::Result<Vec<Name>> {
    let mut found = Vec::new();
    for entry in Dir::from_fd(folder)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            found.push(Name {
                name: name.to_owned(),
                hint: entry.file_type(),
            });
        }
    }
    Ok(found)
}

/// What the workers share.
#[derive(Default)]
struct Crew {
    stack: Mutex<Stack>,
    changed: Condvar,
}

#[derive(Default)]
struct Stack {
    jobs: Vec<Job>,
    busy: usize,
    path_bytes: u64,
    failed: Option<CaptureError>,
}

#[derive(PartialEq, Eq)]
enum Rest {
    None,
    Some,
}

impl Crew {
    /// A worker that panicked has left the stack in order: it is only locked between jobs.
    fn lock(&self) -> MutexGuard<'_, Stack> {
        self.stack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes jobs until there are none left and nobody can add one, or `most` are done.
    fn work(&self, worker: &mut Worker<'_, '_>, most: usize) -> Rest {
        for _ in 0..most {
            let Some(job) = self.next() else {
                return Rest::None;
            };
            let before = worker.path_bytes;
            let done = worker.take(job);
            let mut stack = self.lock();
            stack.busy -= 1;
            stack.path_bytes += worker.path_bytes - before;
            match done {
                Ok(jobs) if stack.path_bytes <= PATH_BYTES => stack.jobs.extend(jobs),
                Ok(_) => stack.fail(CaptureError::TooMany { limit: PATH_BYTES }),
                Err(e) => stack.fail(e),
            }
            drop(stack);
            self.changed.notify_all();
        }
        if self.lock().jobs.is_empty() {
            Rest::None
        } else {
            Rest::Some
        }
    }

    fn next(&self) -> Option<Job> {
        let mut stack = self.lock();
        loop {
            if stack.failed.is_some() {
                return None;
            }
            if let Some(job) = stack.jobs.pop() {
                stack.busy += 1;
                return Some(job);
            }
            if stack.busy == 0 {
                return None;
            }
            stack = self
                .changed
                .wait(stack)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Stack {
    fn fail(&mut self, e: CaptureError) {
        self.failed.get_or_insert(e);
    }
}
