//! Init once the build runs: it reaps and forwards signals, holding nothing but its socket.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Job, Ready, wait_for};
use crate::SetupError;
use crate::error::At;
use crate::launch::wire::{FromInit, ToInit};
use crate::sys::process::close_number;

/// Reaps until the build's first process ends, reports its status, and returns init's exit code.
/// The end of init ends every process inside.
pub(super) fn serve(job: Job, ready: &Ready) -> i32 {
    let Job { channel, build, .. } = job;
    // Until the build's table is its own, nothing of it may be closed here; from then on nothing
    // of it may be held here.
    if wait_for(&ready.told, &ready.signals, &mut [0]).unwrap_or(false) {
        for fd in 0..3 {
            let _ = close_number(fd);
        }
    }
    drop(build);
    if confine().is_err() {
        return 1;
    }
    loop {
        let mut fds = [
            PollFd::new(channel.0.as_fd(), PollFlags::POLLIN),
            PollFd::new(ready.signals.as_fd(), PollFlags::POLLIN),
        ];
        if !matches!(poll(&mut fds, PollTimeout::NONE), Ok(_) | Err(Errno::EINTR)) {
            return 1;
        }
        let (asked, child) = (fds[0].any() == Some(true), fds[1].any() == Some(true));
        if child {
            while let Ok(Some(_)) = ready.signals.read_signal() {}
            if let Some(status) = reap(ready.build) {
                let _ = channel.send(&FromInit::Ended { status });
                return 0;
            }
        }
        if asked {
            match channel.receive::<ToInit>() {
                Ok(Some((ToInit::Signal(number), _))) => {
                    if let Ok(signal) = Signal::try_from(number) {
                        let group = Pid::from_raw(-ready.build.as_raw());
                        let _ = kill(group, signal);
                        // What has stopped itself would not hear it.
                        let _ = kill(group, Signal::SIGCONT);
                    }
                }
                // The supervisor is gone: so is the reason for the build to run.
                Ok(None) | Err(_) => return 1,
            }
        }
    }
}

/// Init needs nothing from here on but to wait, to signal and to say how it ended.
fn confine() -> Result<(), SetupError> {
    crate::launch::caps::drop_all()?;
    nix::sys::prctl::set_dumpable(false).step("close init to the build")?;
    crate::launch::seccomp::install_init().step("install the seccomp filter of init")
}

/// Reaps what has ended; the raw wait status of `build` if it was among it.
fn reap(build: Pid) -> Option<i32> {
    let mut ended = None;
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == build => ended = Some(code << 8),
            Ok(WaitStatus::Signaled(pid, signal, core)) if pid == build => {
                ended = Some(signal as i32 | if core { 0x80 } else { 0 });
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return ended,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return ended,
        }
    }
}
