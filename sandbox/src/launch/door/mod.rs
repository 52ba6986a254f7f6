//! The egress proxy's process: forked before the run, confined, given its listeners, and missed at
//! once when it is gone.
//!
//! What it does there is a [`Keeper`]'s business, of which nothing is known here. The supervisor's
//! side of what it says is `observe`'s.

mod confine;
mod listeners;
mod process;

pub(super) use listeners::{Listeners, Which, open as open_listeners};
pub(super) use process::{Stopped, Watched};

use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::ahead::assert_single_threaded;
use super::wire::Channel;
use crate::SetupError;
use crate::error::At;
use crate::observe::Opened;
use crate::plan::HostEntry;
use crate::sys::process::{Cloned, clone_process, wait4};

/// How long the proxy may take to read what it needs of the host.
const PREPARES: Duration = Duration::from_secs(30);

/// What runs in the process.
pub trait Keeper {
    /// Descriptors that it goes on using; all others are closed.
    fn keeps(&self) -> Vec<RawFd>;
    /// Whether it writes into any of them, as a recording is.
    fn records(&self) -> bool;
    /// Reads all that is needed of the host, with the caller's rights; the certificate (PEM) of the
    /// run's own authority, or a sentence and what to do.
    fn prepare(&mut self) -> Result<Option<String>, (String, Option<String>)>;
    /// Serves until the channel says stop; confined.
    fn serve(self: Box<Self>, doors: Doors, channel: OwnedFd) -> u8;
}

/// The listeners, made inside the sandbox.
#[derive(Debug)]
pub struct Doors {
    /// UDP, 127.0.0.1:53.
    pub dns_udp: OwnedFd,
    /// TCP, 127.0.0.1:53.
    pub dns_tcp: OwnedFd,
    /// TCP, [`belljar_model::door::HTTP_DOOR`].
    pub http: OwnedFd,
    /// TCP, [`belljar_model::door::SOCKS_DOOR`].
    pub socks: OwnedFd,
    /// TCP, any address, by port.
    pub ports: Vec<(u16, OwnedFd)>,
}

/// The proxy to supervisor, once.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    Ready {
        authority: Option<String>,
        /// The landlock ABI that holds it.
        landlock: u32,
    },
    Failed(SetupError),
}

/// A proxy that waits for its listeners. Dropping it ends it.
#[derive(Debug)]
pub struct Door {
    child: Child,
    pid: Pid,
    channel: Channel,
    authority: Option<String>,
    landlock: u32,
    shown: Vec<HostEntry>,
    hidden: Vec<RawFd>,
    opened: Opened,
    dials: bool,
}

/// Killed and reaped when it is dropped.
#[derive(Debug)]
struct Child(Option<Pid>);

impl Child {
    /// Waits for its end; its wait status.
    fn reap(&mut self) -> Option<i32> {
        wait4(self.0.take()?).ok().map(|(status, _)| status)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill(pid, Signal::SIGKILL);
        }
        self.reap();
    }
}

impl Door {
    /// Starts it, while there is one thread, and waits until it is confined. `opened` says
    /// what the sandbox has to know. One that does not dial gets an empty network, and no socket.
    pub fn start(keeper: Box<dyn Keeper>, opened: Opened, dials: bool) -> Result<Self, SetupError> {
        assert_single_threaded()?;
        let (channel, theirs) = Channel::pair().step("make a channel")?;
        let parent = nix::unistd::getpid();
        let pid = match clone_process(0).step("start the egress proxy")? {
            Cloned::Child => {
                drop(channel);
                process::run(keeper, theirs, dials, parent)
            }
            Cloned::Parent(pid) => pid,
        };
        let child = Child(Some(pid));
        drop((theirs, keeper));
        let step = "start the egress proxy";
        await_word(&channel, PREPARES)?;
        match channel.receive::<Said>().step(step)? {
            Some((
                Said::Ready {
                    authority,
                    landlock,
                },
                _,
            )) => Ok(Self {
                child,
                pid,
                channel,
                authority,
                landlock,
                shown: Vec::new(),
                hidden: Vec::new(),
                opened,
                dials,
            }),
            Some((Said::Failed(error), _)) => Err(error),
            None => Err(SetupError::refused(step, "it ended without a word")),
        }
    }

    /// The certificate (PEM) of the run's own authority, where TLS is inspected.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// What the sandbox shows since there is a door: what makes programs trust its authority.
    #[must_use]
    pub fn showing(mut self, entries: Vec<HostEntry>) -> Self {
        self.shown = entries;
        self
    }

    /// Descriptors of this process that no launcher keeps.
    #[must_use]
    pub fn hiding(mut self, descriptors: Vec<RawFd>) -> Self {
        self.hidden = descriptors;
        self
    }

    pub(super) fn hidden(&self) -> &[RawFd] {
        &self.hidden
    }

    pub(super) fn shown(&self) -> &[HostEntry] {
        &self.shown
    }

    pub(super) fn opened(&self) -> Opened {
        self.opened.clone()
    }

    /// How it is confined, in a phrase.
    pub(super) fn confinement(&self) -> String {
        let network = if self.dials { "" } else { " and network" };
        format!(
            "own user namespace{network}, landlock ABI {}, seccomp",
            self.landlock
        )
    }
}

/// Waits, for a bounded time, until the channel has something to say.
fn await_word(channel: &Channel, patience: Duration) -> Result<(), SetupError> {
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(channel.0.as_fd(), PollFlags::POLLIN)];
        match poll(
            &mut fds,
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        ) {
            Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(SetupError::new("wait for the egress proxy", e)),
            Ok(0) => {
                return Err(SetupError::refused(
                    "wait for the egress proxy",
                    "it does not become ready",
                )
                .hint("see whether a file or command that gives a credential waits for input"));
            }
            Ok(_) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
