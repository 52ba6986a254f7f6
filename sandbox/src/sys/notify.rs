//! The ioctls of a seccomp listener.

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_ulong, seccomp_notif, seccomp_notif_resp, seccomp_notif_sizes};
use nix::Result;
use nix::errno::Errno;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`, which libc lacks.
const SYNC_WAKE_UP: c_ulong = 1;

/// Room for one notification and one answer, as large as the running kernel wants them.
#[derive(Debug)]
pub struct Buffers {
    request: Vec<u64>,
    reply: Vec<u64>,
}

impl Buffers {
    /// Asks the kernel for its sizes: a newer kernel may have longer structures than this build knows.
    pub fn new() -> Result<Self> {
        let mut sizes = seccomp_notif_sizes {
            seccomp_notif: 0,
            seccomp_notif_resp: 0,
            seccomp_data: 0,
        };
        // SAFETY: the operation writes one `seccomp_notif_sizes` at the pointer, which is valid for it.
        let rc = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_GET_NOTIF_SIZES,
                0,
                ptr::from_mut(&mut sizes),
            )
        };
        Errno::result(rc)?;
        let words = |kernel: u16, ours: usize| usize::from(kernel).max(ours).div_ceil(8);
        Ok(Self {
            request: vec![0; words(sizes.seccomp_notif, size_of::<seccomp_notif>())],
            reply: vec![0; words(sizes.seccomp_notif_resp, size_of::<seccomp_notif_resp>())],
        })
    }
}

/// Takes the next notification, waiting for it; `ENOENT`: the target is gone meanwhile.
pub fn receive(listener: BorrowedFd<'_>, buffers: &mut Buffers) -> Result<seccomp_notif> {
    // The kernel refuses a buffer that is not all zero.
    buffers.request.fill(0);
    // SAFETY: the buffer is as large as the kernel's own structure, zeroed and aligned to 8.
    let rc = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_RECV,
            buffers.request.as_mut_ptr(),
        )
    };
    Errno::result(rc)?;
    // SAFETY: the buffer holds at least a `seccomp_notif`, a plain structure that the kernel wrote.
    Ok(unsafe { ptr::read(buffers.request.as_ptr().cast()) })
}

/// Answers; `ENOENT`: the target is gone or was woken by a signal.
pub fn answer(
    listener: BorrowedFd<'_>,
    buffers: &mut Buffers,
    reply: &seccomp_notif_resp,
) -> Result<()> {
    buffers.reply.fill(0);
    // SAFETY: the buffer holds at least a `seccomp_notif_resp`, a plain structure, and is aligned to 8.
    unsafe { ptr::write(buffers.reply.as_mut_ptr().cast(), *reply) };
    // SAFETY: the buffer is as large as the kernel's own structure.
    let rc = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND,
            buffers.reply.as_mut_ptr(),
        )
    };
    Errno::result(rc).map(drop)
}

/// Whether the call `id` still waits for its answer, so that what was read under its thread id was
/// its own; `ENOENT` if not.
pub fn check_id(listener: BorrowedFd<'_>, id: u64) -> Result<()> {
    // SAFETY: the ioctl reads one u64 at the pointer.
    let rc = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_ID_VALID,
            ptr::from_ref(&id),
        )
    };
    Errno::result(rc).map(drop)
}

/// Makes the kernel run the other side at once on the same CPU; `EINVAL` before Linux 6.6.
pub fn wake_synchronously(listener: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the ioctl takes its flags by value.
    let rc = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
            SYNC_WAKE_UP,
        )
    };
    Errno::result(rc).map(drop)
}
