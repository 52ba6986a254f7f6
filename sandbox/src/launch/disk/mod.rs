//! The watch over the disk budget.
//!
//! No kernel gives an ordinary user a quota, so what a run has written is measured by a thread of
//! the supervisor: the workspace by a walk, file systems in memory by statfs(2). A walk is made
//! when it can matter: free space, which costs nothing to ask, says when as much was written as
//! could have brought the run halfway to its limit, whoever wrote it; now and then one is made
//! anyway. What is deleted and still open has no name, and no walk finds it: such a run is ended
//! when the free space has shrunk by more than its budget and the disk is almost full.

mod walk;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::statfs::{Statfs, fstatfs};
use nix::sys::sysinfo::sysinfo;

use crate::SetupError;
use crate::error::At;
use walk::walk;

/// Between two looks at the free space.
const LOOK: Duration = Duration::from_millis(50);
/// A walk that nothing asked for comes after this, or after [`IDLE_SHARE`] times what one takes.
const IDLE: Duration = Duration::from_secs(2);
const IDLE_SHARE: u32 = 50;
/// One that the free space asks for comes after this many times what one takes.
const ASKED_SHARE: u32 = 3;
/// A disk with less than one part in this many free is almost full.
const FULL: u64 = 20;

/// The size of a file system in memory that the budget covers: a little above it, so that the
/// watch sees the budget exceeded where the kernel refuses to go further; and never more than half
/// of the memory, as without a budget.
pub fn ceiling(limit: u64) -> u64 {
    let half = sysinfo().map_or(u64::MAX, |machine| machine.ram_total() / 2);
    limit.saturating_add(1 << 20).min(half)
}

/// What is watched.
#[derive(Debug)]
pub struct Watched {
    /// The folder on a disk in which the build's writes end, if they do not end in memory.
    pub upper: Option<OwnedFd>,
    /// Bytes that were in it before the build.
    pub before: u64,
    /// File systems in memory that are the run's alone.
    pub temporary: Vec<OwnedFd>,
}

/// A running watch. Dropping it ends it.
#[derive(Debug)]
pub struct DiskWatch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Watched>>,
}

#[derive(Debug)]
struct Shared {
    limit: u64,
    used: AtomicU64,
    over: AtomicBool,
    stop: AtomicBool,
    /// Readable once the budget is exceeded.
    bell: EventFd,
}

impl DiskWatch {
    /// Starts the watch. It is a thread: call this after everything is forked.
    pub fn start(watched: Watched, limit: u64) -> Result<Self, SetupError> {
        let step = "watch the disk budget";
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let shared = Arc::new(Shared {
            limit,
            used: AtomicU64::new(0),
            over: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            bell: EventFd::from_flags(flags).step(step)?,
        });
        let its = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("disk-watch".into())
            .stack_size(256 << 10)
            .spawn(move || {
                its.watch(&watched);
                watched
            })
            .step(step)?;
        let thread = Some(thread);
        Ok(Self { shared, thread })
    }

    /// Becomes readable when the budget is exceeded.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.shared.bell.as_fd()
    }

    /// How much was used when the budget was found to be exceeded; never waits.
    pub fn poll(&self) -> Option<u64> {
        let over = self.shared.over.load(Ordering::Acquire);
        over.then(|| self.shared.used.load(Ordering::Relaxed))
    }

    /// Ends the watch, measures once more, and says how much was used if it ever was more than the
    /// budget. Call it when every process of the run is gone.
    pub fn finish(mut self) -> Option<u64> {
        if let Some(watched) = self.end()
            && self.poll().is_none()
        {
            let go_on = AtomicBool::new(false);
            self.shared.judge(watched.disk(&go_on) + watched.memory());
        }
        self.poll()
    }

    fn end(&mut self) -> Option<Watched> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take()?;
        thread.thread().unpark();
        thread.join().ok()
    }
}

impl Drop for DiskWatch {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn watch(&self, watched: &Watched) {
        let Some(start) = watched.free() else {
            return self.watch_memory(watched);
        };
        let (mut at_walk, mut walked, mut took) = (start.free, Instant::now(), Duration::ZERO);
        let mut disk = 0;
        while !self.stop.load(Ordering::Relaxed) && self.judge(disk + watched.memory()) {
            std::thread::park_timeout(LOOK);
            let now = watched.free().unwrap_or(start);
            let left = self.limit.saturating_sub(disk + watched.memory());
            let idle = walked.elapsed();
            let asked = at_walk.saturating_sub(now.free) > left / 2 && idle >= took * ASKED_SHARE;
            if asked || idle >= IDLE.max(took * IDLE_SHARE) {
                let begin = Instant::now();
                disk = watched.disk(&self.stop);
                (at_walk, walked, took) = (now.free, Instant::now(), begin.elapsed());
            }
            let taken = start.free.saturating_sub(now.free);
            if taken > self.limit && now.free < now.all / FULL {
                self.exceeded(taken);
            }
        }
    }

    fn watch_memory(&self, watched: &Watched) {
        while !self.stop.load(Ordering::Relaxed) && self.judge(watched.memory()) {
            std::thread::park_timeout(LOOK);
        }
    }

    /// Whether the budget has never been exceeded.
    fn judge(&self, used: u64) -> bool {
        if used > self.limit {
            self.exceeded(used);
        }
        !self.over.load(Ordering::Relaxed)
    }

    fn exceeded(&self, used: u64) {
        self.used.fetch_max(used, Ordering::Relaxed);
        self.over.store(true, Ordering::Release);
        // A counter that is full is readable all the same.
        let _ = self.bell.write(1);
    }
}

#[derive(Clone, Copy)]
struct Space {
    free: u64,
    all: u64,
}

impl Watched {
    /// Bytes below the upper, without those that were there before.
    fn disk(&self, stop: &AtomicBool) -> u64 {
        let upper = self.upper.as_ref();
        upper
            .map_or(0, |fd| walk(fd.as_fd(), stop))
            .saturating_sub(self.before)
    }

    /// Bytes in memory.
    fn memory(&self) -> u64 {
        let used = |s: Statfs| bytes(s.blocks().saturating_sub(s.blocks_free()), &s);
        self.temporary
            .iter()
            .filter_map(|fd| fstatfs(fd).ok())
            .map(used)
            .sum()
    }

    /// The space of the disk that the upper is on.
    fn free(&self) -> Option<Space> {
        let s = fstatfs(self.upper.as_ref()?).ok()?;
        Some(Space {
            free: bytes(s.blocks_free(), &s),
            all: bytes(s.blocks(), &s),
        })
    }
}

fn bytes(blocks: u64, s: &Statfs) -> u64 {
    blocks.saturating_mul(u64::try_from(s.block_size()).unwrap_or(0))
}

/// Bytes on disk below `dir`, for [`Watched::before`].
pub fn measure(dir: &OwnedFd) -> u64 {
    walk(dir.as_fd(), &AtomicBool::new(false))
}
