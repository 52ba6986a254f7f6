//! Who may write into an evidence folder: one commit at a time, never over what is somebody
//! else's, and with what dead commands left swept away.

use std::fs::{File, TryLockError};
use std::io::Read as _;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use belljar_model::OsText;
use belljar_sandbox::plan::Ids;
use nix::errno::Errno;

use super::{ATTESTATION, FOLDERS, RESULT};
use crate::evidence::dir;
use crate::evidence::error::{EvidenceError, refused};

/// How the folders of commands under way begin.
pub(super) const STAGING: &str = ".belljar-";
/// How long a commit waits for another one: each takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The lock on an evidence folder: one commit at a time.
pub(super) struct Lock<'a>(&'a File);

impl<'a> Lock<'a> {
    pub(super) fn take(folder: &'a File, path: &OsText) -> Result<Self, EvidenceError> {
        let start = Instant::now();
        loop {
            match folder.try_lock() {
                // A file system without locks: commits are then ordered by their last rename.
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(Self(folder)),
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(EvidenceError::Busy {
                        folder: path.clone(),
                        seconds: PATIENCE.as_secs(),
                    });
                }
            }
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Refuses to replace what belljar did not write: an owned name without a result of belljar's
/// beside it, and without the staging folder of a command that was killed on its first commit.
pub(super) fn refuse_foreign(folder: &File, path: &OsText) -> Result<(), EvidenceError> {
    let found = FOLDERS
        .into_iter()
        .chain([ATTESTATION, RESULT])
        .find(|name| dir::exists(folder.as_fd(), name));
    let Some(name) = found else { return Ok(()) };
    let killed = || dir::names(folder.as_fd()).is_ok_and(|names| names.iter().any(is_staging));
    if has_result(folder) || killed() {
        return Ok(());
    }
    Err(EvidenceError::NotOurs {
        name,
        folder: path.clone(),
    })
}

/// Whether `result.json` begins as belljar writes it.
fn has_result(folder: &File) -> bool {
    let Ok(file) = dir::open_below(folder.as_fd(), &RESULT.into()) else {
        return false;
    };
    let mut start = Vec::new();
    let read = file.take(64).read_to_end(&mut start);
    read.is_ok() && String::from_utf8_lossy(&start).contains("\"belljar.result/")
}

fn is_staging(name: &OsText) -> bool {
    let id = name.as_bytes().strip_prefix(STAGING.as_bytes());
    id.is_some_and(|id| !id.is_empty() && id.iter().all(|b| b.is_ascii_digit() || *b == b'-'))
}

pub(super) fn make_staging(
    folder: &File,
    path: &OsText,
    owner: Option<Ids>,
) -> Result<(String, File), EvidenceError> {
    let pid = std::process::id();
    // Two containers can share a folder and have the same process ids.
    for n in 0..1000 {
        let name = format!("{STAGING}{pid}-{n}");
        match dir::make(folder.as_fd(), name.as_ref(), owner) {
            Ok(fd) => {
                let staging = File::from(fd);
                // Without locks nothing is swept either.
                let _ = staging.try_lock();
                return Ok((name, staging));
            }
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(refused("write into", path.clone())(errno)),
        }
    }
    Err(refused("write into", path.clone())(Errno::EEXIST))
}

/// Removes the staging folders of commands that are dead: those whose lock is free. `ours` is the
/// caller's own.
pub(super) fn sweep(folder: &File, ours: &str) {
    for name in dir::names(folder.as_fd()).unwrap_or_default() {
        if !is_staging(&name) || name.as_bytes() == ours.as_bytes() {
            continue;
        }
        let dead = dir::open(&dir::by_fd(folder.as_fd()).join(name.as_path()))
            .is_ok_and(|staging| staging.try_lock().is_ok());
        if dead {
            let _ = dir::remove(folder.as_fd(), &name.to_string());
        }
    }
}
