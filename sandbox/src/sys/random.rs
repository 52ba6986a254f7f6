//! getrandom(2).

use nix::Result;
use nix::errno::Errno;

/// Fills `buf` (at most 256 bytes, which the kernel never cuts short) with random bytes.
pub fn getrandom(buf: &mut [u8]) -> Result<()> {
    loop {
        // SAFETY: the pointer and the length are those of one live slice.
        let got = unsafe { libc::getrandom(buf.as_mut_ptr().cast(), buf.len(), 0) };
        match Errno::result(got) {
            Ok(n) if usize::try_from(n) == Ok(buf.len()) => return Ok(()),
            Ok(_) => return Err(Errno::EIO),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}
