//! The moved clock: programs of a run see the wall clock `offset` seconds from the real one.
//!
//! Nothing is preloaded and nobody is traced. Every C library and runtime makes one of two calls
//! after its exec and before it looks at the clock; that call is notified, and meanwhile the process's
//! private copy of the vDSO gets other values for its time symbols, which lead through a small blob of
//! code that adds the offset (`image`, `blob`, `cover`). Raw reads are notified and answered
//! (`emulate`), absolute waits are moved back (`wait`, `redirect`, `hold`). MONOTONIC is left alone.
//!
//! It is not a wall: a process can undo its own patch. That it took effect is what [`canary`] proves
//! in each run; where it could not, [`Skewer::report`] names the program. Times of files are not moved.
#![allow(unsafe_code, reason = "the room for it: see ARCHITECTURE.md")]

#[cfg(not(target_arch = "x86_64"))]
compile_error!("belljar can move the clock on x86_64 alone so far");

mod blob;
mod canary;
mod cover;
mod elf;
mod emulate;
mod hold;
mod image;
mod own;
mod process;
mod redirect;
#[cfg(test)]
mod tests;
mod unwind;
mod wait;

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

pub use canary::{CanaryBase, canary};

use self::cover::{Covered, Coverer};
use self::elf::ImageError;
use self::hold::{Holder, copy_descriptor};
use self::image::Patch;
use self::wait::{Time, Wait, is_wall_clock};
use crate::SetupError;
use crate::notify::{Answer, Call, Handler, Target};
use crate::sys::timer::timerfd_settime;

/// More programs than this are only counted.
const NAMED: usize = 64;

const ARCH_SET_FS: u64 = 0x1002;
const TFD_TIMER_ABSTIME: u64 = 1;
/// `futex_wait`, which libc lacks.
const SYS_FUTEX_WAIT: i64 = 455;

/// Moves the clock of every process of a run: a handler of the run's notifications.
#[derive(Debug)]
pub struct Skewer {
    offset: i64,
    /// None where this kernel gives its processes no vDSO: then every read is a notified call.
    coverer: Option<Coverer>,
    holder: Holder,
    uncovered: Mutex<BTreeSet<String>>,
}

impl Skewer {
    /// Computes, from this process's own vDSO, what every process of the run will get.
    pub fn prepare(offset_s: i64) -> Result<Arc<Self>, SetupError> {
        Self::make(offset_s).map(Arc::new)
    }

    fn make(offset_s: i64) -> Result<Self, SetupError> {
        let patch = own::image()
            .and_then(|image| image.map(|i| Patch::new(i, offset_s)).transpose())
            .map_err(|e| unusable(&e))?;
        Ok(Self {
            offset: offset_s,
            coverer: patch.map(Coverer::new),
            holder: Holder::default(),
            uncovered: Mutex::default(),
        })
    }

    /// Programs whose clock could not be moved, with the reason, sorted. If there is one, a pair
    /// proves nothing.
    pub fn report(&self) -> Vec<String> {
        let all = self
            .uncovered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.iter().cloned().collect()
    }

    /// Notes that the target's clock is not moved, unless it is gone anyway.
    fn note(&self, target: &Target<'_>, what: &str, errno: Errno) {
        let name = process::name(target.tid());
        if target.confirm().is_err() {
            return;
        }
        let mut all = self
            .uncovered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if all.len() < NAMED {
            all.insert(format!("{name}: {what} ({errno:?})"));
        } else {
            all.insert("and others".to_owned());
        }
    }

    fn checkpoint(&self, target: &Target<'_>) -> Answer {
        let Some(coverer) = &self.coverer else {
            return Answer::Continue;
        };
        match coverer.cover(target) {
            Ok(Covered::Interrupted) => return Answer::Redirected,
            Ok(Covered::At(_) | Covered::NoVdso) => {}
            Err(Errno::ENOEXEC) => self.note(target, "has an unknown vDSO", Errno::ENOEXEC),
            Err(errno) => self.note(target, "its memory can't be changed", errno),
        }
        Answer::Continue
    }

    fn read(&self, call: &Call, target: &Target<'_>) -> Answer {
        let by_vdso = |c: &Coverer| c.is_own_call(target, call.ip);
        if self.coverer.as_ref().is_some_and(by_vdso) {
            return Answer::Continue;
        }
        emulate::read_clock(call, target, self.offset).unwrap_or_else(|errno| {
            self.note(target, "its memory can't be written", errno);
            Answer::Continue
        })
    }

    fn wait(&self, call: &Call, target: &Target<'_>, wait: &Wait) -> Answer {
        let time = match self.real_time(call, target, wait) {
            Ok(Some(time)) => time,
            Ok(None) => return Answer::Continue,
            Err(errno) => {
                self.note(target, "the time of a wait can't be read", errno);
                return Answer::Continue;
            }
        };
        match self.redirect(call, target, wait, time) {
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
        match target.read(call.args[wait.argument], bytes) {
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

    fn redirect(
        &self,
        call: &Call,
        target: &Target<'_>,
        wait: &Wait,
        time: Time,
    ) -> Result<(), Errno> {
        let coverer = self.coverer.as_ref().ok_or(Errno::EOPNOTSUPP)?;
        match coverer.cover(target)? {
            Covered::At(base) => {
                let stub = base.wrapping_add(coverer.patch.stub);
                redirect::redirect(call, target, wait, time, stub)
            }
            Covered::NoVdso => Err(Errno::EOPNOTSUPP),
            Covered::Interrupted => Ok(()),
        }
    }

    /// Sets a timer descriptor to an absolute time in the caller's place, through a copy of it.
    fn set_timerfd(&self, call: &Call, target: &Target<'_>) -> Answer {
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
        use std::os::fd::AsRawFd;
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

impl Handler for Skewer {
    fn wants(&self, nr: i32) -> bool {
        matches!(
            i64::from(nr),
            libc::SYS_brk
                | libc::SYS_arch_prctl
                | libc::SYS_clock_gettime
                | libc::SYS_gettimeofday
                | libc::SYS_time
                | libc::SYS_timerfd_settime
                | libc::SYS_timer_settime
                | libc::SYS_clock_nanosleep
                | libc::SYS_futex
                | libc::SYS_futex_waitv
                | SYS_FUTEX_WAIT
                | libc::SYS_mq_timedsend
                | libc::SYS_mq_timedreceive
        )
    }

    fn handle(&self, call: &Call, target: &Target<'_>) -> Answer {
        let args = &call.args;
        match i64::from(call.nr) {
            libc::SYS_brk if args[0] == 0 => self.checkpoint(target),
            libc::SYS_arch_prctl if args[0] == ARCH_SET_FS => self.checkpoint(target),
            libc::SYS_clock_gettime | libc::SYS_gettimeofday | libc::SYS_time => {
                self.read(call, target)
            }
            libc::SYS_timerfd_settime if args[1] & TFD_TIMER_ABSTIME != 0 => {
                self.set_timerfd(call, target)
            }
            _ => match Wait::of(call) {
                Some(wait) => self.wait(call, target, &wait),
                None => Answer::Continue,
            },
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

fn unusable(error: &ImageError) -> SetupError {
    SetupError::refused("move the clock through the vDSO", error.to_string())
        .hint("this kernel's vDSO is not one that belljar knows: report it with `uname -r`")
}
