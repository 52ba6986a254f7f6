//! The caller's terminal in raw mode, and what puts it back: belljar, or where belljar is killed, a
//! process that has waited for just that.
//!
//! Must not know the build's terminal: that is in `streams`.

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getpid, getppid, setsid};

use crate::sys::process::{Cloned, clone_process, close_from, exit_now, wait4};
use crate::sys::terminal::standard_input;

/// The caller's terminal, put back as it was when dropped.
pub(super) struct Terminal {
    before: Termios,
    raw: Termios,
    /// The process that outlives belljar; none where it could not be made.
    keeper: Option<Pid>,
}

impl Terminal {
    /// The terminal at standard input, if it is one. Call it while there is one thread.
    pub(super) fn find() -> Option<Self> {
        let before = tcgetattr(standard_input()).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        let belljar = getpid();
        let keeper = match clone_process(0) {
            Ok(Cloned::Child) => keep(belljar, &before, &raw),
            Ok(Cloned::Parent(pid)) => Some(pid),
            Err(_) => None,
        };
        Some(Self {
            before,
            raw,
            keeper,
        })
    }

    /// From here on each key is the build's.
    pub(super) fn make_raw(&self) {
        // A terminal that stays as it is serves all but programs that draw.
        let _ = tcsetattr(standard_input(), SetArg::TCSADRAIN, &self.raw);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tcsetattr(standard_input(), SetArg::TCSADRAIN, &self.before);
        if let Some(pid) = self.keeper {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = wait4(pid);
        }
    }
}

/// Waits until belljar is gone; then puts the terminal back, unless somebody else did.
fn keep(belljar: Pid, before: &Termios, raw: &Termios) -> ! {
    // Whatever ends belljar's process group must not end this one; SIGTTOU would stop it.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
    let _ = setsid();
    // Locks, pipes and the build's terminal end with belljar.
    let _ = close_from(1);
    let mut gone = SigSet::empty();
    gone.add(Signal::SIGTERM);
    if set_pdeathsig(Signal::SIGTERM).is_ok() {
        // It may have ended before that.
        while getppid() == belljar && gone.wait().is_ok() {}
        let now = tcgetattr(standard_input());
        if now.is_ok_and(|now| modes(&now) == modes(raw)) {
            let _ = tcsetattr(standard_input(), SetArg::TCSANOW, before);
        }
    }
    exit_now(0)
}

fn modes(t: &Termios) -> [libc::tcflag_t; 4] {
    [
        t.input_flags.bits(),
        t.output_flags.bits(),
        t.control_flags.bits(),
        t.local_flags.bits(),
    ]
}
