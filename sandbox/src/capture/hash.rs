//! Both digests of a file, in one reading.

use std::os::fd::{AsFd, OwnedFd};

use belljar_model::{Blake3, Sha256};
use nix::errno::Errno;
use nix::unistd::read;
use sha2::Digest as _;

/// Large enough that BLAKE3 uses its widest registers and a call's cost vanishes, small enough
/// to stay in the processor's own cache.
pub(super) const BUFFER: usize = 128 * 1024;

/// Digests of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digests {
    pub(super) size: u64,
    pub(super) blake3: Blake3,
    pub(super) sha256: Sha256,
}

/// Reads `fd` to its end. `size` is what its status says, so that a small file needs one call.
pub(super) fn digests(fd: &OwnedFd, size: u64, buf: &mut [u8]) -> nix::Result<Digests> {
    let mut fast = blake3::Hasher::new();
    let mut wide = sha2::Sha256::new();
    let mut total = 0;
    loop {
        let n = again(fd, buf)?;
        fast.update(&buf[..n]);
        wide.update(&buf[..n]);
        total += n as u64;
        if n == 0 || total == size {
            break;
        }
    }
    Ok(Digests {
        size: total,
        blake3: Blake3(*fast.finalize().as_bytes()),
        sha256: Sha256(wide.finalize().into()),
    })
}

/// Whether both files hold the same bytes.
pub(super) fn same(a: &OwnedFd, b: &OwnedFd, buf: &mut [u8]) -> nix::Result<bool> {
    let (left, right) = buf.split_at_mut(buf.len() / 2);
    loop {
        let n = fill(a, left)?;
        let m = fill(b, right)?;
        if left[..n] != right[..m] {
            return Ok(false);
        }
        if n < left.len() {
            return Ok(true);
        }
    }
}

/// Fills the buffer; less only at the end of the file.
fn fill(fd: impl AsFd, buf: &mut [u8]) -> nix::Result<usize> {
    let mut n = 0;
    while n < buf.len() {
        match again(&fd, &mut buf[n..])? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

/// One `read`, again if a signal broke it.
fn again(fd: impl AsFd, buf: &mut [u8]) -> nix::Result<usize> {
    loop {
        match read(&fd, buf) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}
