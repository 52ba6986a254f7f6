//! Starts a program under a small seccomp filter and hands its listener over: for tests alone.

use std::io;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr;

use libc::{sock_filter, sock_fprog};
use nix::cmsg_space;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, socketpair,
};

/// Makes `command` install `filter` with a listener just before its exec, starts it, and returns
/// the listener. Until it is served, the first trapped call of the new program waits.
pub(crate) fn spawn_trapped(
    command: &mut Command,
    filter: Vec<sock_filter>,
) -> io::Result<(Child, OwnedFd)> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    let socket = theirs.as_raw_fd();
    // SAFETY: between fork and exec the closure makes system calls only; `filter` was allocated before.
    unsafe {
        command.pre_exec(move || {
            let listener = install(&filter)?;
            send_descriptor(socket, listener)
        });
    }
    let child = command.spawn()?;
    drop(theirs);
    let listener = receive_descriptor(&ours)?;
    Ok((child, listener))
}

fn install(filter: &[sock_filter]) -> io::Result<RawFd> {
    let program = sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: takes only integers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `program` and the instructions that it points to live through the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            ptr::from_ref(&program),
        )
    };
    RawFd::try_from(fd)
        .ok()
        .filter(|&fd| fd >= 0)
        .ok_or_else(io::Error::last_os_error)
}

/// Async-signal-safe: no allocation.
fn send_descriptor(socket: RawFd, fd: RawFd) -> io::Result<()> {
    #[repr(C, align(8))]
    struct Control([u8; 24]);
    let mut control = Control([0; 24]);
    let mut byte = 0u8;
    let mut iov = libc::iovec {
        iov_base: ptr::from_mut(&mut byte).cast(),
        iov_len: 1,
    };
    // SAFETY: all zero is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    // SAFETY: the control buffer is aligned and holds one header and one descriptor (24 bytes).
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
        ptr::write_unaligned(libc::CMSG_DATA(header).cast(), fd);
    }
    // SAFETY: `message` points to live buffers.
    match unsafe { libc::sendmsg(socket, &raw const message, 0) } {
        1 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn receive_descriptor(socket: &OwnedFd) -> io::Result<OwnedFd> {
    let mut byte = [0u8; 1];
    let mut iov = [IoSliceMut::new(&mut byte)];
    let mut space = cmsg_space!(RawFd);
    let message = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut iov,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control
            && let [fd] = fds[..]
        {
            // SAFETY: the kernel just made this descriptor for this process; nobody else knows it.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// Notifies on these numbers and allows the rest.
pub(crate) fn trap(numbers: &[i64]) -> Vec<sock_filter> {
    let ins = |code: u32, jt: u8, jf: u8, k: u32| sock_filter {
        code: u16::try_from(code).expect("an opcode"),
        jt,
        jf,
        k,
    };
    let mut filter = vec![ins(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    for &nr in numbers {
        let nr = u32::try_from(nr).expect("a system call number");
        filter.push(ins(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, nr));
        filter.push(ins(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_USER_NOTIF,
        ));
    }
    filter.push(ins(
        libc::BPF_RET | libc::BPF_K,
        0,
        0,
        libc::SECCOMP_RET_ALLOW,
    ));
    filter
}
