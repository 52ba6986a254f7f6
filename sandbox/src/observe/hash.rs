//! Digests of executables, made by a thread of its own while the build goes on.
//!
//! The file is opened while its process sleeps in a call and hashed once, whatever its name. A
//! file that is too large, or that more are waiting before than is sensible, stays without a digest.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use belljar_model::Sha256;
use sha2::{Digest as _, Sha256 as Sha};

/// Larger executables are not hashed.
const LARGEST: u64 = 512 << 20;
/// Executables hashed in one run.
const MOST: usize = 1024;

/// Which content a file has: the same numbers, the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ExeId {
    device: u64,
    inode: u64,
    size: u64,
    changed_ns: i128,
}

impl ExeId {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            changed_ns: i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec()),
        }
    }
}

/// The digests so far, and the thread that makes them.
#[derive(Debug, Default)]
pub(crate) struct Hasher(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    seen: HashMap<ExeId, Option<Sha256>>,
    worker: Option<Worker>,
}

#[derive(Debug)]
struct Worker {
    jobs: Sender<(ExeId, File)>,
    thread: JoinHandle<HashMap<ExeId, Sha256>>,
}

impl Hasher {
    /// Has `file` hashed; its name for later.
    pub(crate) fn add(&self, file: File) -> Option<ExeId> {
        let meta = file.metadata().ok()?;
        let id = ExeId::of(&meta);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !state.seen.contains_key(&id);
        if is_new && meta.is_file() && id.size <= LARGEST && state.seen.len() < MOST {
            state.seen.insert(id, None);
            if state.worker.is_none() {
                state.worker = start().ok();
            }
            if let Some(worker) = &state.worker {
                // The thread only ends when this end is gone.
                let _ = worker.jobs.send((id, file));
            }
        }
        Some(id)
    }

    /// Waits for what is still to hash.
    pub(crate) fn finish(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Worker { jobs, thread }) = state.worker.take() {
            drop(jobs);
            let done = thread.join().unwrap_or_default();
            state
                .seen
                .extend(done.into_iter().map(|(id, sum)| (id, Some(sum))));
        }
    }

    /// The digest, if there is one.
    pub(crate) fn get(&self, id: &ExeId) -> Option<Sha256> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.seen.get(id).copied().flatten()
    }
}

fn start() -> io::Result<Worker> {
    let (jobs, queue) = channel::<(ExeId, File)>();
    let thread = super::quiet_thread("hash-executables", move || {
        let sums = queue
            .iter()
            .filter_map(|(id, file)| Some((id, digest(id, &file)?)));
        sums.collect()
    })?;
    Ok(Worker { jobs, thread })
}

/// The digest of the file as it was when it was added, if it still is that.
fn digest(id: ExeId, file: &File) -> Option<Sha256> {
    let mut sha = Sha::new();
    let mut buffer = vec![0; 64 << 10];
    // The size was looked at; a file that grows meanwhile is read to the limit and no further.
    let mut rest = io::Read::take(file, LARGEST);
    loop {
        match rest.read(&mut buffer).ok()? {
            0 => break,
            n => sha.update(&buffer[..n]),
        }
    }
    let unchanged = ExeId::of(&file.metadata().ok()?) == id;
    unchanged.then(|| Sha256(sha.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn files_are_hashed_once_and_by_content() {
        let hasher = Hasher::default();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, b"abc").unwrap();
        let first = hasher.add(File::open(&path).unwrap()).unwrap();
        assert_eq!(hasher.add(File::open(&path).unwrap()), Some(first));
        let mut more = File::options().append(true).open(&path).unwrap();
        more.write_all(b"d").unwrap();
        let second = hasher.add(File::open(&path).unwrap()).unwrap();
        assert_ne!(first, second);
        let folder = hasher.add(File::open(dir.path()).unwrap()).unwrap();
        hasher.finish();
        assert_eq!(hasher.get(&second), Some(Sha256::of(b"abcd")));
        // Read before it grew, or not at all.
        assert!(
            hasher
                .get(&first)
                .is_none_or(|sum| sum == Sha256::of(b"abc"))
        );
        assert_eq!(hasher.get(&folder), None);
    }
}
