//! Puts the patch into a process: through its memory file, or by a transient ptrace where the
//! kernel lets nobody but a tracer write through protections.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use nix::Result;
use nix::errno::Errno;

use super::image::{Patch, Write};
use super::process;
use crate::notify::Target;
use crate::sys::ptrace::{self, Stop};

/// Threads whose vDSO's place is remembered; a run with more forgets all and looks again.
const REMEMBERED: usize = 8192;

/// How a process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Covered {
    /// Its vDSO has the patch; here it lies.
    At(u64),
    /// It has none: every read of the clock is a trapped call.
    NoVdso,
    /// It was patched by ptrace: its call was broken off and comes again.
    Interrupted,
}

/// Patches processes.
#[derive(Debug)]
pub(super) struct Coverer {
    pub(super) patch: Patch,
    /// Write by ptrace only, as on kernels that let nobody else.
    pub(super) by_ptrace: bool,
    /// Where each thread's vDSO was last seen. Only a hint: what counts is the mark found there.
    bases: Mutex<HashMap<i32, u64>>,
}

impl Coverer {
    pub(super) fn new(patch: Patch) -> Self {
        Self {
            patch,
            by_ptrace: false,
            bases: Mutex::default(),
        }
    }

    /// Makes sure that the target's vDSO has the patch.
    pub(super) fn cover(&self, target: &Target<'_>) -> Result<Covered> {
        let known = self.bases().get(&target.tid()).copied();
        if let Some(base) = known
            && self.is_marked(target, base)?
        {
            return Ok(Covered::At(base));
        }
        let Some(base) = process::vdso_base(target.tid())? else {
            return Ok(Covered::NoVdso);
        };
        let done = self.patch_at(target, base)?;
        let mut bases = self.bases();
        if bases.len() >= REMEMBERED {
            bases.clear();
        }
        bases.insert(target.tid(), base);
        Ok(done)
    }

    fn bases(&self) -> std::sync::MutexGuard<'_, HashMap<i32, u64>> {
        self.bases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a patched vDSO lies at `base`.
    fn is_marked(&self, target: &Target<'_>, base: u64) -> Result<bool> {
        let mut found = [0; 16];
        match target.read(base.wrapping_add(self.patch.blob.at as u64), &mut found) {
            Ok(()) => Ok(found == self.patch.mark),
            Err(Errno::EFAULT) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Whether a system call at `ip` was made by a patched vDSO itself, whose hook moves what the
    /// call returns.
    pub(super) fn is_own_call(&self, target: &Target<'_>, ip: u64) -> bool {
        self.patch.own_calls.iter().any(|&at| {
            let base = ip.wrapping_sub(at);
            base.is_multiple_of(4096) && self.is_marked(target, base) == Ok(true)
        })
    }

    fn patch_at(&self, target: &Target<'_>, base: u64) -> Result<Covered> {
        let memory = target.open_memory(!self.by_ptrace)?;
        let head = &self.patch.head;
        let mut found = vec![0; head.bytes.len()];
        read(&memory, base, head.at, &mut found)?;
        if found == head.bytes {
            return Ok(Covered::At(base));
        }
        if found != self.patch.head_before {
            // Another image than this kernel gives to 64-bit programs.
            return Err(Errno::ENOEXEC);
        }
        if !self.by_ptrace && self.write_all(&memory, base).is_ok() {
            target.confirm()?;
            return Ok(Covered::At(base));
        }
        self.poke_all(target, base)?;
        Ok(Covered::Interrupted)
    }

    fn writes(&self) -> [&Write; 2] {
        [&self.patch.blob, &self.patch.head]
    }

    fn write_all(&self, memory: &File, base: u64) -> std::io::Result<()> {
        for write in self.writes() {
            memory.write_all_at(&write.bytes, base.wrapping_add(write.at as u64))?;
        }
        Ok(())
    }

    fn poke_all(&self, target: &Target<'_>, base: u64) -> Result<()> {
        let tid = target.tid();
        ptrace::seize(tid)?;
        let still_it = target.confirm();
        ptrace::interrupt(tid)?;
        let signal = match ptrace::wait(tid)? {
            Stop::Gone => return Err(Errno::ESRCH),
            Stop::Signal(signal) => signal,
            Stop::Interrupted => 0,
        };
        let poked = still_it.and_then(|()| {
            let words = self.writes().into_iter().flat_map(Write::words);
            words
                .into_iter()
                .try_for_each(|(at, word)| ptrace::poke(tid, base.wrapping_add(at), word))
        });
        ptrace::detach(tid, signal)?;
        poked
    }
}

fn read(memory: &File, base: u64, at: usize, into: &mut [u8]) -> Result<()> {
    memory
        .read_exact_at(into, base.wrapping_add(at as u64))
        .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}
