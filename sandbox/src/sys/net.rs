//! Socket calls with any family, any protocol and any bytes as an address: what probes try, and
//! what typed wrappers rightly refuse.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use nix::Result;
use nix::errno::Errno;

fn length(address: &[u8]) -> Result<libc::socklen_t> {
    libc::socklen_t::try_from(address.len()).map_err(|_| Errno::EINVAL)
}

/// Opens a socket by number, close-on-exec and non-blocking.
pub fn socket(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd> {
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes only integers.
    let fd = Errno::result(unsafe { libc::socket(family, kind, protocol) })?;
    // SAFETY: the kernel just made this descriptor; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Datagrams that this socket had no room for: `SO_MEMINFO` of socket(7), since Linux 4.12.
pub fn dropped(socket: BorrowedFd<'_>) -> Result<u32> {
    const DROPS: usize = libc::SK_MEMINFO_DROPS as usize;
    let mut info = [0u32; DROPS + 1];
    let mut len = length(&[0; (DROPS + 1) * size_of::<u32>()])?;
    // SAFETY: the kernel writes at most `len` bytes, the size of `info`.
    let rc = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    Errno::result(rc).map(|_| info[DROPS])
}

/// connect(2) with these bytes.
pub fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> Result<()> {
    let len = length(address)?;
    // SAFETY: the kernel reads `len` bytes at the pointer, at any alignment.
    let rc = unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), len) };
    Errno::result(rc).map(drop)
}

/// bind(2) with these bytes.
pub fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> Result<()> {
    let len = length(address)?;
    // SAFETY: the kernel reads `len` bytes at the pointer, at any alignment.
    let rc = unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), len) };
    Errno::result(rc).map(drop)
}

/// sendto(2) to these bytes.
pub fn send_to(socket: BorrowedFd<'_>, data: &[u8], flags: i32, address: &[u8]) -> Result<()> {
    let len = length(address)?;
    // SAFETY: the kernel reads `data` and `len` bytes of the address, at any alignment.
    let rc = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            data.as_ptr().cast(),
            data.len(),
            flags | libc::MSG_NOSIGNAL,
            address.as_ptr().cast(),
            len,
        )
    };
    Errno::result(rc).map(drop)
}

/// A message of one piece to one address. The kernel only reads what it points to.
fn message(part: &mut libc::iovec, address: &[u8]) -> Result<libc::msghdr> {
    // SAFETY: all zero is a valid msghdr: no address, no data, no control.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = address.as_ptr().cast_mut().cast();
    header.msg_namelen = length(address)?;
    header.msg_iov = ptr::from_mut(part);
    header.msg_iovlen = 1;
    Ok(header)
}

fn part(data: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: data.as_ptr().cast_mut().cast(),
        iov_len: data.len(),
    }
}

/// sendmsg(2) to these bytes.
pub fn send_message(socket: BorrowedFd<'_>, data: &[u8], address: &[u8]) -> Result<()> {
    let mut part = part(data);
    let header = message(&mut part, address)?;
    // SAFETY: the header points to live memory of the lengths that it says, which is only read.
    let rc = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
    Errno::result(rc).map(drop)
}

/// sendmmsg(2) with one message to these bytes.
pub fn send_messages(socket: BorrowedFd<'_>, data: &[u8], address: &[u8]) -> Result<()> {
    let mut part = part(data);
    let mut header = libc::mmsghdr {
        msg_hdr: message(&mut part, address)?,
        msg_len: 0,
    };
    // SAFETY: one header, which points to live memory of the lengths that it says; the kernel
    // writes the number of bytes sent into the header.
    let rc = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            &raw mut header,
            1,
            libc::MSG_NOSIGNAL as _,
        )
    };
    Errno::result(rc).map(drop)
}

/// Lets a socket send to broadcast addresses.
pub fn allow_broadcast(socket: BorrowedFd<'_>) -> Result<()> {
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Broadcast, &true)
}

/// io_uring_setup(2) with the least that it takes; the ring, if there is one, is closed at once.
pub fn io_uring() -> Result<()> {
    // `struct io_uring_params` is 120 bytes.
    let mut params = [0u64; 15];
    // SAFETY: the kernel reads and writes one `io_uring_params` at the pointer.
    let fd =
        Errno::result(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr()) })?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel just made this descriptor; nobody else knows it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}

/// The kernel's name of a socket's protocol, by the path of one of its descriptors in `/proc`.
pub fn protocol_name<'a>(path: &CStr, room: &'a mut [u8; 32]) -> Result<&'a [u8]> {
    // SAFETY: the strings end in NUL and the kernel writes at most the length of `room`.
    let len = Errno::result(unsafe {
        libc::getxattr(
            path.as_ptr(),
            c"system.sockprotoname".as_ptr(),
            room.as_mut_ptr().cast(),
            room.len(),
        )
    })?;
    let name = &room[..usize::try_from(len).map_err(|_| Errno::EINVAL)?.min(32)];
    Ok(name.strip_suffix(b"\0").unwrap_or(name))
}
