//! Extended attributes, by descriptor.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd};

use nix::Result;
use nix::errno::Errno;

/// The names of a file's extended attributes, each ended by a NUL, into `buf`: how many bytes.
/// `ERANGE` if `buf` is too small; an empty `buf` asks for the size.
pub fn flistxattr(fd: impl AsFd, buf: &mut [u8]) -> Result<usize> {
    // SAFETY: the pointer and the length are of one live, writable slice; the kernel writes at
    // most that length. The descriptor is borrowed for the call.
    let n = unsafe {
        libc::flistxattr(
            fd.as_fd().as_raw_fd(),
            buf.as_mut_ptr().cast::<libc::c_char>(),
            buf.len(),
        )
    };
    Errno::result(n).map(isize::unsigned_abs)
}

/// One extended attribute's value into `buf`: how many bytes. `ERANGE` if `buf` is too small; an
/// empty `buf` asks for the size.
pub fn fgetxattr(fd: impl AsFd, name: &CStr, buf: &mut [u8]) -> Result<usize> {
    // SAFETY: `name` is NUL-terminated; the pointer and the length are of one live, writable
    // slice, of which the kernel writes at most that length.
    let n = unsafe {
        libc::fgetxattr(
            fd.as_fd().as_raw_fd(),
            name.as_ptr(),
            buf.as_mut_ptr().cast::<libc::c_void>(),
            buf.len(),
        )
    };
    Errno::result(n).map(isize::unsigned_abs)
}

/// Sets one extended attribute.
pub fn fsetxattr(fd: impl AsFd, name: &CStr, value: &[u8]) -> Result<()> {
    // SAFETY: `name` is NUL-terminated; the kernel reads `value.len()` bytes of a live slice.
    let n = unsafe {
        libc::fsetxattr(
            fd.as_fd().as_raw_fd(),
            name.as_ptr(),
            value.as_ptr().cast::<libc::c_void>(),
            value.len(),
            0,
        )
    };
    Errno::result(n).map(drop)
}
