//! Extended attributes of a file: those that a user sees, and the overlay's own marks.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

use belljar_model::{OsText, Sha256};
use nix::errno::Errno;

use crate::sys::xattr::{fgetxattr, flistxattr};

/// What the attributes say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Attributes {
    /// Those of the file, with digests of their values.
    pub(super) own: BTreeMap<OsText, Sha256>,
    /// The overlay's mark of a folder that hides the one below it.
    pub(super) opaque: bool,
    /// The overlay's mark of a deleted path.
    pub(super) whiteout: bool,
}

/// Reads them. `overlay`: the folder is an overlay's upper, so its marks mean something; in any
/// other folder anybody may write them.
pub(super) fn attributes(fd: &OwnedFd, overlay: bool) -> nix::Result<Attributes> {
    let mut found = Attributes::default();
    for name in names(fd)?.split_inclusive(|b| *b == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        match name.to_bytes() {
            b"user.overlay.opaque" | b"trusted.overlay.opaque" if overlay => {
                found.opaque = value(fd, name)? == b"y";
            }
            b"user.overlay.whiteout" | b"trusted.overlay.whiteout" if overlay => {
                found.whiteout = true;
            }
            bytes if is_own(bytes, overlay) => {
                let digest = Sha256::of(&value(fd, name)?);
                found.own.insert(bytes.into(), digest);
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Whether an attribute is the file's own: what the kernel's modules or root alone write is not,
/// since it depends on the machine.
pub(super) fn is_own(name: &[u8], overlay: bool) -> bool {
    if name.starts_with(b"security.") {
        return name == b"security.capability";
    }
    let mark = name.starts_with(b"trusted.") || (overlay && name.starts_with(b"user.overlay."));
    !mark
}

/// Names, each ended by a NUL; none where the file system has no attributes.
pub(super) fn names(fd: &OwnedFd) -> nix::Result<Vec<u8>> {
    let mut small = [0; 256];
    match flistxattr(fd, &mut small) {
        Ok(n) => return Ok(small[..n].to_vec()),
        Err(Errno::ENOTSUP) => return Ok(Vec::new()),
        Err(Errno::ERANGE) => {}
        Err(e) => return Err(e),
    }
    grown(|buf| flistxattr(fd, buf))
}

/// A value; empty if it is gone meanwhile.
pub(super) fn value(fd: &OwnedFd, name: &CStr) -> nix::Result<Vec<u8>> {
    match grown(|buf| fgetxattr(fd, name, buf)) {
        Err(Errno::ENODATA) => Ok(Vec::new()),
        other => other,
    }
}

/// Asks for a size, then for the bytes; again if it grew in between.
fn grown(ask: impl Fn(&mut [u8]) -> nix::Result<usize>) -> nix::Result<Vec<u8>> {
    loop {
        let size = ask(&mut [])?;
        if size == 0 {
            return Ok(Vec::new());
        }
        let mut buf = vec![0; size];
        match ask(&mut buf) {
            Ok(n) => {
                buf.truncate(n);
                return Ok(buf);
            }
            Err(Errno::ERANGE) => {}
            Err(e) => return Err(e),
        }
    }
}
