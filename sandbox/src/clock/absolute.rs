//! What becomes of an absolute wall-clock wait: its time moved back ([`wait`](super::wait)), the
//! thread redirected ([`redirect`](super::redirect)) or, where a debugger inside has it, held
//! ([`hold`](super::hold)); timer descriptors are set in its place.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

use super::cover::Covered;
use super::hold::copy_descriptor;
use super::step::step;
use super::wait::{Pointer, Time, Wait, is_wall_clock};
use super::{Skewer, process, redirect};
use crate::launch::seccomp::CLOCK_COOKIE;
use crate::notify::{Answer, Call, Target};
use crate::sys::timer::timerfd_settime;

impl Skewer {
    pub(super) fn wait(&self, call: &Call, target: &Target<'_>, wait: &Wait) -> Answer {
        let time = match self.real_time(call, target, wait) {
            Ok(Some(time)) => time,
            Ok(None) => return Answer::Continue,
            Err(errno) => {
                self.note(target, "the time of a wait can't be read", errno);
                return Answer::Continue;
            }
        };
        let words = time.words(wait.timer);
        let redirected = if wait.timer {
            let pointer = wait.pointer;
            let args = pointer.arguments(call.args, 0, CLOCK_COOKIE);
            step(call, target, args, Some((pointer.argument, words)), |_| {
                Ok(())
            })
        } else {
            self.redirect(call, target, wait.pointer, words)
        };
        match redirected {
            Ok(()) => return Answer::Redirected,
            Err(Errno::EPERM | Errno::EOPNOTSUPP) => {}
            // Gone.
            Err(_) if target.confirm().is_err() => return Answer::Continue,
            Err(errno) => self.note(target, "a wait can't be moved", errno),
        }
        match self.holder.hold(call, target, wait, time) {
            Ok(()) => Answer::Later,
            Err(errno) => {
                self.note(target, "a wait can't be moved", errno);
                Answer::Continue
            }
        }
    }

    /// The real time that a wait is for; None where the kernel is to answer by itself.
    fn real_time(
        &self,
        call: &Call,
        target: &Target<'_>,
        wait: &Wait,
    ) -> Result<Option<Time>, Errno> {
        let mut bytes = [0; 32];
        let bytes = &mut bytes[..if wait.timer { 32 } else { 16 }];
        match target.read(call.args[wait.pointer.argument], bytes) {
            Ok(()) => {}
            Err(Errno::EFAULT) => return Ok(None),
            Err(errno) => return Err(errno),
        }
        let time = Time::read(bytes).ok_or(Errno::EFAULT)?;
        if wait.timer && !self.is_wall_timer(call, time) {
            return Ok(None);
        }
        Ok(time.moved_back(self.offset, wait.timer))
    }

    /// Whether a POSIX timer counts the wall clock.
    fn is_wall_timer(&self, call: &Call, time: Time) -> bool {
        match process::timer_clock(call.tid, call.args[0]) {
            Some(clock) => is_wall_clock(clock),
            // A kernel that does not list timers. Uptimes do not reach half of what the clock shows.
            None => time.value[0] >= (self.offset.saturating_add(1_700_000_000)) / 2,
        }
    }

    /// Sends the thread into the stub, to make its call with these words in place of the time that it
    /// points to.
    pub(super) fn redirect(
        &self,
        call: &Call,
        target: &Target<'_>,
        pointer: Pointer,
        words: [u64; 4],
    ) -> Result<(), Errno> {
        let coverer = self.coverer.as_ref().ok_or(Errno::EOPNOTSUPP)?;
        match coverer.cover(target)? {
            Covered::At(base) => {
                let stub = base.wrapping_add(coverer.patch.stub);
                redirect::with_words(call, target, pointer, words, stub)
            }
            Covered::NoVdso => Err(Errno::EOPNOTSUPP),
            Covered::Interrupted => Ok(()),
        }
    }

    /// Sets a timer descriptor to an absolute time in the caller's place, through a copy of it.
    pub(super) fn set_timerfd(&self, call: &Call, target: &Target<'_>) -> Answer {
        match self.try_set_timerfd(call, target) {
            Ok(answer) => answer,
            Err(errno) => {
                self.note(target, "a timer can't be set", errno);
                Answer::Continue
            }
        }
    }

    fn try_set_timerfd(&self, call: &Call, target: &Target<'_>) -> Result<Answer, Errno> {
        let [number, flags, new_at, old_at, ..] = call.args;
        #[expect(clippy::cast_possible_truncation, reason = "the kernel takes ints")]
        let (number, flags) = (number as i32, flags as i32);
        let copy = match copy_descriptor(call.tid, number) {
            // The kernel says it itself.
            Err(Errno::EBADF) => return Ok(Answer::Continue),
            other => other?,
        };
        let clock = process::timerfd_clock(copy.as_raw_fd());
        if !clock.is_some_and(is_wall_clock) {
            return Ok(Answer::Continue);
        }
        let mut bytes = [0; 32];
        match target.read(new_at, &mut bytes) {
            Ok(()) => {}
            Err(Errno::EFAULT) => return Ok(Answer::Continue),
            Err(errno) => return Err(errno),
        }
        let time = Time::read(&bytes).and_then(|t| t.moved_back(self.offset, true));
        let Some(time) = time else {
            return Ok(Answer::Continue);
        };
        let old = match timerfd_settime(copy.as_fd(), flags, &itimerspec(time)) {
            Ok(old) => old,
            Err(errno) => return Ok(Answer::Errno(errno as i32)),
        };
        if old_at == 0 {
            return Ok(Answer::Value(0));
        }
        match target.write(old_at, &bytes_of(&old)) {
            Ok(()) => Ok(Answer::Value(0)),
            Err(Errno::EFAULT) => Ok(Answer::Errno(libc::EFAULT)),
            Err(errno) => Err(errno),
        }
    }
}

fn itimerspec(time: Time) -> libc::itimerspec {
    let pair = |[tv_sec, tv_nsec]: [i64; 2]| libc::timespec { tv_sec, tv_nsec };
    libc::itimerspec {
        it_interval: pair(time.interval),
        it_value: pair(time.value),
    }
}

fn bytes_of(timer: &libc::itimerspec) -> Vec<u8> {
    let (interval, value) = (timer.it_interval, timer.it_value);
    let words = [
        interval.tv_sec,
        interval.tv_nsec,
        value.tv_sec,
        value.tv_nsec,
    ];
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}
