//! The way back from an evidence folder: the result, and what of the rest belongs to it.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::path::Path;

use belljar_model::{OsText, ResultDoc, Sha256};
use serde::de::DeserializeOwned;
use sha2::Digest as _;

use super::dir;
use super::error::{EvidenceError, refused};
use super::folder::{FOLDERS, RESULT};

/// No document that belljar writes comes near it.
const LARGEST: u64 = 256 << 20;
/// Folders inside folders, as deep as `kept/` can be.
const DEEPEST: u32 = 128;

/// An evidence folder, open for reading.
#[derive(Debug)]
pub struct Evidence {
    folder: File,
    /// Its commit point.
    pub result: ResultDoc,
}

/// A file that does not belong to the result beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Below the evidence folder.
    pub path: OsText,
    /// What is wrong with it.
    pub what: Wrong,
}

/// What is wrong with a file of an evidence folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// The result names it, and it is not there or can't be read.
    Missing,
    /// Its content is not the one that the result names.
    Changed,
    /// The result does not name it.
    Unnamed,
}

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.what {
            Wrong::Missing => write!(f, "{path} belongs to this result and is missing"),
            Wrong::Changed => write!(
                f,
                "{path} does not belong to this result: its content is another"
            ),
            Wrong::Unnamed => write!(
                f,
                "{path} does not belong to this result: it is not named there"
            ),
        }
    }
}

impl Evidence {
    /// Reads the result of an evidence folder.
    pub fn open(path: &Path) -> Result<Self, EvidenceError> {
        let folder = dir::open(path)?;
        // A commit under way ends in milliseconds; without a lock the digests are the guard.
        let _ = folder.lock_shared();
        let read = read_document(&folder, &RESULT.into(), ResultDoc::SCHEMA);
        let result = read?;
        Ok(Self { folder, result })
    }

    /// A document of the folder, if its content is the one that the result names.
    pub fn document<T: DeserializeOwned>(
        &self,
        name: &str,
        schema: &'static str,
    ) -> Result<Option<T>, EvidenceError> {
        match self.result.files.get(name) {
            Some(digest) if self.matches(&name.into(), digest) => {
                read_document(&self.folder, &name.into(), schema).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Every file that does not belong to the result, sorted by path.
    pub fn strays(&self) -> Vec<Stray> {
        let mut strays = Vec::new();
        for (name, digest) in &self.result.files {
            let Ok(path) = OsText::parse(name) else {
                strays.push(Stray {
                    path: name.as_str().into(),
                    what: Wrong::Missing,
                });
                continue;
            };
            let what = match digest_of(&self.folder, &path) {
                Ok(found) if found == *digest => continue,
                Ok(_) => Wrong::Changed,
                Err(_) => Wrong::Missing,
            };
            strays.push(Stray { path, what });
        }
        for name in FOLDERS {
            self.unnamed(&name.into(), DEEPEST, &mut strays);
        }
        strays.sort_by(|a, b| a.path.cmp(&b.path));
        strays
    }

    fn matches(&self, path: &OsText, digest: &Sha256) -> bool {
        digest_of(&self.folder, path).is_ok_and(|found| found == *digest)
    }

    /// Files below `path` that the result does not name.
    fn unnamed(&self, path: &OsText, depth: u32, strays: &mut Vec<Stray>) {
        let here = dir::by_fd(self.folder.as_fd()).join(path.as_path());
        let Ok(meta) = here.symlink_metadata() else {
            return;
        };
        if !meta.is_dir() || depth == 0 {
            if !self.result.files.contains_key(&path.to_string()) {
                strays.push(Stray {
                    path: path.clone(),
                    what: Wrong::Unnamed,
                });
            }
            return;
        }
        for entry in std::fs::read_dir(here).into_iter().flatten().flatten() {
            let below = path.as_path().join(entry.file_name());
            self.unnamed(&OsText::from(below.as_path()), depth - 1, strays);
        }
    }
}

fn digest_of(folder: &File, path: &OsText) -> Result<Sha256, EvidenceError> {
    let mut file = dir::open_below(folder.as_fd(), path)?;
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = file
            .read(&mut buffer)
            .map_err(refused("read", path.clone()))?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
    }
    Ok(Sha256(hash.finalize().into()))
}

fn read_document<T: DeserializeOwned>(
    folder: &File,
    path: &OsText,
    schema: &'static str,
) -> Result<T, EvidenceError> {
    let malformed = |why: String| EvidenceError::Malformed {
        path: path.clone(),
        schema,
        why,
    };
    let file = dir::open_below(folder.as_fd(), path)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(refused("read", path.clone()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(malformed("it is too large".into()));
    }
    let named: Named = serde_json::from_slice(&bytes).map_err(|e| malformed(e.to_string()))?;
    if named.schema != schema {
        return Err(malformed(format!(
            "it says that it is {}",
            OsText::from(named.schema)
        )));
    }
    serde_json::from_slice(&bytes).map_err(|e| malformed(e.to_string()))
}

/// What every document begins with.
#[derive(serde::Deserialize)]
struct Named {
    schema: String,
}
