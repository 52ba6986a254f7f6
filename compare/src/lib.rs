//! Which outputs differ, at which bytes, and why.
//!
//! Pure but for the readers it is given: it opens nothing by itself, never reads a clock, runs
//! nothing. `tree` compares two manifests, `bytes` finds the differing regions of two readers,
//! `explain` names causes. How a difference is shown is not known here.
#![forbid(unsafe_code)]

mod bytes;
mod content;
mod explain;
mod tree;

use std::io::{self, Read};

use belljar_model::{Manifest, OsText, Window};

pub use bytes::{Hunk, differ};
pub use tree::compare;

/// Gives the content of a manifest's files.
pub trait Tree {
    /// Opens a regular file by its path in the manifest.
    fn open(&self, path: &OsText) -> io::Result<Box<dyn Read + '_>>;
}

impl<F, R> Tree for F
where
    F: Fn(&OsText) -> io::Result<R>,
    R: Read + 'static,
{
    fn open(&self, path: &OsText) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self(path)?))
    }
}

/// One side of a comparison.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// What is there.
    pub manifest: &'a Manifest,
    /// Its content.
    pub tree: &'a dyn Tree,
    /// The clock that the build saw; unknown where nothing was run.
    pub clock: Option<Clock>,
}

/// The wall clock that a build saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// From its start to its end, moved.
    pub window: Window,
    /// By how many seconds it was moved. File times may still be real ones.
    pub offset_s: i64,
}

/// What counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Scratch gates too.
    pub strict: bool,
    /// Modification times gate.
    pub strict_mtime: bool,
}
