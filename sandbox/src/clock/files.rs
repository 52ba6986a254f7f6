//! What becomes of a trapped call that reads or sets the stamps of a file.
//!
//! It is never made in the program's place: the thread makes it itself, in a stub, with its own
//! rights, mounts and descriptors.

use nix::errno::Errno;

use super::cover::Covered;
use super::stamps::Stamps;
use super::step::step;
use super::wait::{Cookie, Pointer};
use super::{Skewer, redirect};
use crate::launch::seccomp::CLOCK_COOKIE;
use crate::notify::{Answer, Call, Target};
use crate::sys::ptrace;

/// Seconds of access and modification, with a smaller part between, or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    argument: usize,
    /// `utime`: two words of seconds; else four, of which the first and third are seconds.
    short: bool,
}

impl Times {
    /// What a call sets, if it sets anything else than now.
    fn of(call: &Call) -> Option<Self> {
        let (argument, short) = match i64::from(call.nr) {
            libc::SYS_utimensat | libc::SYS_futimesat => (2, false),
            libc::SYS_utimes => (1, false),
            libc::SYS_utime => (1, true),
            _ => return None,
        };
        (call.args[argument] != 0).then_some(Self { argument, short })
    }

    fn len(self) -> usize {
        if self.short { 16 } else { 32 }
    }

    /// The words as they are to be stored. Where a part is `UTIME_NOW` or `UTIME_OMIT`, the kernel
    /// does not look at the seconds.
    fn stored(self, mut words: [u64; 4], stamps: Stamps) -> [u64; 4] {
        let seconds = if self.short { [0, 1] } else { [0, 2] };
        for at in seconds {
            words[at] = stamps.stored(words[at].cast_signed()).cast_unsigned();
        }
        words
    }
}

impl Skewer {
    /// A call of the stat family from a place that is not patched.
    pub(super) fn status(&self, call: &Call, target: &Target<'_>) -> Answer {
        let Some(coverer) = &self.coverer else {
            return self.step_status(call, target);
        };
        let base = match coverer.cover(target) {
            Ok(Covered::At(base)) => base,
            Ok(Covered::Interrupted) => return Answer::Redirected,
            Ok(Covered::NoVdso) => return self.step_status(call, target),
            Err(errno) => {
                self.note_uncovered(target, errno);
                return Answer::Continue;
            }
        };
        coverer.spare(target, call.ip, base);
        let stub = base.wrapping_add(coverer.patch.status);
        match redirect::to_status(call, target, stub) {
            Ok(()) => Answer::Redirected,
            Err(errno) => self.unmoved(target, errno),
        }
    }

    /// The same for a process without a vDSO, which has no place for a stub.
    fn step_status(&self, call: &Call, target: &Target<'_>) -> Answer {
        let pointer = Pointer {
            argument: 5,
            cookie: Cookie::Sixth,
        };
        let args = pointer.arguments(call.args, 0, CLOCK_COOKIE);
        let (status, stamps) = match i64::from(call.nr) {
            libc::SYS_newfstatat => (call.args[2].wrapping_add(72), 3),
            libc::SYS_statx => (call.args[4].wrapping_add(64), 4),
            _ => (call.args[1].wrapping_add(72), 3),
        };
        let moved = step(call, target, args, None, |tid| {
            for at in (status..).step_by(16).zip(0..stamps).map(|(at, _)| at) {
                let seconds = ptrace::peek(tid, at)?.cast_signed();
                ptrace::poke(tid, at, self.stamps.shown(seconds).cast_unsigned())?;
            }
            Ok(())
        });
        match moved {
            Ok(()) => Answer::Redirected,
            Err(errno) => self.unmoved(target, errno),
        }
    }

    fn unmoved(&self, target: &Target<'_>, errno: Errno) -> Answer {
        self.note(target, "the times of files can't be moved", errno);
        Answer::Continue
    }

    /// A call of the utime family.
    pub(super) fn set_times(&self, call: &Call, target: &Target<'_>) -> Answer {
        match self.try_set_times(call, target) {
            Ok(answer) => answer,
            Err(errno) => {
                self.note(target, "the times of files can't be set", errno);
                Answer::Continue
            }
        }
    }

    fn try_set_times(&self, call: &Call, target: &Target<'_>) -> Result<Answer, Errno> {
        let Some(times) = Times::of(call) else {
            return Ok(Answer::Continue);
        };
        let mut bytes = [0; 32];
        match target.read(call.args[times.argument], &mut bytes[..times.len()]) {
            Ok(()) => {}
            // The kernel says it itself.
            Err(Errno::EFAULT) => return Ok(Answer::Continue),
            Err(errno) => return Err(errno),
        }
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        let stored = times.stored(words, self.stamps);
        if stored == words {
            return Ok(Answer::Continue);
        }
        let pointer = Pointer {
            argument: times.argument,
            cookie: Cookie::Sixth,
        };
        match self.redirect(call, target, pointer, stored) {
            // No vDSO, so no stub.
            Err(Errno::EOPNOTSUPP) => {
                let args = pointer.arguments(call.args, 0, CLOCK_COOKIE);
                step(call, target, args, Some((times.argument, stored)), |_| {
                    Ok(())
                })?;
            }
            other => other?,
        }
        Ok(Answer::Redirected)
    }
}
