//! One file of the host as a manifest of its own: for comparing two files.

use std::os::fd::OwnedFd;

use belljar_model::{Entry, EntryKind, EntryWhen, Label, Manifest, OsText};
use nix::sys::stat::{SFlag, fstat};

use super::beneath::is;
use super::found::ns;
use super::hash::{BUFFER, digests};
use super::written::unchanged;
use super::xattr::attributes;
use super::{CaptureError, SCRATCH_LIST};

/// A manifest of the one regular file that `fd` reads, under the name `path`.
pub fn single(fd: &OwnedFd, path: OsText, run: Label) -> Result<Manifest, CaptureError> {
    let name = path.as_bytes();
    let failed = |e| CaptureError::io("read", name, e);
    let status = fstat(fd).map_err(failed)?;
    if !is(&status, SFlag::S_IFREG) {
        return Err(failed(nix::errno::Errno::EINVAL));
    }
    let size = status.st_size.unsigned_abs();
    let content = digests(fd, size, &mut vec![0; BUFFER]).map_err(failed)?;
    unchanged(fd, &status, content.size, name)?;
    let xattrs = attributes(fd, false).map_err(failed)?.own;
    let entry = Entry {
        kind: EntryKind::File {
            size: content.size,
            blake3: content.blake3,
            sha256: content.sha256,
        },
        mode: status.st_mode & 0o7777,
        xattrs,
        hardlink_group: None,
        scratch: None,
        flag: None,
        when: EntryWhen {
            mtime_ns: ns(status.st_mtime, status.st_mtime_nsec),
        },
        path,
    };
    Ok(Manifest {
        schema: Manifest::SCHEMA.to_owned(),
        run,
        entries: vec![entry],
        scratch_list: SCRATCH_LIST.to_owned(),
        left_out: 0,
        deleted: Vec::new(),
    })
}
