//! What a walk found, put in order: sorted by path, large files read, hard links grouped.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use belljar_model::{Entry, EntryKind, EntryWhen, Label, Manifest, OsText, Scratch, Sha256};
use nix::errno::Errno;
use nix::sys::stat::{FileStat, fstat};

use super::beneath::{READ, open_locked, open_path};
use super::hash::{BUFFER, Digests, digests};
use super::walk::processors;
use super::written::unchanged;
use super::{CaptureError, Captured, SCRATCH_LIST, Selection};

pub(super) type Xattrs = BTreeMap<OsText, Sha256>;

/// One path that is an output.
#[derive(Debug)]
pub(super) struct Found {
    path: Vec<u8>,
    kind: Kind,
    status: FileStat,
    scratch: Option<Scratch>,
    xattrs: Xattrs,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// Digests are missing while the file is still to be read.
    File(Option<Digests>),
    Dir,
    Symlink(OsText),
    Fifo,
    Socket,
    Device,
}

/// The result of a walk.
#[derive(Debug, Default)]
pub(super) struct Walked {
    found: Vec<Found>,
    pub(super) deleted: Vec<Vec<u8>>,
    pub(super) left_out: u64,
}

/// Which file a path names, whatever its name.
type Identity = (u64, u64);

impl Found {
    pub(super) fn new(
        path: Vec<u8>,
        kind: Kind,
        status: &FileStat,
        scratch: Option<Scratch>,
        xattrs: Xattrs,
    ) -> Self {
        Self {
            path,
            kind,
            status: *status,
            scratch,
            xattrs,
        }
    }

    fn identity(&self) -> Identity {
        (self.status.st_dev, self.status.st_ino)
    }

    fn linked(&self) -> bool {
        self.status.st_nlink > 1 && !matches!(self.kind, Kind::Dir)
    }

    fn to_read(&self) -> bool {
        matches!(self.kind, Kind::File(None))
    }
}

impl Walked {
    /// Reads what is still to be read, each file once however many links it has.
    pub(super) fn finish(
        mut self,
        top: BorrowedFd<'_>,
        found: Vec<Found>,
    ) -> Result<Self, CaptureError> {
        self.found = found;
        self.found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        self.deleted.sort_unstable();
        let mut files: BTreeMap<Identity, usize> = BTreeMap::new();
        for (i, found) in self.found.iter().enumerate().filter(|(_, f)| f.to_read()) {
            files.entry(found.identity()).or_insert(i);
        }
        let mut order: Vec<usize> = files.into_values().collect();
        order.sort_unstable_by_key(|i| std::cmp::Reverse(self.found[*i].status.st_size));
        let read = read_all(top, &self.found, &order)?;
        for found in self.found.iter_mut().filter(|f| f.to_read()) {
            let digests = read.get(&found.identity()).copied();
            found.kind = Kind::File(digests);
        }
        Ok(self)
    }

    /// The manifest and what belongs to it.
    pub(super) fn into_captured(self, run: Label, selection: &Selection) -> Captured {
        let groups = link_groups(&self.found);
        let entries = self.found.into_iter().filter_map(|f| {
            let group = groups.get(&f.identity()).copied().filter(|_| f.linked());
            entry(f, group)
        });
        let manifest = Manifest {
            schema: Manifest::SCHEMA.to_owned(),
            run,
            entries: entries.collect(),
            scratch_list: SCRATCH_LIST.to_owned(),
            left_out: self.left_out,
            deleted: self.deleted.into_iter().map(OsText::from).collect(),
        };
        Captured {
            manifest,
            unmatched: selection.unmatched(),
        }
    }
}

/// Numbers the files with several captured paths in the order of their first path.
fn link_groups(found: &[Found]) -> HashMap<Identity, u32> {
    let mut paths: HashMap<Identity, u32> = HashMap::new();
    for f in found.iter().filter(|f| f.linked()) {
        *paths.entry(f.identity()).or_default() += 1;
    }
    let mut groups = HashMap::new();
    for f in found.iter().filter(|f| f.linked()) {
        if paths.get(&f.identity()).is_some_and(|n| *n > 1) {
            let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
            groups.entry(f.identity()).or_insert(next);
        }
    }
    groups
}

fn entry(found: Found, hardlink_group: Option<u32>) -> Option<Entry> {
    let mode = found.status.st_mode & 0o7777;
    let flag = match found.kind {
        Kind::Fifo => Some("fifo"),
        Kind::Socket => Some("socket"),
        Kind::Device => Some("device"),
        Kind::File(_) if mode & 0o4000 != 0 => Some("set-user-id"),
        Kind::File(_) if mode & 0o2010 == 0o2010 => Some("set-group-id"),
        _ => None,
    };
    let kind = match found.kind {
        Kind::File(digests) => {
            let digests = digests?;
            EntryKind::File {
                size: digests.size,
                blake3: digests.blake3,
                sha256: digests.sha256,
            }
        }
        Kind::Dir => EntryKind::Dir,
        Kind::Symlink(target) => EntryKind::Symlink { target },
        Kind::Fifo => EntryKind::Fifo,
        Kind::Socket => EntryKind::Socket,
        Kind::Device => EntryKind::Device,
    };
    Some(Entry {
        path: found.path.into(),
        kind,
        mode,
        xattrs: found.xattrs,
        hardlink_group,
        scratch: found.scratch,
        flag: flag.map(str::to_owned),
        when: EntryWhen {
            mtime_ns: ns(found.status.st_mtime, found.status.st_mtime_nsec),
        },
    })
}

/// Reads the files of `order`, by as many threads as are useful.
fn read_all(
    top: BorrowedFd<'_>,
    found: &[Found],
    order: &[usize],
) -> Result<HashMap<Identity, Digests>, CaptureError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut buf = vec![0; BUFFER];
        let mut read = Vec::new();
        while let Some(i) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let file = &found[*i];
            read.push(read_one(top, file, &mut buf).map(|d| (file.identity(), d)));
        }
        read
    };
    let more = processors().min(order.len()).saturating_sub(1);
    let read = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..more).map(|_| scope.spawn(work)).collect();
        let mut read = work();
        for thread in threads {
            match thread.join() {
                Ok(part) => read.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        read
    });
    read.into_iter().collect()
}

fn read_one(top: BorrowedFd<'_>, file: &Found, buf: &mut [u8]) -> Result<Digests, CaptureError> {
    let path = file.path.as_slice();
    let failed = |e| CaptureError::io("read", path, e);
    let opened = match open_path(top, path, READ) {
        Err(Errno::EACCES) => open_locked(top, path, READ).map(|(fd, _)| fd),
        other => other,
    };
    let fd = opened.map_err(failed)?;
    let now = fstat(&fd).map_err(failed)?;
    if (now.st_dev, now.st_ino) != file.identity() {
        let path = super::error::shown(path);
        return Err(CaptureError::Changed { path });
    }
    let size = file.status.st_size.unsigned_abs();
    let digests = digests(&fd, size, buf).map_err(failed)?;
    // The mode may be lifted for a moment by another thread's call.
    let mut before = file.status;
    before.st_mode = fstat(&fd).map_err(failed)?.st_mode;
    unchanged(&fd, &before, digests.size, path)?;
    Ok(digests)
}

/// A kernel time as nanoseconds since the epoch.
pub(super) fn ns(seconds: i64, nanoseconds: i64) -> i64 {
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}
