//! How the host is looked at. Resolution asks a [`View`] and never the system itself, so that it
//! can be tried on made-up hosts; [`Real`] is the one that looks.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access, getegid, geteuid};

use super::Ids;

/// Small files are read whole, and nothing larger is a small file.
const SMALL: usize = 64 << 10;

/// What a name is, without following it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// Anything else.
    Other,
}

impl From<fs::FileType> for Kind {
    fn from(t: fs::FileType) -> Self {
        match t {
            t if t.is_dir() => Self::Folder,
            t if t.is_file() => Self::File,
            t if t.is_symlink() => Self::Link,
            _ => Self::Other,
        }
    }
}

/// What can be read from any place on.
pub trait Readable: io::Read + io::Seek {}

impl<T: io::Read + io::Seek> Readable for T {}

/// The host's file system, as far as resolution asks.
pub trait View {
    /// What stands at `path`, links not followed.
    fn kind(&self, path: &Path) -> Option<Kind>;
    /// What is in a folder; nothing where it can't be read.
    fn names(&self, dir: &Path) -> BTreeMap<OsString, Kind>;
    /// Where a link points.
    fn link(&self, path: &Path) -> Option<PathBuf>;
    /// The path without links, `.` and `..`.
    fn canonical(&self, path: &Path) -> Result<PathBuf, Errno>;
    /// Whose it is.
    fn owner(&self, path: &Path) -> Result<Ids, Errno>;
    /// The content of a small file.
    fn small(&self, path: &Path) -> Option<Vec<u8>>;
    /// A file to read parts of.
    fn open(&self, path: &Path) -> Option<Box<dyn Readable>>;
    /// Whether the caller may make files in a folder.
    fn writable(&self, dir: &Path) -> bool;
    /// The first socket in a folder or below it, links not followed.
    fn socket_below(&self, dir: &Path) -> Option<PathBuf>;
    /// What git answers to a question about the repository at `root`.
    fn git(&self, root: &Path, args: &[&str]) -> io::Result<Vec<u8>>;

    /// Whether a folder stands at `path`, links followed.
    fn is_folder(&self, path: &Path) -> bool {
        match self.kind(path) {
            Some(Kind::Folder) => true,
            Some(Kind::Link) => self
                .canonical(path)
                .is_ok_and(|p| self.kind(&p) == Some(Kind::Folder)),
            _ => false,
        }
    }
}

/// Who started belljar, from where, with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Effective ids.
    pub ids: Ids,
    /// The current folder.
    pub cwd: PathBuf,
    /// The environment.
    pub env: BTreeMap<OsString, OsString>,
    /// Whether stdin, stdout and stderr are a terminal.
    pub terminal: bool,
}

impl Caller {
    /// Looks around once.
    pub fn read() -> Result<Self, Errno> {
        use std::io::IsTerminal as _;
        Ok(Self {
            ids: Ids {
                uid: geteuid().as_raw(),
                gid: getegid().as_raw(),
            },
            cwd: std::env::current_dir().map_err(|e| errno(&e))?,
            env: std::env::vars_os().collect(),
            terminal: io::stdin().is_terminal()
                && io::stdout().is_terminal()
                && io::stderr().is_terminal(),
        })
    }

    /// A variable that is set and not empty.
    pub fn var(&self, name: &str) -> Option<&OsStr> {
        let value = self.env.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value.as_os_str())
    }

    /// A variable that holds an absolute path.
    pub fn dir(&self, name: &str) -> Option<PathBuf> {
        self.var(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    }

    /// The home folder; `/` is nobody's.
    pub fn home(&self) -> Option<PathBuf> {
        self.dir("HOME").filter(|h| h.parent().is_some())
    }

    /// `VARIABLE`, else this folder in the home folder.
    pub(super) fn dir_or_home(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        self.dir(variable)
            .or_else(|| self.home().map(|h| h.join(below_home)))
    }
}

/// The machine that belljar runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Real;

impl View for Real {
    fn kind(&self, path: &Path) -> Option<Kind> {
        Some(fs::symlink_metadata(path).ok()?.file_type().into())
    }

    fn names(&self, dir: &Path) -> BTreeMap<OsString, Kind> {
        let Ok(entries) = fs::read_dir(dir) else {
            return BTreeMap::new();
        };
        entries
            .flatten()
            .filter_map(|e| Some((e.file_name(), e.file_type().ok()?.into())))
            .collect()
    }

    fn link(&self, path: &Path) -> Option<PathBuf> {
        fs::read_link(path).ok()
    }

    fn socket_below(&self, dir: &Path) -> Option<PathBuf> {
        let mut todo = vec![dir.to_owned()];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(t) if t.is_dir() => todo.push(entry.path()),
                    Ok(t) if t.is_socket() => return Some(entry.path()),
                    _ => {}
                }
            }
        }
        None
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf, Errno> {
        fs::canonicalize(path).map_err(|e| errno(&e))
    }

    fn owner(&self, path: &Path) -> Result<Ids, Errno> {
        let m = fs::metadata(path).map_err(|e| errno(&e))?;
        Ok(Ids {
            uid: m.uid(),
            gid: m.gid(),
        })
    }

    fn small(&self, path: &Path) -> Option<Vec<u8>> {
        let mut file = fs::File::open(path).ok()?;
        let meta = file.metadata().ok()?;
        let size = usize::try_from(meta.len()).ok().filter(|n| *n <= SMALL)?;
        if !meta.is_file() {
            return None;
        }
        // One read: these files are read at each start, and none of them grows meanwhile.
        let mut content = vec![0; size];
        file.read_exact(&mut content).ok()?;
        Some(content)
    }

    fn open(&self, path: &Path) -> Option<Box<dyn Readable>> {
        Some(Box::new(fs::File::open(path).ok()?))
    }

    fn writable(&self, dir: &Path) -> bool {
        access(dir, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
    }

    /// The repository's configuration may be another's than the caller's: what could start
    /// programs (hooks, a file-system monitor, a pager, a lazy fetch) is switched off, and then
    /// it does not matter whose it is.
    fn git(&self, root: &Path, args: &[&str]) -> io::Result<Vec<u8>> {
        let out = Command::new("git")
            .arg("-C")
            .arg(root)
            .args([
                "-c",
                "core.fsmonitor=false",
                "-c",
                "core.hooksPath=/dev/null",
            ])
            .args(["-c", "core.untrackedCache=false", "-c", "safe.directory=*"])
            .args(["--no-pager", "--no-optional-locks"])
            .args(args)
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .stdin(Stdio::null())
            .output()?;
        if out.status.success() {
            return Ok(out.stdout);
        }
        let said = String::from_utf8_lossy(&out.stderr);
        let line = said.lines().next().unwrap_or("it said nothing");
        Err(io::Error::other(
            line.trim_start_matches("fatal: ").to_owned(),
        ))
    }
}

fn errno(e: &io::Error) -> Errno {
    e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
pub(in crate::plan) mod made_up;
