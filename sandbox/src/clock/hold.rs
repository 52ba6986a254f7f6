//! Absolute waits of a thread that can't be redirected, because a debugger inside traces it.
//!
//! The supervisor waits in its place: it holds the call until the real time has come, or until what
//! the call waits for is there, and then lets the kernel run it. A small thread each; rare.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::process;
use super::wait::{Time, Until, Wait};
use crate::notify::{Answer, Call, Later, Target};
use crate::sys::pidfd;
use crate::sys::process::pidfd_open;

/// How often to look whether a held call's wait is over.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Calls held at once.
const MOST: usize = 64;

/// As many futexes as one call can wait for.
const FUTEX_WAITV_MAX: u64 = 128;
/// The size of a `futex_waitv`: 64 bits of value, 64 of address, 32 of flags, 32 for nothing.
const FUTEX_WAITV: usize = 24;

/// The low bits of a lock word: the thread that owns it.
const FUTEX_TID_MASK: u32 = 0x3fff_ffff;

/// Counts the calls that are held.
#[derive(Debug, Clone, Default)]
pub(super) struct Holder(Arc<AtomicUsize>);

impl Holder {
    /// Holds a call until `time` of its clock. An error: nothing was done.
    pub(super) fn hold(
        &self,
        call: &Call,
        target: &Target<'_>,
        wait: &Wait,
        time: Time,
    ) -> Result<()> {
        let event = Event::of(call, target, wait)?;
        let later = target.later()?;
        let clock = clock_of(call);
        let [seconds, nanos] = time.value;
        let due = move || {
            clock_gettime(clock).is_ok_and(|n| (n.tv_sec(), n.tv_nsec()) >= (seconds, nanos))
        };
        let timed_out = match wait.until {
            Until::Time => Answer::Value(0),
            _ => Answer::Errno(libc::ETIMEDOUT),
        };
        let held = Arc::clone(&self.0);
        if held.fetch_add(1, Ordering::Relaxed) >= MOST {
            held.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::EAGAIN);
        }
        let spawned = thread::Builder::new()
            .name("held-wait".into())
            .spawn(move || {
                let answer = loop {
                    match event.is_there(&later) {
                        Ok(false) if due() => break timed_out,
                        Ok(false) => thread::sleep(LOOK_EVERY),
                        // It is there; or the call is gone, or wrong in a way that the kernel is to say.
                        Ok(true) | Err(_) => break Answer::Continue,
                    }
                };
                // Fails only if the call no longer waits.
                let _ = later.answer(answer);
                held.fetch_sub(1, Ordering::Relaxed);
            });
        if spawned.is_err() {
            self.0.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }
}

fn clock_of(call: &Call) -> ClockId {
    match (i64::from(call.nr), call.args[0]) {
        (libc::SYS_clock_nanosleep, 11) => ClockId::CLOCK_TAI,
        _ => ClockId::CLOCK_REALTIME,
    }
}

/// What ends a held wait before its time.
enum Event {
    Never,
    Word {
        at: u64,
        mask: u32,
        waits_while: u32,
        or_not: bool,
    },
    /// Addresses and the values that the words there have while one waits.
    Words(Vec<(u64, u32)>),
    Queue(OwnedFd, PollFlags),
}

/// The words of a call to `futex_waitv`.
fn words(target: &Target<'_>, waiters: u64, count: u64) -> Result<Vec<(u64, u32)>> {
    if !(1..=FUTEX_WAITV_MAX).contains(&count) {
        return Err(Errno::EINVAL);
    }
    let mut words = Vec::new();
    for at in (waiters..)
        .step_by(FUTEX_WAITV)
        .zip(0..count)
        .map(|(at, _)| at)
    {
        let mut waiter = [0; FUTEX_WAITV];
        target.read(at, &mut waiter)?;
        let word = |n: usize| waiter[n * 8..][..8].try_into().map(u64::from_ne_bytes);
        let (Ok(value), Ok(address), Ok(flags)) = (word(0), word(1), word(2)) else {
            return Err(Errno::EINVAL);
        };
        // Other sizes than 32 bits are for kernels to come.
        let value = u32::try_from(value).map_err(|_| Errno::EOPNOTSUPP)?;
        if flags & 3 != 2 {
            return Err(Errno::EOPNOTSUPP);
        }
        words.push((address, value));
    }
    Ok(words)
}

impl Event {
    fn of(call: &Call, target: &Target<'_>, wait: &Wait) -> Result<Self> {
        Ok(match wait.until {
            Until::Time => Self::Never,
            Until::FutexChange { word, value } => Self::Word {
                at: word,
                mask: u32::MAX,
                waits_while: value,
                or_not: false,
            },
            Until::FutexFree { word } => Self::Word {
                at: word,
                mask: FUTEX_TID_MASK,
                waits_while: 0,
                or_not: true,
            },
            Until::AnyFutexChange { waiters, count } => Self::Words(words(target, waiters, count)?),
            Until::Queue { descriptor, write } => {
                let flags = if write {
                    PollFlags::POLLOUT
                } else {
                    PollFlags::POLLIN
                };
                Self::Queue(copy_descriptor(call.tid, descriptor)?, flags)
            }
            Until::Other => return Err(Errno::EOPNOTSUPP),
        })
    }

    fn is_there(&self, later: &Later) -> Result<bool> {
        match self {
            Self::Never => later.target().confirm().map(|()| false),
            Self::Word {
                at,
                mask,
                waits_while,
                or_not,
            } => {
                let mut word = [0; 4];
                later.target().read(*at, &mut word)?;
                let waits = (u32::from_ne_bytes(word) & mask == *waits_while) != *or_not;
                Ok(!waits)
            }
            Self::Words(words) => {
                for (at, value) in words {
                    let mut word = [0; 4];
                    later.target().read(*at, &mut word)?;
                    if u32::from_ne_bytes(word) != *value {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Queue(queue, flags) => {
                later.target().confirm()?;
                let mut fds = [PollFd::new(queue.as_fd(), *flags)];
                Ok(poll(&mut fds, PollTimeout::ZERO)? > 0)
            }
        }
    }
}

/// Copies a descriptor of a thread.
pub(super) fn copy_descriptor(tid: i32, number: i32) -> Result<OwnedFd> {
    let process = match pidfd::open_thread(tid) {
        // Before Linux 6.9 there are only descriptors of whole processes, whose threads nearly
        // always share their files.
        Err(Errno::EINVAL) => pidfd_open(Pid::from_raw(process::leader(tid).ok_or(Errno::ESRCH)?))?,
        other => other?,
    };
    pidfd::copy_descriptor(process.as_fd(), number)
}
