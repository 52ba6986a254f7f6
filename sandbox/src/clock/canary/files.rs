//! The canary's look at the times of a file that it makes and sets.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{fstat, fstatat, futimens, stat};
use nix::sys::time::TimeSpec;

use super::super::own;
use super::{Expect, NANOS};

/// Seconds in a day.
const DAY: i64 = 86_400;

/// `AT_SYMLINK_NOFOLLOW`
const NO_FOLLOW: usize = 0x100;

/// Each way of asking, and whether it saw the file's times where the clock is.
pub(super) fn readers(made: &Expect, offset_s: i64) -> Vec<(&'static str, bool)> {
    let names = [
        "file stat",
        "file fstat",
        "file fstatat",
        "syscall stat",
        "syscall lstat",
        "syscall fstat",
        "syscall newfstatat",
        "syscall statx",
        "file times now",
        "file times set",
    ];
    let saw = look(made, offset_s).unwrap_or([false; 10]);
    names.into_iter().zip(saw).collect()
}

fn look(made: &Expect, offset_s: i64) -> nix::Result<[bool; 10]> {
    // In memory, with times as any file has.
    let file = memfd_create(c"canary", MFdFlags::MFD_CLOEXEC)?;
    let fresh = |read: &dyn Fn() -> Option<i64>| {
        // Written for each look, so that its time is the look's.
        made.holds(|| {
            nix::unistd::write(&file, b"x").ok()?;
            read()?.checked_mul(NANOS)
        })
    };
    let number = usize::try_from(file.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    let path = path_of(&file)?;
    let at = path.as_ptr().expose_provenance();
    let here = usize::MAX - 99; // AT_FDCWD
    let raw = |nr, args| move || own::raw_status(nr, args);
    let seen = [
        fresh(&|| stat(path.as_c_str()).ok().map(|s| s.st_mtime)),
        fresh(&|| fstat(&file).ok().map(|s| s.st_mtime)),
        fresh(&|| {
            let status = fstatat(&file, "", AtFlags::AT_EMPTY_PATH);
            status.ok().map(|s| s.st_mtime)
        }),
        fresh(&raw(libc::SYS_stat, [at, 0, 0, 0])),
        fresh(&|| {
            // Of the link, which is as old as the first look at it.
            let link = own::raw_status(libc::SYS_lstat, [at, 0, 0, 0])?;
            let same = own::raw_status(libc::SYS_newfstatat, [here, at, 0, NO_FOLLOW])?;
            (link == same).then(|| fstat(&file).ok().map(|s| s.st_mtime))?
        }),
        fresh(&raw(libc::SYS_fstat, [number, 0, 0, 0])),
        fresh(&raw(libc::SYS_newfstatat, [here, at, 0, 0])),
        fresh(&raw(libc::SYS_statx, [here, at, 0, 0x7ff])),
        fresh(&|| {
            futimens(&file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW).ok()?;
            fstat(&file).ok().map(|s| s.st_mtime)
        }),
        fresh(&|| {
            let now = fstat(&file).ok()?.st_mtime;
            is_kept(&file, now, offset_s)
                .unwrap_or(false)
                .then_some(now)
        }),
    ];
    Ok(seen)
}

fn path_of(file: &OwnedFd) -> nix::Result<CString> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    CString::new(path).map_err(|_| Errno::EINVAL)
}

/// Whether times that are set are read back: long ago, between the real and the moved now, ahead.
fn is_kept(file: &OwnedFd, now: i64, offset_s: i64) -> nix::Result<bool> {
    for seconds in [1, now - DAY, now - offset_s / 2, now, now + DAY] {
        let time = TimeSpec::new(seconds, 7);
        futimens(file, &time, &time)?;
        let status = fstat(file)?;
        if (status.st_mtime, status.st_atime, status.st_mtime_nsec) != (seconds, seconds, 7) {
            return Ok(false);
        }
    }
    Ok(true)
}
