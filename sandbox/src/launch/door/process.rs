//! The process itself, from its fork to its end, and the supervisor's hold on it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout};

use super::listeners::{self, Listeners};
use super::{Child, Door, Keeper, Said, confine};
use crate::SetupError;
use crate::error::At;
use crate::launch::wire::Channel;
use crate::sys::process::{close_between, die_with_parent, exit_now, pidfd_open};

/// As Rust's own programs end.
const PANICKED: i32 = 101;
/// How long it may take to close its connections when the run is over.
pub(in crate::launch) const LEAVES: Duration = Duration::from_secs(10);

/// Runs it to its end; does not return.
pub(super) fn run(keeper: Box<dyn Keeper>, channel: Channel, dials: bool, parent: Pid) -> ! {
    // A panic must not unwind into the copy of the supervisor's stack, whose values end processes.
    let body = AssertUnwindSafe(|| live(keeper, channel, dials, parent));
    exit_now(catch_unwind(body).unwrap_or(PANICKED))
}

fn live(mut keeper: Box<dyn Keeper>, channel: Channel, dials: bool, parent: Pid) -> i32 {
    let said = match prepare(&mut *keeper, &channel, dials, parent) {
        Ok(ready) => ready,
        Err(error) => {
            let _ = channel.send(&Said::Failed(error));
            return 1;
        }
    };
    if channel.send(&said).is_err() {
        return 1;
    }
    // Without listeners the run did not come that far.
    match listeners::take(&channel) {
        Some(doors) => i32::from(keeper.serve(doors, channel.0)),
        None => 0,
    }
}

fn prepare(
    keeper: &mut dyn Keeper,
    channel: &Channel,
    dials: bool,
    parent: Pid,
) -> Result<Said, SetupError> {
    die_with_parent().step("tie the egress proxy to the supervisor's life")?;
    nix::unistd::setsid().step("leave the caller's session")?;
    let mut keeps = keeper.keeps();
    keeps.push(channel.0.as_raw_fd());
    let records = keeper.records();
    close_others(keeps)?;
    confine::room()?;
    let authority = keeper.prepare().map_err(|(why, hint)| {
        let error = SetupError::refused("prepare the egress proxy", why);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })?;
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        let why = format!("it has {threads} threads");
        return Err(SetupError::refused("confine the egress proxy", why));
    }
    let landlock = confine::confine(dials, records, parent)?;
    Ok(Said::Ready {
        authority,
        landlock,
    })
}

/// Closes all descriptors but these; standard input, output and error lead nowhere.
fn close_others(mut keeps: Vec<RawFd>) -> Result<(), SetupError> {
    let step = "let go of the caller's descriptors";
    let nowhere = nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
        .step_at(step, "/dev/null")?;
    dup2_stdin(&nowhere).step(step)?;
    dup2_stdout(&nowhere).step(step)?;
    dup2_stderr(&nowhere).step(step)?;
    // Closed with the others.
    std::mem::forget(nowhere);
    keeps.sort_unstable();
    keeps.dedup();
    let mut first = 3;
    for keep in keeps.into_iter().filter_map(|fd| u32::try_from(fd).ok()) {
        if keep > first {
            close_between(first, keep - 1).step(step)?;
        }
        first = first.max(keep + 1);
    }
    close_between(first, u32::MAX).step(step)
}

impl Door {
    /// Gives it its listeners; from now on it serves.
    pub(in crate::launch) fn open(self, listeners: Listeners) -> Result<Watched, SetupError> {
        listeners.hand_over(&self.channel)?;
        let gone = pidfd_open(self.pid).step("watch the egress proxy")?;
        Ok(Watched {
            gone,
            child: self.child,
            channel: self.channel,
        })
    }
}

/// A proxy at work. Dropping it ends it.
#[derive(Debug)]
pub(in crate::launch) struct Watched {
    gone: OwnedFd,
    child: Child,
    channel: Channel,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::launch) enum Stopped {
    /// By itself.
    ByItself,
    /// It had to be killed.
    Killed,
}

impl Watched {
    /// Readable once it is gone.
    pub(in crate::launch) fn gone(&self) -> BorrowedFd<'_> {
        self.gone.as_fd()
    }

    /// A further descriptor of the supervisor's end of the channel.
    pub(in crate::launch) fn channel(&self) -> Result<Channel, SetupError> {
        let copy = self.channel.0.try_clone().step("copy a descriptor")?;
        Ok(Channel(copy))
    }

    /// How it ended, in a phrase; once it is gone.
    pub(in crate::launch) fn end(mut self) -> String {
        match self.child.reap() {
            Some(s) if libc::WIFSIGNALED(s) => format!("signal {} ended it", libc::WTERMSIG(s)),
            Some(s) => format!("it ended with exit status {}", libc::WEXITSTATUS(s)),
            None => "its process ended".into(),
        }
    }

    /// Waits for its end, after it was told to stop, for a bounded time.
    pub(in crate::launch) fn wait(self) -> Stopped {
        let end = Instant::now() + LEAVES;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(self.gone.as_fd(), PollFlags::POLLIN)];
            match poll(
                &mut fds,
                PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO),
            ) {
                Err(nix::errno::Errno::EINTR) => {}
                Ok(1..) => return Stopped::ByItself,
                Ok(_) | Err(_) => return Stopped::Killed,
            }
        }
    }
}
