//! Puts the patch into a process: through its memory file, or by a transient ptrace where the
//! kernel lets nobody but a tracer write through protections. There the texts stay as they are, and each
//! call of the stat family traps.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::Result;
use nix::errno::Errno;

use super::image::{Patch, Write};
use super::process;
use super::texts::Texts;
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

/// What was last seen of a thread's process. Only a hint: what counts is the mark found in its vDSO.
#[derive(Debug, Clone, Default)]
struct Seen {
    base: u64,
    /// Texts that are done with.
    texts: Vec<Range<u64>>,
}

impl Seen {
    /// Whether the text around `ip` is done with.
    fn is_done(&self, ip: u64) -> bool {
        self.texts.iter().any(|text| text.contains(&ip))
    }
}

/// Patches processes.
#[derive(Debug)]
pub(super) struct Coverer {
    pub(super) patch: Patch,
    /// Write by ptrace only, as on kernels that let nobody else.
    pub(super) by_ptrace: bool,
    texts: Texts,
    seen: Mutex<HashMap<i32, Seen>>,
}

impl Coverer {
    pub(super) fn new(patch: Patch) -> Self {
        Self {
            patch,
            by_ptrace: false,
            texts: Texts::default(),
            seen: Mutex::default(),
        }
    }

    /// Makes sure that the target's vDSO has the patch.
    pub(super) fn cover(&self, target: &Target<'_>) -> Result<Covered> {
        if let Some(seen) = self.seen(target)? {
            return Ok(Covered::At(seen.base));
        }
        let Some(base) = process::vdso_base(target.tid())? else {
            return Ok(Covered::NoVdso);
        };
        let memory = target.open_memory(!self.by_ptrace)?;
        let done = match self.patch_vdso(target, &memory, base) {
            // The program has put it elsewhere, or done away with it.
            Err(Errno::EIO | Errno::ENOEXEC) => match process::moved_vdso(target.tid())? {
                None => return Ok(Covered::NoVdso),
                Some(moved) => self.patch_vdso(target, &memory, moved),
            },
            done => done,
        };
        done.map(|(done, _)| done)
    }

    /// The same while a program starts, and the call sites of the text that makes the call at `ip`;
    /// once it is `loaded` also those of its C library.
    pub(super) fn start(&self, target: &Target<'_>, ip: u64, loaded: bool) -> Result<Covered> {
        let tid = target.tid();
        let (seen, memory, new) = if let Some(seen) = self.seen(target)? {
            if self.by_ptrace || seen.is_done(ip) && !loaded {
                return Ok(Covered::At(seen.base));
            }
            (seen, target.open_memory(true)?, false)
        } else {
            let Some(base) = process::vdso_base(tid)? else {
                return Ok(Covered::NoVdso);
            };
            let memory = target.open_memory(!self.by_ptrace)?;
            let (done, new) = self.patch_vdso(target, &memory, base)?;
            if self.by_ptrace || done != Covered::At(base) {
                return Ok(done);
            }
            let texts = Vec::new();
            (Seen { base, texts }, memory, new)
        };
        // Just after its exec a process has one thread.
        if !seen.is_done(ip) && (loaded || new || process::is_alone(tid)) {
            self.patch_text(target, &memory, ip, seen.base);
        }
        if loaded {
            let status = seen.base.wrapping_add(self.patch.status);
            let library = self.texts.patch_loaded(target, &memory, ip, status);
            self.remember_text(tid, library);
        }
        Ok(Covered::At(seen.base))
    }

    /// Patches the call sites of the text from which a call of the stat family was trapped, so that
    /// it is the last of that place.
    pub(super) fn spare(&self, target: &Target<'_>, ip: u64, base: u64) {
        if self.by_ptrace || !self.texts.may_help(ip) || !process::is_alone(target.tid()) {
            return;
        }
        if let Ok(memory) = target.open_memory(true) {
            self.patch_text(target, &memory, ip, base);
        }
    }

    fn patch_text(&self, target: &Target<'_>, memory: &File, ip: u64, base: u64) {
        let status = base.wrapping_add(self.patch.status);
        let text = self.texts.patch(target, memory, ip, status);
        self.remember_text(target.tid(), text);
    }

    /// A text that could not be patched traps, and is seen there.
    fn remember_text(&self, tid: i32, patched: Result<Option<Range<u64>>>) {
        if let Ok(Some(text)) = patched
            && let Some(seen) = self.all_seen().get_mut(&tid)
            && !seen.texts.contains(&text)
        {
            seen.texts.push(text);
        }
    }

    /// What was last seen of the target, if its vDSO still has the patch.
    fn seen(&self, target: &Target<'_>) -> Result<Option<Seen>> {
        let seen = self.all_seen().get(&target.tid()).cloned();
        match seen {
            Some(seen) if self.is_marked(target, seen.base)? => Ok(Some(seen)),
            _ => Ok(None),
        }
    }

    fn all_seen(&self) -> MutexGuard<'_, HashMap<i32, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, tid: i32, base: u64) {
        let mut seen = self.all_seen();
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        let texts = Vec::new();
        seen.insert(tid, Seen { base, texts });
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

    /// Also tells whether it was this call that patched it.
    fn patch_vdso(&self, target: &Target<'_>, memory: &File, base: u64) -> Result<(Covered, bool)> {
        let head = &self.patch.head;
        let mut found = vec![0; head.bytes.len()];
        read(memory, base, head.at, &mut found)?;
        if found == head.bytes {
            self.remember(target.tid(), base);
            return Ok((Covered::At(base), false));
        }
        if found != self.patch.head_before {
            // Another image than this kernel gives to 64-bit programs.
            return Err(Errno::ENOEXEC);
        }
        if !self.by_ptrace && self.write_all(memory, base).is_ok() {
            target.confirm()?;
            self.remember(target.tid(), base);
            return Ok((Covered::At(base), true));
        }
        self.poke_all(target, base)?;
        Ok((Covered::Interrupted, true))
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
            Stop::Interrupted | Stop::Call => 0,
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
