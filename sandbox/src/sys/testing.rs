//! Starts a program under a small seccomp filter and hands its listener over: for tests alone.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr;

use libc::{sock_filter, sock_fprog};
use nix::unistd::Pid;

use super::net::take_descriptor;
use super::process::pidfd_open;

/// Makes `command` install `filter` with a listener just before its exec, starts it, and returns
/// the listener. Until it is served, the first trapped call of the new program waits.
pub(crate) fn spawn_trapped(
    command: &mut Command,
    filter: Vec<sock_filter>,
) -> io::Result<(Child, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    let socket = theirs.as_raw_fd();
    // SAFETY: between fork and exec the closure makes system calls only; `filter` was allocated before.
    unsafe {
        command.pre_exec(move || {
            let listener = install(&filter)?;
            offer(socket, listener)
        });
    }
    // `spawn` waits for the exec, so another thread takes the listener meanwhile.
    let taker = std::thread::spawn(move || take(ours));
    let child = command.spawn();
    drop(theirs);
    let listener = taker.join().map_err(|_| io::ErrorKind::Other)?;
    Ok((child?, listener?))
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

/// Says where the descriptor is and waits until it was taken, by calls that no test traps (sendmsg,
/// which passes descriptors, is trapped by some). Async-signal-safe: no allocation.
fn offer(socket: RawFd, fd: RawFd) -> io::Result<()> {
    // SAFETY: takes nothing.
    let pid = unsafe { libc::getpid() };
    let offer = [pid.to_ne_bytes(), fd.to_ne_bytes()];
    // SAFETY: `offer` is 8 bytes.
    let put = unsafe { libc::write(socket, offer.as_ptr().cast(), 8) };
    let mut taken = 0u8;
    // SAFETY: `taken` is one byte.
    let got = unsafe { libc::read(socket, ptr::from_mut(&mut taken).cast(), 1) };
    match (put, got) {
        (8, 1) => Ok(()),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

fn take(mut socket: UnixStream) -> io::Result<OwnedFd> {
    let mut pid = [0; 4];
    let mut fd = [0; 4];
    socket.read_exact(&mut pid)?;
    socket.read_exact(&mut fd)?;
    let process = pidfd_open(Pid::from_raw(i32::from_ne_bytes(pid))).map_err(io::Error::from)?;
    let listener = take_descriptor(process.as_fd(), i32::from_ne_bytes(fd));
    socket.write_all(b"t")?;
    listener.map_err(io::Error::from)
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
