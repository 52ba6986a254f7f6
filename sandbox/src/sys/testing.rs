//! Starts a program under a seccomp filter and hands its listener over: for tests alone.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread::JoinHandle;

use libc::sock_filter;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;

use super::pidfd;
use super::process::pidfd_open;
use super::seccomp::add_filter_with_listener;

/// Starts `command` so that its process lays filters with a listener by `install` and then runs
/// `before_exec`; returns the listener at once, and what waits for the exec. Until the listener is served,
/// the first trapped call waits.
pub(crate) fn spawn_trapped(
    mut command: Command,
    install: impl FnMut() -> nix::Result<OwnedFd> + Send + Sync + 'static,
    before_exec: impl FnMut() + Send + Sync + 'static,
) -> io::Result<(Starting, OwnedFd)> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    let (mut install, mut before_exec) = (install, before_exec);
    let theirs = Arc::new(theirs);
    let socket = Arc::clone(&theirs);
    // SAFETY: the C library makes its allocator usable in the child; the closures take no other
    // lock that a thread of the test runner may hold.
    unsafe {
        command.pre_exec(move || {
            let listener = install()?;
            hand_over(&socket, &listener)?;
            drop(listener);
            before_exec();
            Ok(())
        });
    }
    // `spawn` returns after the exec, which may itself wait for the listener to be served.
    let starting = std::thread::spawn(move || {
        let child = command.spawn();
        // The closure holds the other end; with both gone, the wait for a listener ends.
        drop((command, theirs));
        child
    });
    match take_over(&ours) {
        Ok(listener) => Ok((Starting(starting), listener)),
        Err(e) => Err(Starting(starting).child().err().unwrap_or(e)),
    }
}

/// The same with one small filter.
pub(crate) fn spawn_filtered(
    command: Command,
    filter: Vec<sock_filter>,
) -> io::Result<(Starting, OwnedFd)> {
    let install = move || {
        nix::sys::prctl::set_no_new_privs()?;
        add_filter_with_listener(&filter)
    };
    spawn_trapped(command, install, || ())
}

/// A process on its way to its exec.
pub(crate) struct Starting(JoinHandle<io::Result<Child>>);

impl Starting {
    /// The process, once it has made its exec.
    pub(crate) fn child(self) -> io::Result<Child> {
        self.0
            .join()
            .map_err(|_| io::Error::other("the starting thread panicked"))?
    }
}

/// In the new process: says which descriptor is the listener, and waits until it is copied. By
/// write and read, since a call that passes descriptors may be trapped itself.
fn hand_over(socket: &OwnedFd, listener: &OwnedFd) -> io::Result<()> {
    let mut message = [0; 8];
    message[..4].copy_from_slice(&nix::unistd::getpid().as_raw().to_ne_bytes());
    message[4..].copy_from_slice(&listener.as_raw_fd().to_ne_bytes());
    nix::unistd::write(socket, &message)?;
    nix::unistd::read(socket, &mut message)?;
    Ok(())
}

fn take_over(socket: &OwnedFd) -> io::Result<OwnedFd> {
    let mut message = [0; 8];
    if nix::unistd::read(socket, &mut message)? != message.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let [p0, p1, p2, p3, f0, f1, f2, f3] = message;
    let process = pidfd_open(Pid::from_raw(i32::from_ne_bytes([p0, p1, p2, p3])))?;
    let number = i32::from_ne_bytes([f0, f1, f2, f3]);
    let listener = pidfd::copy_descriptor(process.as_fd(), number)?;
    nix::unistd::write(socket, &[0])?;
    Ok(listener)
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
