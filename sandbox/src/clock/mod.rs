//! The moved clock: programs of a run see the wall clock `offset` seconds from the real one.
//!
//! Nothing is preloaded and nobody is traced. Every C library and runtime makes one of two calls
//! after its exec and before it looks at the clock; that call is notified, and meanwhile the process's
//! private copy of the vDSO gets other values for its time symbols, which lead through a small blob of
//! code that adds the offset (`image`, `blob`, `cover`). Raw reads are notified and answered
//! (`emulate`), absolute waits are moved back (`absolute`). MONOTONIC is left alone.
//!
//! The times of files agree with the moved clock by the rule in [`stamps`]. A program asks for them
//! some hundred thousand times in a build, so the call sites of the stat family are patched too, while
//! the process is at a trapped call anyway (`sites`, `texts`); a call from any other place is notified
//! and redirected (`files`).
//!
//! It is not a wall: a process can undo its own patch. That it took effect is what [`canary`] proves
//! in each run; where it could not, [`Skewer::report`] names the program.
//!
//! [`calls`] lists every call that has to do with the wall clock. Not seen at all: a program without
//! any C library or runtime that asks the vDSO before it has made one of the two calls.
#![allow(unsafe_code, reason = "the room for it: see ARCHITECTURE.md")]

#[cfg(not(target_arch = "x86_64"))]
compile_error!("belljar can move the clock on x86_64 alone so far");

mod absolute;
mod blob;
mod calls;
mod canary;
mod cover;
mod elf;
mod emulate;
mod files;
mod hold;
mod image;
mod objects;
mod own;
mod process;
mod redirect;
mod sites;
mod stamps;
mod step;
#[cfg(test)]
mod tests;
mod texts;
mod unwind;
mod wait;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

pub use canary::{CanaryBase, canary};
pub use stamps::Stamps;

use self::cover::{Covered, Coverer};
use self::elf::ImageError;
use self::hold::Holder;
use self::image::Patch;
use self::wait::Wait;
use crate::SetupError;
use crate::notify::{Answer, Call, Handler, Target};

/// More programs than this are only counted.
const NAMED: usize = 64;

const ARCH_SET_FS: u64 = 0x1002;
const TFD_TIMER_ABSTIME: u64 = 1;
/// Moves the clock of every process of a run: a handler of the run's notifications.
#[derive(Debug)]
pub struct Skewer {
    offset: i64,
    stamps: Stamps,
    /// None where this kernel gives its processes no vDSO: then every read is a notified call.
    coverer: Option<Coverer>,
    holder: Holder,
    uncovered: Mutex<BTreeSet<String>>,
}

impl Skewer {
    /// Computes, from this process's own vDSO, what every process of the run will get. `start_s` is
    /// the real second at which the run starts: a file that was written earlier keeps its times.
    pub fn prepare(offset_s: i64, start_s: i64) -> Result<Arc<Self>, SetupError> {
        Self::make(offset_s, start_s).map(Arc::new)
    }

    fn make(offset_s: i64, start_s: i64) -> Result<Self, SetupError> {
        let stamps = Stamps::new(start_s, offset_s);
        let patch = own::image()
            .and_then(|image| image.map(|i| Patch::new(i, offset_s, stamps)).transpose())
            .map_err(|e| unusable(&e))?;
        Ok(Self {
            offset: offset_s,
            stamps,
            coverer: patch.map(Coverer::new),
            holder: Holder::default(),
            uncovered: Mutex::default(),
        })
    }

    /// The rule for the stamps of files.
    pub fn stamps(&self) -> Stamps {
        self.stamps
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

    fn checkpoint(&self, call: &Call, target: &Target<'_>) -> Answer {
        let Some(coverer) = &self.coverer else {
            return Answer::Continue;
        };
        // A dynamic linker sets the thread pointer once it has mapped all libraries.
        let loaded = i64::from(call.nr) == libc::SYS_arch_prctl;
        match coverer.start(target, call.ip, loaded) {
            Ok(Covered::Interrupted) => return Answer::Redirected,
            Ok(Covered::At(_) | Covered::NoVdso) => {}
            Err(errno) => self.note_uncovered(target, errno),
        }
        Answer::Continue
    }

    /// Names a program that moves its vDSO, to which patched call sites lead.
    fn name_mover(&self, call: &Call, target: &Target<'_>) {
        let [old, len, ..] = call.args;
        if let Ok(Some(base)) = process::moved_vdso(target.tid())
            && base.wrapping_sub(old) < len
        {
            self.note(target, "moves its vDSO", Errno::EFAULT);
        }
    }

    fn note_uncovered(&self, target: &Target<'_>, errno: Errno) {
        let what = match errno {
            Errno::ENOEXEC => "has an unknown vDSO",
            _ => "its memory can't be changed",
        };
        self.note(target, what, errno);
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
}

impl Handler for Skewer {
    fn wants(&self, nr: i32) -> bool {
        calls::is_asked(nr)
    }

    fn handle(&self, call: &Call, target: &Target<'_>) -> Answer {
        let args = &call.args;
        match i64::from(call.nr) {
            libc::SYS_brk if args[0] == 0 => self.checkpoint(call, target),
            libc::SYS_arch_prctl if args[0] == ARCH_SET_FS => self.checkpoint(call, target),
            libc::SYS_clock_gettime | libc::SYS_gettimeofday | libc::SYS_time => {
                self.read(call, target)
            }
            libc::SYS_timerfd_settime if args[1] & TFD_TIMER_ABSTIME != 0 => {
                self.set_timerfd(call, target)
            }
            libc::SYS_stat
            | libc::SYS_fstat
            | libc::SYS_lstat
            | libc::SYS_newfstatat
            | libc::SYS_statx => self.status(call, target),
            libc::SYS_utime | libc::SYS_utimes | libc::SYS_futimesat | libc::SYS_utimensat => {
                self.set_times(call, target)
            }
            libc::SYS_mremap => {
                self.name_mover(call, target);
                Answer::Continue
            }
            libc::SYS_shmctl | libc::SYS_semctl | libc::SYS_msgctl => self.object(call, target),
            _ => match Wait::of(call) {
                Some(wait) => self.wait(call, target, &wait),
                None => Answer::Continue,
            },
        }
    }
}

fn unusable(error: &ImageError) -> SetupError {
    SetupError::refused("move the clock through the vDSO", error.to_string())
        .hint("this kernel's vDSO is not one that belljar knows: report it with `uname -r`")
}
