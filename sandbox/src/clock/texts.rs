//! Patches the call sites of the stat family in a process's texts.
//!
//! A text (the executable mapping of a file) is looked through once in a run, when a call from it is
//! first seen; every later process that has it is known by the place of the call within its page and
//! by the file's own headers, and gets the same bytes. That happens while the thread sleeps in a trapped call,
//! and only while it is the one thread of its process: a jump is not written in one go.

use std::collections::HashMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::Result;
use nix::errno::Errno;

use super::process::{self, Mapped};
use super::sites::{Sites, Span};
use crate::notify::Target;

/// Texts that are remembered; calls from others trap.
const MOST: usize = 512;
/// Distances that are tried before the process's maps are read, which takes longer.
const DISTANCES: usize = 8;
/// A longer text is not looked through.
const LONGEST: u64 = 64 << 20;
/// An ELF header and some program headers: files that are laid out differently differ there.
const HEAD: usize = 64 + 14 * 56;
const PAGE: u64 = 4096;

/// A text that was looked through.
#[derive(Debug)]
struct Text {
    len: u64,
    /// The first bytes of its file as mapped, and where from the text's start.
    head: Vec<u8>,
    head_at: u64,
    /// None if there is nothing to patch.
    sites: Option<Sites>,
    /// It is a dynamic linker.
    loader: bool,
}

/// A text and where it starts in a process.
type Placed = (Arc<Text>, u64);

/// What is known of the texts of a run.
#[derive(Debug, Default)]
pub(super) struct Texts(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    texts: Vec<Arc<Text>>,
    /// By where in its page a call returns to: the text, and where in it that is.
    calls: HashMap<u64, Vec<(Arc<Text>, u64)>>,
    /// C libraries, by how far they lay from the loader that had just loaded them; the latest first.
    /// The same programs have them at the same distance.
    distances: Vec<(Arc<Text>, u64)>,
}

impl Texts {
    /// Whether it could help to patch the text that a trapped call of the family came from.
    pub(super) fn may_help(&self, ip: u64) -> bool {
        let memory = self.lock();
        let Some(calls) = memory.calls.get(&(ip % PAGE)) else {
            return memory.texts.len() < MOST;
        };
        calls.iter().any(|(text, back)| {
            let sites = text.sites.as_ref();
            sites.is_some_and(|s| s.returns.iter().any(|r| *r as u64 == *back))
        })
    }

    /// Patches the text that a call came from; returns its place if it is done with. `status` is
    /// where the stub lies.
    pub(super) fn patch(
        &self,
        target: &Target<'_>,
        memory: &File,
        ip: u64,
        status: u64,
    ) -> Result<Option<Range<u64>>> {
        match self.text_of(target, memory, ip)? {
            Some(placed) => patch_placed(target, memory, &placed, status),
            None => Ok(None),
        }
    }

    /// Patches the C library of a process whose dynamic linker, if that is what made the call at
    /// `ip`, has just loaded it.
    pub(super) fn patch_loaded(
        &self,
        target: &Target<'_>,
        memory: &File,
        ip: u64,
        status: u64,
    ) -> Result<Option<Range<u64>>> {
        let Some((loader, from)) = self.text_of(target, memory, ip)? else {
            return Ok(None);
        };
        if !loader.loader {
            return Ok(None);
        }
        let placed = match self.at_known_distance(memory, from) {
            Some(placed) => placed,
            None => match self.look_for_library(target, memory)? {
                Some(placed) => placed,
                None => return Ok(None),
            },
        };
        let mut memo = self.lock();
        let distance = (Arc::clone(&placed.0), placed.1.wrapping_sub(from));
        memo.distances.retain(|d| d.1 != distance.1);
        memo.distances.insert(0, distance);
        memo.distances.truncate(DISTANCES);
        drop(memo);
        patch_placed(target, memory, &placed, status)
    }

    fn at_known_distance(&self, memory: &File, from: u64) -> Option<Placed> {
        let distances = self.lock().distances.clone();
        distances.into_iter().find_map(|(text, distance)| {
            let start = from.wrapping_add(distance);
            text.is_at(memory, start).then_some((text, start))
        })
    }

