//! Calls with arguments that are right, so that they work where no wall is.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions, Permissions};
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use libc as c;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::pty::openpty;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{chroot, sethostname, setsid};

use crate::sys::probe::raw;

/// Makes them, and writes a line of what the kernel said to each. `(host)` marks those that the
/// host's settings or its kernel's configuration may refuse too.
pub(super) fn make_calls(folder: &Path, text: &mut String) {
    let mut say = |name: &str, result: Result<(), Errno>| {
        let answer = result.map_or_else(|e| format!("{e:?}"), |()| "ok".into());
        let _ = writeln!(text, "{name}: {answer}");
    };
    files(folder, &mut say);
    namespaces(folder, &mut say);
    processes(&mut say);
    sockets(&mut say);
    devices(folder, &mut say);
}

type Say<'a> = &'a mut dyn FnMut(&str, Result<(), Errno>);

fn by_number(nr: i64, args: &[u64]) -> Result<(), Errno> {
    let mut six = [0; 6];
    six[..args.len()].copy_from_slice(args);
    match raw(nr, six) {
        errno @ -4095..=-1 => Err(Errno::from_raw(i32::try_from(-errno).expect("an errno"))),
        _ => Ok(()),
    }
}

fn files(folder: &Path, say: Say<'_>) {
    let errno = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(0));
    let file = folder.join("file");
    File::create(&file).expect("a plain file");
    for mode in [0o4755, 0o2755] {
        let mut options = OpenOptions::new();
        let new = options.write(true).create_new(true).mode(mode);
        let new = new.open(folder.join(format!("{mode:o}")));
        say("create with a set-id bit", new.map(drop).map_err(errno));
        let set = std::fs::set_permissions(&file, Permissions::from_mode(mode));
        say("set a set-id bit", set.map_err(errno));
    }
    let node = mknod(&folder.join("node"), SFlag::S_IFCHR, Mode::S_IRUSR, 0);
    say("device node", node);
}

fn namespaces(folder: &Path, say: Say<'_>) {
    let none = None::<&str>;
    let point = folder.join("mount point");
    std::fs::create_dir(&point).expect("a folder");
    say(
        "mount",
        mount(none, &point, Some("tmpfs"), MsFlags::empty(), none),
    );
    say(
        "fsopen",
        by_number(c::SYS_fsopen, &[c"tmpfs".as_ptr() as u64]),
    );
    say("chroot", chroot("/"));
    say("unshare", unshare(CloneFlags::CLONE_NEWUTS));
    let flags = i64::from(c::CLONE_NEWUTS | c::SIGCHLD).cast_unsigned();
    say("clone into a namespace", by_number(c::SYS_clone, &[flags]));
    let own = File::open("/proc/self/ns/uts").expect("a namespace");
    say("setns", setns(own, CloneFlags::CLONE_NEWUTS));
    say("sethostname", sethostname("other"));
    say("personality", by_number(c::SYS_personality, &[0x0040_0000]));
    let mut timex = [0u64; 64];
    say(
        "adjtimex",
        by_number(c::SYS_adjtimex, &[timex.as_mut_ptr() as u64]),
    );
}

fn processes(say: Say<'_>) {
    let pid = u64::from(std::process::id());
    let (from, mut to) = ([7u8; 8], [0u8; 8]);
    let remote = [from.as_ptr() as u64, 8];
    let local = [to.as_mut_ptr() as u64, 8];
    let (remote, local) = (remote.as_ptr() as u64, local.as_ptr() as u64);
    say(
        "process_vm_readv",
        by_number(c::SYS_process_vm_readv, &[pid, local, 1, remote, 1]),
    );
    say(
        "process_vm_writev",
        by_number(c::SYS_process_vm_writev, &[pid, remote, 1, local, 1]),
    );
    say("kcmp (host)", by_number(c::SYS_kcmp, &[pid, pid]));
    let pidfd = raw(c::SYS_pidfd_open, [pid, 0, 0, 0, 0, 0]).cast_unsigned();
    say("pidfd_getfd", by_number(c::SYS_pidfd_getfd, &[pidfd]));
    say("move_pages", by_number(c::SYS_move_pages, &[]));
    let session = i64::from(c::KEY_SPEC_SESSION_KEYRING).cast_unsigned();
    say("keyctl (host)", by_number(c::SYS_keyctl, &[0, session, 1]));
    say("userfaultfd (host)", by_number(c::SYS_userfaultfd, &[1]));
    say("memfd_secret (host)", by_number(c::SYS_memfd_secret, &[]));
}

fn sockets(say: Say<'_>) {
    for (name, family, kind, protocol) in [
        (
            "raw socket",
            c::AF_INET,
            c::SOCK_RAW | c::SOCK_CLOEXEC,
            c::IPPROTO_ICMP,
        ),
        (
            "uevents",
            c::AF_NETLINK,
            c::SOCK_RAW,
            c::NETLINK_KOBJECT_UEVENT,
        ),
        ("packet socket (host)", c::AF_PACKET, c::SOCK_RAW, 0),
        ("kernel crypto (host)", c::AF_ALG, c::SOCK_SEQPACKET, 0),
        ("vsock (host)", c::AF_VSOCK, c::SOCK_STREAM, 0),
        ("MPTCP (host)", c::AF_INET, c::SOCK_STREAM, c::IPPROTO_MPTCP),
        (
            "UDP-Lite (host)",
            c::AF_INET6,
            c::SOCK_DGRAM,
            c::IPPROTO_UDPLITE,
        ),
    ] {
        let args = [family, kind, protocol].map(|n| i64::from(n).cast_unsigned());
        say(name, by_number(c::SYS_socket, &args));
    }
}

fn devices(folder: &Path, say: Say<'_>) {
    let request = |fd: i32, request: u64, argument: u64| {
        by_number(
            c::SYS_ioctl,
            &[i64::from(fd).cast_unsigned(), request, argument],
        )
    };
    let file = File::create(folder.join("flags")).expect("a plain file");
    let flags = 0u64;
    let set_flags = request(
        file.as_raw_fd(),
        c::FS_IOC_SETFLAGS,
        &raw const flags as u64,
    );
    say("inode flags (host)", set_flags);
    // closed only when this process ends: it is about to lead a session, which a hang-up would end
    let tty = ManuallyDrop::new(openpty(None, None).expect("a terminal"));
    let tty = tty.slave.as_raw_fd();
    let leads = setsid().and(request(tty, c::TIOCSCTTY, 0));
    leads.expect("a controlling terminal");
    let key = c"x".as_ptr() as u64;
    say("TIOCSTI (host)", request(tty, c::TIOCSTI, key));
    say(
        "TIOCSTI with a high bit (host)",
        request(tty, c::TIOCSTI | 1 << 32, key),
    );
}
