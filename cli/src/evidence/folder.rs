//! How evidence reaches its folder: whole, or not at all.
//!
//! A command writes everything into `.belljar-<id>/` inside the evidence folder, exchanges each
//! owned folder with what stands there, and `result.json` last. That is the commit point: it holds
//! the digest of every other file, so whoever comes in between, after a kill or after a power cut,
//! finds either the old result whole, or the new one whole, or a `result.json` whose digests say
//! that the rest does not belong to it.
//!
//! Nothing is synced to disk. Evidence is read by the next step on the same kernel, which sees
//! every rename; and after a power cut the digests tell a lost or torn file, which is all that a
//! sync could promise a reader who must check them anyhow. A sync costs milliseconds to seconds
//! on a busy disk, for every `run -- true`.
//!
//! This module knows names and bytes; what the documents say is not its business.

mod claim;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::Path;

use belljar_model::{OsText, ResultDoc, Sha256};
use belljar_sandbox::plan::Ids;
use nix::errno::Errno;
use nix::fcntl::{RenameFlags, renameat, renameat2};
use sha2::Digest as _;

use super::dir;
use super::error::{EvidenceError, refused};
use claim::{Lock, make_staging, refuse_foreign, sweep};

/// The commit point.
pub const RESULT: &str = "result.json";
/// The folders that belljar owns.
pub const FOLDERS: [&str; 3] = ["determinism", "security", "logs"];
/// What signing leaves; an old one does not belong to a new result.
pub const ATTESTATION: &str = "attestation.intoto.jsonl";
/// One change of the evidence folder on the way to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The new folder of this name stands in its place, the old one in the staging folder.
    Swap(&'static str),
    /// The old thing of this name, for which there is no new one, is in the staging folder.
    Retire(&'static str),
    /// `result.json` is the new one.
    Publish,
}

/// The evidence of a command under way. Dropped without a commit, it leaves nothing.
#[derive(Debug)]
pub struct Staging {
    evidence: File,
    /// Locked for as long as the command lives: how others know that it does.
    folder: File,
    name: String,
    path: OsText,
    owner: Option<Ids>,
    files: BTreeMap<String, Sha256>,
    /// Made and still empty.
    ahead: BTreeMap<String, File>,
    /// Whether to try RENAME_EXCHANGE first.
    exchange: bool,
}

impl Staging {
    /// Opens the evidence folder, making it where it is missing, removes what dead commands left
    /// in it, and makes a staging folder. `root` is the folder that is mounted at `/build`.
    pub fn open(evidence: &Path, root: &Path, owner: Ids) -> Result<Self, EvidenceError> {
        let owner = dir::give_to(owner);
        let folder = dir::open_or_make(evidence, root, owner)?;
        let path = OsText::from(evidence);
        let lock = Lock::take(&folder, &path)?;
        refuse_foreign(&folder, &path)?;
        let (name, staging) = make_staging(&folder, &path, owner)?;
        sweep(&folder, &name);
        drop(lock);
        Ok(Self {
            evidence: folder,
            folder: staging,
            name,
            path,
            owner,
            files: BTreeMap::new(),
            ahead: BTreeMap::new(),
            exchange: true,
        })
    }

    /// Makes files that are likely to be written, while there is time: a new inode can be dear.
    /// One that is not written after all is removed again.
    pub fn make_ahead<'f>(
        &mut self,
        folder: &str,
        names: impl IntoIterator<Item = &'f str>,
    ) -> Result<(), EvidenceError> {
        let below = names.into_iter().map(|name| format!("{folder}/{name}"));
        for path in below.chain([RESULT.to_owned()]) {
            if !self.ahead.contains_key(&path) {
                let at = path.as_str().into();
                let file = dir::create_below(self.folder.as_fd(), &at, self.owner)?;
                self.ahead.insert(path, file);
            }
        }
        Ok(())
    }

    /// Writes a whole file.
    pub fn write(&mut self, path: &OsText, bytes: &[u8]) -> Result<(), EvidenceError> {
        let mut file = match self.ahead.remove(&path.to_string()) {
            Some(file) => file,
            None => dir::create_below(self.folder.as_fd(), path, self.owner)?,
        };
        file.write_all(bytes)
            .map_err(refused("write", path.clone()))?;
        self.files.insert(path.to_string(), Sha256::of(bytes));
        Ok(())
    }

    /// Starts a file that is written bit by bit; [`Staging::finish`] ends it.
    pub fn start(&self, path: &OsText) -> Result<Growing, EvidenceError> {
        let file = dir::create_below(self.folder.as_fd(), path, self.owner)?;
        Ok(Growing {
            path: path.clone(),
            to: BufWriter::with_capacity(
                64 << 10,
                Hashing {
                    file,
                    hash: sha2::Sha256::new(),
                },
            ),
        })
    }

    /// Ends a file that was written bit by bit.
    pub fn finish(&mut self, growing: Growing) -> Result<(), EvidenceError> {
        let Growing { path, to } = growing;
        let Hashing { hash, .. } = to
            .into_inner()
            .map_err(|e| refused("write", path.clone())(e.into_error()))?;
        self.files
            .insert(path.to_string(), Sha256(hash.finalize().into()));
        Ok(())
    }

    /// Names the files in `doc`, and puts everything in its place.
    pub fn commit(mut self, doc: &mut ResultDoc) -> Result<(), EvidenceError> {
        self.commit_watched(doc, &mut |_| Ok(()))
    }

    /// [`Staging::commit`], which stops `after` the step that is answered with an error.
    fn commit_watched(
        &mut self,
        doc: &mut ResultDoc,
        after: &mut dyn FnMut(Step) -> Result<(), EvidenceError>,
    ) -> Result<(), EvidenceError> {
        doc.files = std::mem::take(&mut self.files);
        self.write(&RESULT.into(), &super::json(doc))?;
        self.forget_ahead()?;
        let _lock = Lock::take(&self.evidence, &self.path)?;
        for name in FOLDERS {
            if dir::exists(self.folder.as_fd(), name) {
                self.swap(name)?;
                after(Step::Swap(name))?;
            } else {
                self.retire(name)?;
                after(Step::Retire(name))?;
            }
        }
        self.retire(ATTESTATION)?;
        after(Step::Retire(ATTESTATION))?;
        self.publish()?;
        after(Step::Publish)
    }

    /// The commit point. Exchanged and not renamed over where that can be had: file systems write
    /// a file out at once when it is renamed over another, which takes milliseconds.
    fn publish(&self) -> Result<(), EvidenceError> {
        match self.exchange(RESULT) {
            Ok(()) => Ok(()),
            Err(Errno::ENOENT | Errno::EINVAL | Errno::ENOSYS) => {
                renameat(&self.folder, RESULT, &self.evidence, RESULT)
                    .map_err(refused("replace", RESULT))
            }
            Err(errno) => Err(refused("replace", RESULT)(errno)),
        }
    }

    /// Removes what was made ahead and never written, and folders that have nothing else.
    fn forget_ahead(&mut self) -> Result<(), EvidenceError> {
        for path in std::mem::take(&mut self.ahead).into_keys() {
            let Some((folder, name)) = path.split_once('/') else {
                continue;
            };
            dir::unlink_in(self.folder.as_fd(), folder, name)
                .map_err(refused("remove", path.as_str()))?;
        }
        Ok(())
    }

    /// Puts the new folder `name` in its place, and the old one, if there is one, into the
    /// staging folder.
    fn swap(&self, name: &'static str) -> Result<(), EvidenceError> {
        match self.exchange(name) {
            Ok(()) => return Ok(()),
            Err(Errno::ENOENT) => {}
            // Not every file system can exchange (EINVAL), nor every kernel (ENOSYS).
            Err(Errno::EINVAL | Errno::ENOSYS) => self.retire(name)?,
            Err(errno) => return Err(refused("replace", name)(errno)),
        }
        renameat(&self.folder, name, &self.evidence, name).map_err(refused("replace", name))
    }

    fn exchange(&self, name: &str) -> nix::Result<()> {
        if !self.exchange {
            return Err(Errno::ENOSYS);
        }
        let flags = RenameFlags::RENAME_EXCHANGE;
        renameat2(&self.folder, name, &self.evidence, name, flags)
    }

    /// Takes the old `name`, if there is one, into the staging folder.
    fn retire(&self, name: &'static str) -> Result<(), EvidenceError> {
        let aside = format!("old-{name}");
        match renameat(&self.evidence, name, &self.folder, aside.as_str()) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(refused("remove", name)(errno)),
        }
    }
}

impl Drop for Staging {
    /// Removes what was exchanged out, or never came to its place. What can't be removed now is
    /// swept by the next command: the lock goes with the descriptor.
    fn drop(&mut self) {
        let _ = dir::remove(self.evidence.as_fd(), &self.name);
        let _ = self.folder.unlock();
    }
}

/// A file that is written bit by bit.
#[derive(Debug)]
pub struct Growing {
    path: OsText,
    to: BufWriter<Hashing>,
}

impl Growing {
    /// Writes what comes next.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), EvidenceError> {
        self.to
            .write_all(bytes)
            .map_err(refused("write", self.path.clone()))
    }
}

#[derive(Debug)]
struct Hashing {
    file: File,
    hash: sha2::Sha256,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests;