    fn look_for_library(&self, target: &Target<'_>, memory: &File) -> Result<Option<Placed>> {
        let maps = maps(target)?;
        match process::c_library(&maps) {
            Some(mapped) => self.placed(memory, &mapped),
            None => Ok(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text that a call came from.
    fn text_of(&self, target: &Target<'_>, memory: &File, ip: u64) -> Result<Option<Placed>> {
        let candidates = self.lock().calls.get(&(ip % PAGE)).cloned();
        for (text, call) in candidates.into_iter().flatten() {
            let start = ip.wrapping_sub(call);
            if text.is_at(memory, start) {
                return Ok(Some((text, start)));
            }
        }
        let maps = maps(target)?;
        let Some(mapped) = process::text_around(&maps, ip) else {
            return Ok(None);
        };
        let placed = self.placed(memory, &mapped)?;
        if let Some((text, start)) = &placed {
            self.lock().remember(text, ip - start);
        }
        Ok(placed)
    }

    /// A text found in a process's maps, looked through if it is a new one.
    fn placed(&self, memory: &File, mapped: &Mapped) -> Result<Option<Placed>> {
        let start = mapped.text.start;
        let known = self.lock().texts.clone();
        if let Some(text) = known.iter().find(|text| text.is_at(memory, start)) {
            return Ok(Some((Arc::clone(text), start)));
        }
        if known.len() >= MOST {
            return Ok(None);
        }
        let Some(text) = Text::read(memory, mapped)?.map(Arc::new) else {
            return Ok(None);
        };
        let mut memo = self.lock();
        memo.texts.push(Arc::clone(&text));
        for back in text.sites.iter().flat_map(|s| &s.returns) {
            memo.remember(&text, *back as u64);
        }
        Ok(Some((text, start)))
    }
}

impl Memory {
    /// Remembers where in a text a call returns to. A text starts at a page.
    fn remember(&mut self, text: &Arc<Text>, call: u64) {
        let known = self.calls.entry(call % PAGE).or_default();
        let is_known = |(t, c): &(Arc<Text>, u64)| *c == call && Arc::ptr_eq(t, text);
        if known.len() < MOST && !known.iter().any(is_known) {
            known.push((Arc::clone(text), call));
        }
    }
}

impl Text {
    fn read(memory: &File, mapped: &Mapped) -> Result<Option<Self>> {
        let len = mapped.text.end - mapped.text.start;
        if len > LONGEST {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| Errno::ENOMEM)?];
        read(memory, mapped.text.start, &mut bytes)?;
        let mut head = vec![0; HEAD];
        read(memory, mapped.head, &mut head)?;
        Ok(Some(Self {
            len,
            head,
            head_at: mapped.head.wrapping_sub(mapped.text.start),
            sites: Sites::find(&bytes),
            loader: mapped.name.starts_with("ld-linux") || mapped.name.starts_with("ld-2."),
        }))
    }

    /// Whether the text starts at `start` in a process.
    fn is_at(&self, memory: &File, start: u64) -> bool {
        let mut head = vec![0; self.head.len()];
        let at = start.wrapping_add(self.head_at);
        memory.read_exact_at(&mut head, at).is_ok() && head == self.head
    }
}

fn maps(target: &Target<'_>) -> Result<String> {
    let maps = fs::read(format!("/proc/{}/maps", target.tid()))
        .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    target.confirm()?;
    Ok(String::from_utf8_lossy(&maps).into_owned())
}

fn patch_placed(
    target: &Target<'_>,
    memory: &File,
    (text, start): &Placed,
    status: u64,
) -> Result<Option<Range<u64>>> {
    let done = match &text.sites {
        Some(sites) => apply(target, memory, sites, *start, status)?,
        None => true,
    };
    Ok(done.then(|| *start..start.wrapping_add(text.len)))
}

/// Writes what is not there yet, if all is as it was when the text was looked through; whether it
/// was.
fn apply(
    target: &Target<'_>,
    memory: &File,
    sites: &Sites,
    start: u64,
    status: u64,
) -> Result<bool> {
    let mut slots = sites.slots.clone();
    slots.after[sites.address_at..][..8].copy_from_slice(&status.to_le_bytes());
    let spans = || std::iter::once(&slots).chain(&sites.jumps);
    let mut missing = Vec::new();
    for span in spans() {
        let mut found = vec![0; span.before.len()];
        read(memory, start.wrapping_add(span.at as u64), &mut found)?;
        if found == span.before {
            missing.push(span);
        } else if found != span.after {
            return Ok(false);
        }
    }
    if !missing.is_empty() {
        target.confirm()?;
    }
    for Span { at, after, .. } in missing {
        memory
            .write_all_at(after, start.wrapping_add(*at as u64))
            .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    }
    Ok(true)
}

fn read(memory: &File, at: u64, into: &mut [u8]) -> Result<()> {
    memory
        .read_exact_at(into, at)
        .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}
