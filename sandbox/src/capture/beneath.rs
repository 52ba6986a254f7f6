//! Opens paths beneath a descriptor: never out of it, never through a symbolic link.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat};

/// The kernel takes paths below 4096 bytes; longer ones go in hops of at most this.
const HOP: usize = 4000;

/// Longer paths are refused: four times what any program can open by name.
pub(super) const LONGEST_PATH: usize = 16_384;

/// To look at a thing without touching it: works on links, FIFOs, sockets and devices.
pub(super) const LOOK: OFlag = OFlag::O_PATH;
/// To read a file. Never blocks on a FIFO, never takes a terminal.
pub(super) const READ: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY);
/// To list a folder.
pub(super) const LIST: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);
/// To stand in a folder.
pub(super) const STAND: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY);

/// Opens `name`, relative to `dir` and beneath it, through no link of any kind.
pub(super) fn open_at<P: NixPath + ?Sized>(
    dir: BorrowedFd<'_>,
    name: &P,
    flags: OFlag,
) -> nix::Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new()
        .flags(flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(resolve);
    loop {
        match openat2(dir, name, how) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Opens a path of any length up to [`LONGEST_PATH`]; the empty path is `root` itself.
pub(super) fn open_path(root: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> nix::Result<OwnedFd> {
    let mut hops: Option<OwnedFd> = None;
    let mut rest = path;
    while rest.len() > HOP {
        let cut = rest[..HOP].iter().rposition(|b| *b == b'/');
        let cut = cut.ok_or(Errno::ENAMETOOLONG)?;
        let at = hops.as_ref().map_or(root, OwnedFd::as_fd);
        hops = Some(open_at(at, &rest[..cut], STAND)?);
        rest = &rest[cut + 1..];
    }
    let at = hops.as_ref().map_or(root, OwnedFd::as_fd);
    let name = if rest.is_empty() { b"." } else { rest };
    open_at(at, name, flags)
}

/// Opens a regular file for reading, also where its mode or a folder's forbids it to its owner.
pub(super) fn open_file(root: BorrowedFd<'_>, path: &[u8]) -> nix::Result<OwnedFd> {
    let fd = match open_path(root, path, READ) {
        Err(Errno::EACCES) => open_locked(root, path, READ)?.0,
        other => other?,
    };
    if is(&fstat(&fd)?, SFlag::S_IFREG) {
        Ok(fd)
    } else {
        Err(Errno::EINVAL)
    }
}

/// Modes are lifted by one thread at a time, so that none takes another's lift for the real mode.
static LIFTING: Mutex<()> = Mutex::new(());

/// Opens what its owner may not read, by lifting modes for the moment of the call; the second
/// value is the thing's own status before that. Only for folders that are belljar's own.
pub(super) fn open_locked(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlag,
) -> nix::Result<(OwnedFd, FileStat)> {
    let _one = LIFTING.lock();
    let mut at = open_at(root, ".", STAND)?;
    if path.is_empty() {
        let lifted = Lifted::new(at, Mode::S_IRWXU)?;
        return finish(lifted.fd(), b".", flags);
    }
    let mut parts = path.split(|b| *b == b'/').peekable();
    while let Some(part) = parts.next() {
        let lifted = Lifted::new(at, Mode::S_IRWXU)?;
        if parts.peek().is_none() {
            return finish(lifted.fd(), part, flags);
        }
        at = open_at(lifted.fd(), part, STAND)?;
    }
    Err(Errno::ENOENT)
}

fn finish(dir: BorrowedFd<'_>, name: &[u8], flags: OFlag) -> nix::Result<(OwnedFd, FileStat)> {
    let look = open_at(dir, name, LOOK)?;
    let status = fstat(&look)?;
    if flags.contains(OFlag::O_PATH) {
        return Ok((look, status));
    }
    if !is(&status, SFlag::S_IFDIR) && !is(&status, SFlag::S_IFREG) {
        return Err(Errno::EACCES);
    }
    let _lifted = Lifted::new(look, Mode::S_IRUSR)?;
    Ok((open_at(dir, name, flags)?, status))
}

/// A thing with more mode bits than it has, until this is dropped.
struct Lifted {
    fd: OwnedFd,
    /// The mode to go back to.
    own: Option<Mode>,
}

impl Lifted {
    fn new(fd: OwnedFd, want: Mode) -> nix::Result<Self> {
        let own = Mode::from_bits_truncate(fstat(&fd)?.st_mode);
        if own.contains(want) {
            return Ok(Self { fd, own: None });
        }
        chmod(&fd, own | want)?;
        Ok(Self { fd, own: Some(own) })
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Lifted {
    fn drop(&mut self) {
        if let Some(own) = self.own {
            // Nothing can be done about a failure here, and the folder is belljar's own.
            let _ = chmod(&self.fd, own);
        }
    }
}

/// `fchmod` of a descriptor that only looks: by its name in `/proc`, which is the thing itself.
fn chmod(fd: &OwnedFd, mode: Mode) -> nix::Result<()> {
    use std::os::fd::AsRawFd as _;
    let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
    fchmodat(AT_FDCWD, name.as_str(), mode, FchmodatFlags::FollowSymlink)
}

/// Whether the status is of this kind of file.
pub(super) fn is(status: &FileStat, kind: SFlag) -> bool {
    status.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}
