//! Window sizes of terminals (ioctl_tty(2)).

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::Result;
use nix::errno::Errno;

/// The size of the terminal at `fd`.
pub fn get_size(fd: BorrowedFd<'_>) -> Result<libc::winsize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: `size` is a whole winsize, which TIOCGWINSZ fills.
    let ret = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    Errno::result(ret).map(|_| size)
}

/// Sets it.
pub fn set_size(fd: BorrowedFd<'_>, size: libc::winsize) -> Result<()> {
    // SAFETY: `size` lives through the call.
    let ret = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    Errno::result(ret).map(drop)
}

/// Standard input for the life of the process.
pub fn standard_input() -> BorrowedFd<'static> {
    // SAFETY: descriptor 0 is opened by the runtime if the caller left it closed, and nothing in
    // this process closes it.
    unsafe { BorrowedFd::borrow_raw(0) }
}
