//! Signals that ask belljar to stop, as a descriptor to wait on.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::SetupError;
use crate::error::At;

/// Blocks SIGINT, SIGTERM, SIGHUP and SIGWINCH for the process and shows them on a descriptor.
/// Make it before any thread, so that all of them inherit the mask.
#[derive(Debug)]
pub struct Stop {
    fd: SignalFd,
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To stop.
    Stop,
    /// The terminal has another size.
    Resize,
}

impl Stop {
    /// Starts watching.
    pub fn install() -> Result<Self, SetupError> {
        let step = "watch for signals";
        let mut set = SigSet::empty();
        for signal in [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGWINCH,
        ] {
            set.add(signal);
        }
        set.thread_block().step(step)?;
        // A file at the caller's limit (`ulimit -f`) is an error of that file, not belljar's end.
        let mut too_large = SigSet::empty();
        too_large.add(Signal::SIGXFSZ);
        too_large.thread_block().step(step)?;
        crate::sys::signal::hear_of_children().step(step)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self {
            fd: SignalFd::with_flags(&set, flags).step(step)?,
        })
    }

    /// What was asked since the last look, if anything.
    pub fn next(&self) -> Option<Asked> {
        let info = self.fd.read_signal().ok().flatten()?;
        let winch = i32::try_from(info.ssi_signo).is_ok_and(|n| n == Signal::SIGWINCH as i32);
        Some(if winch { Asked::Resize } else { Asked::Stop })
    }

    /// To wait on.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
