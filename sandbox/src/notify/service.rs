//! The threads that receive notifications and answer them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, SigmaskHow};

use super::{Answer, Call, Handler, Target};
use crate::SetupError;
use crate::sys::notify::{Buffers, answer, receive, wake_synchronously};

/// Two: one answers while the other is held up by a handler that reads a large file or waits for
/// a thread to stop. More only add wake-ups.
const THREADS: usize = 2;

/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE` in the width of its field.
const CONTINUE: u32 = 1;

/// How long `stop` may go on answering what is already there.
const DRAIN: Duration = Duration::from_millis(200);

/// What the service did. `failed` other than 0 means that some call was not seen or not answered
/// as its handler said: the run's observation is incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Calls received.
    pub received: u64,
    /// Calls whose thread was sent elsewhere instead of being answered.
    pub redirected: u64,
    /// Calls that ended before they were answered: killed, or woken by a signal (they come again).
    pub vanished: u64,
    /// Calls that could not be received or answered, or whose handler panicked.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Count {
    received: AtomicU64,
    redirected: AtomicU64,
    vanished: AtomicU64,
    failed: AtomicU64,
}

struct Shared {
    listener: OwnedFd,
    handlers: Vec<Arc<dyn Handler>>,
    stop: EventFd,
    /// Held from "there is one" to "I have it", so that RECV, which can't be told not to wait, never does.
    take: Mutex<()>,
    count: Count,
}

/// The running service. Dropping it stops it.
pub struct Service {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Service {
    /// Serves `listener` with `handlers` from threads of this process, which get no signals.
    pub fn start(listener: OwnedFd, handlers: Vec<Arc<dyn Handler>>) -> Result<Self, SetupError> {
        let mut service = Self::begin(listener, handlers)?;
        service.reinforce()?;
        Ok(service)
    }

    /// The same with the first thread alone, where somebody waits for an answer already;
    /// [`Service::reinforce`] starts the others.
    pub fn begin(listener: OwnedFd, handlers: Vec<Arc<dyn Handler>>) -> Result<Self, SetupError> {
        // Only a matter of speed, and only there from 6.6 on.
        let _ = wake_synchronously(listener.as_fd());
        let stop =
            EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(failed)?;
        let mut service = Self {
            shared: Arc::new(Shared {
                listener,
                handlers,
                stop,
                take: Mutex::new(()),
                count: Count::default(),
            }),
            threads: Vec::new(),
        };
        service.spawn_up_to(1).map_err(failed)?;
        Ok(service)
    }

    /// Starts the threads that are missing.
    pub fn reinforce(&mut self) -> Result<(), SetupError> {
        self.spawn_up_to(THREADS).map_err(failed)
    }

    fn spawn_up_to(&mut self, count: usize) -> nix::Result<()> {
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let spawned = self.spawn(count);
        mask.thread_set_mask()?;
        spawned
    }

    fn spawn(&mut self, count: usize) -> nix::Result<()> {
        for n in self.threads.len()..count {
            let shared = Arc::clone(&self.shared);
            let buffers = Buffers::new()?;
            let events = shared.events()?;
            let thread = Builder::new()
                .name(format!("notify-{n}"))
                .spawn(move || shared.serve(buffers, &events))
                .map_err(|e| e.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw))?;
            self.threads.push(thread);
        }
        Ok(())
    }

    /// Answers what is already there and ends. A call that a process makes afterwards fails with
    /// `ENOSYS`, as the kernel has it once a listener is closed.
    pub fn stop(mut self) -> Counters {
        self.join();
        self.shared.count.read()
    }

    fn join(&mut self) {
        // The only error is a full counter, which also wakes.
        let _ = self.shared.stop.write(1);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.shared.count.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn failed(errno: Errno) -> SetupError {
    SetupError::new("start the notification service", errno)
}

impl Drop for Service {
    fn drop(&mut self) {
        self.join();
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("count", &self.shared.count)
            .finish_non_exhaustive()
    }
}

impl Count {
    fn read(&self) -> Counters {
        Counters {
            received: self.received.load(Ordering::Relaxed),
            redirected: self.redirected.load(Ordering::Relaxed),
            vanished: self.vanished.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

/// Why a thread woke.
enum Woken {
    Call,
    Stop,
    /// Every process under the filter is gone.
    Done,
}

const LISTENER: u64 = 0;
const STOP: u64 = 1;

impl Shared {
    /// One epoll a thread. EPOLLEXCLUSIVE wakes one idle thread for a call, not all of them.
    fn events(&self) -> nix::Result<Epoll> {
        let events = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let exclusive = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
        events.add(&self.listener, EpollEvent::new(exclusive, LISTENER))?;
        events.add(&self.stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        Ok(events)
    }

    fn serve(&self, mut buffers: Buffers, events: &Epoll) {
        loop {
            match wait(events) {
                Ok(Woken::Call) => {
                    self.serve_one(&mut buffers);
                }
                Ok(Woken::Stop) => return self.drain(&mut buffers),
                Ok(Woken::Done) => return,
                Err(_) => {
                    self.count.failed.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
        }
    }

    fn drain(&self, buffers: &mut Buffers) {
        let end = Instant::now() + DRAIN;
        while Instant::now() < end && self.serve_one(buffers) {}
    }

    /// Whether there was a call.
    fn serve_one(&self, buffers: &mut Buffers) -> bool {
        let Some(call) = self.take(buffers) else {
            return false;
        };
        self.count.received.fetch_add(1, Ordering::Relaxed);
        let reply = self.decide(&call);
        if reply == Answer::Redirected {
            self.count.redirected.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let count = match send(self.listener.as_fd(), call.id, reply, buffers) {
            Ok(()) => return true,
            Err(Errno::ENOENT) => &self.count.vanished,
            Err(_) => &self.count.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn take(&self, buffers: &mut Buffers) -> Option<Call> {
        let _one_at_a_time = self.take.lock().unwrap_or_else(PoisonError::into_inner);
        while self.is_there_one() {
            match receive(self.listener.as_fd(), buffers) {
                Ok(n) => {
                    return Some(Call {
                        id: n.id,
                        tid: n.pid.cast_signed(),
                        nr: n.data.nr,
                        args: n.data.args,
                        ip: n.data.instruction_pointer,
                    });
                }
                Err(Errno::EINTR) => {}
                // It went away between the look and the take.
                Err(Errno::ENOENT) => {
                    self.count.vanished.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => {
                    self.count.failed.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
            }
        }
        None
    }

    fn is_there_one(&self) -> bool {
        let mut fds = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut fds, PollTimeout::ZERO) {
                Err(Errno::EINTR) => {}
                Err(_) => return false,
                Ok(_) => {
                    return fds[0]
                        .revents()
                        .is_some_and(|r| r.contains(PollFlags::POLLIN));
                }
            }
        }
    }

    fn decide(&self, call: &Call) -> Answer {
        let Some(handler) = self.handlers.iter().find(|h| h.wants(call.nr)) else {
            return Answer::Continue;
        };
        let target = Target::new(self.listener.as_fd(), call.id, call.tid);
        // A thread that dies with a call in hand would leave the build asleep for ever.
        catch_unwind(AssertUnwindSafe(|| handler.handle(call, &target))).unwrap_or_else(|_| {
            self.count.failed.fetch_add(1, Ordering::Relaxed);
            Answer::Errno(libc::ENOSYS)
        })
    }
}

/// Sends an answer; those that are none send nothing.
pub(super) fn send(
    listener: BorrowedFd<'_>,
    id: u64,
    reply: Answer,
    buffers: &mut Buffers,
) -> nix::Result<()> {
    let (val, error, flags) = match reply {
        Answer::Continue => (0, 0, CONTINUE),
        Answer::Value(value) => (value, 0, 0),
        Answer::Errno(errno) => (0, -errno, 0),
        Answer::Redirected | Answer::Later => return Ok(()),
    };
    let reply = libc::seccomp_notif_resp {
        id,
        val,
        error,
        flags,
    };
    loop {
        match answer(listener, buffers, &reply) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

fn wait(events: &Epoll) -> nix::Result<Woken> {
    let mut ready = [EpollEvent::empty(); 2];
    loop {
        let n = match events.wait(&mut ready, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        let ready = &ready[..n];
        if ready.iter().any(|e| e.data() == STOP) {
            return Ok(Woken::Stop);
        }
        let flags = ready
            .iter()
            .fold(EpollFlags::empty(), |f, e| f | e.events());
        if flags.contains(EpollFlags::EPOLLIN) {
            return Ok(Woken::Call);
        }
        if flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            return Ok(Woken::Done);
        }
    }
}
