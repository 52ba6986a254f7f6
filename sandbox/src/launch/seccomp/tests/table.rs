//! What must come out, written down by hand from the headers, not from the data files.

use libc as c;

use super::bpf::Call;
use super::{ALL, ENOSYS, EPERM, Verdict, WALLS, ask};

pub(super) const OK: Verdict = Verdict::Allow;
/// A bit that the kernel does not look at in an int argument.
pub(super) const HIGH: u64 = 1 << 32;

/// Linux 6.15; not in the C library's headers yet.
const OPEN_TREE_ATTR: i64 = 467;

#[track_caller]
pub(super) fn walls(nr: i64, args: &[i64], expected: Verdict) {
    assert_eq!(ask(&WALLS, &call(nr, args)), expected, "{nr}({args:x?})");
}

#[track_caller]
pub(super) fn all(nr: i64, args: &[i64], expected: Verdict) {
    assert_eq!(ask(&ALL, &call(nr, args)), expected, "{nr}({args:x?})");
}

pub(super) fn call(nr: i64, args: &[i64]) -> Call {
    let mut six = [0; 6];
    for (to, from) in six.iter_mut().zip(args) {
        *to = from.cast_unsigned();
    }
    Call::new(nr, six)
}

#[test]
fn what_reaches_out_of_the_sandbox_is_refused_whatever_the_arguments() {
    for nr in [
        // mounts and the root
        c::SYS_mount,
        c::SYS_umount2,
        c::SYS_pivot_root,
        c::SYS_chroot,
        c::SYS_open_tree,
        c::SYS_move_mount,
        c::SYS_fsopen,
        c::SYS_fsconfig,
        c::SYS_fsmount,
        c::SYS_fspick,
        c::SYS_mount_setattr,
        OPEN_TREE_ATTR,
        // namespaces, names, clocks
        c::SYS_setns,
        c::SYS_unshare,
        c::SYS_sethostname,
        c::SYS_setdomainname,
        c::SYS_clock_settime,
        c::SYS_settimeofday,
        c::SYS_adjtimex,
        c::SYS_clock_adjtime,
        // the kernel and the machine
        c::SYS_bpf,
        c::SYS_perf_event_open,
        c::SYS_userfaultfd,
        c::SYS_kexec_load,
        c::SYS_kexec_file_load,
        c::SYS_init_module,
        c::SYS_finit_module,
        c::SYS_delete_module,
        c::SYS_swapon,
        c::SYS_swapoff,
        c::SYS_reboot,
        c::SYS_acct,
        c::SYS_quotactl,
        c::SYS_quotactl_fd,
        c::SYS_syslog,
        c::SYS_vhangup,
        c::SYS_lookup_dcookie,
        // files past their names, other processes, keys
        c::SYS_name_to_handle_at,
        c::SYS_open_by_handle_at,
        c::SYS_fanotify_init,
        c::SYS_fanotify_mark,
        c::SYS_pidfd_getfd,
        c::SYS_process_vm_readv,
        c::SYS_process_vm_writev,
        c::SYS_kcmp,
        c::SYS_move_pages,
        c::SYS_migrate_pages,
        c::SYS_add_key,
        c::SYS_request_key,
        c::SYS_keyctl,
        c::SYS_memfd_secret,
    ] {
        walls(nr, &[], EPERM);
        walls(nr, &[-1, -1, -1, -1, -1, -1], EPERM);
    }
    for nr in [
        c::SYS_io_uring_setup,
        c::SYS_io_uring_enter,
        c::SYS_io_uring_register,
        c::SYS_clone3,
        c::SYS_openat2,
    ] {
        walls(nr, &[], ENOSYS);
    }
}

#[test]
fn a_process_can_be_made_but_not_a_namespace() {
    let flags = i64::from(c::CLONE_VM | c::CLONE_VFORK | c::SIGCHLD);
    let thread = i64::from(
        c::CLONE_VM
            | c::CLONE_FS
            | c::CLONE_FILES
            | c::CLONE_SIGHAND
            | c::CLONE_THREAD
            | c::CLONE_SYSVSEM
            | c::CLONE_SETTLS
            | c::CLONE_PARENT_SETTID
            | c::CLONE_CHILD_CLEARTID,
    );
    walls(c::SYS_clone, &[flags], OK);
    walls(c::SYS_clone, &[thread], OK);
    for namespace in [
        c::CLONE_NEWNS,
        c::CLONE_NEWCGROUP,
        c::CLONE_NEWUTS,
        c::CLONE_NEWIPC,
        c::CLONE_NEWUSER,
        c::CLONE_NEWPID,
        c::CLONE_NEWNET,
    ] {
        walls(c::SYS_clone, &[i64::from(namespace)], EPERM);
        walls(c::SYS_clone, &[flags | i64::from(namespace)], EPERM);
        walls(c::SYS_unshare, &[i64::from(namespace)], EPERM);
    }
    walls(c::SYS_clone3, &[0, 88], ENOSYS);
    walls(c::SYS_setns, &[3, 0], EPERM);
}

#[test]
fn terminals_cannot_be_typed_into() {
    for (request, expected) in [
        (c::TIOCSTI, EPERM),
        (c::TIOCLINUX, EPERM),
        (c::TIOCCONS, EPERM),
        (0x5423, EPERM),
        (c::FIONREAD, OK),
        (c::TIOCGWINSZ, OK),
        (c::TIOCSWINSZ, OK),
        (c::TCGETS, OK),
        (c::TIOCSCTTY, OK),
        (c::TIOCGPTN, OK),
        (c::FIOCLEX, OK),
    ] {
        let request = request.cast_signed();
        walls(c::SYS_ioctl, &[0, request], expected);
        // CVE-2019-10063: the kernel drops the upper half, so a filter must
        walls(c::SYS_ioctl, &[0, request | HIGH.cast_signed()], expected);
    }
}

#[test]
fn files_cannot_be_made_immutable_or_loop_devices() {
    for (request, expected) in [
        (0x4008_6602, EPERM),
        (0x4004_6602, EPERM),
        (0x401c_5820, EPERM), // set flags, three ways
        (0x8008_6601, OK),
        (0x801c_581f, OK), // get flags
        (0x4004_9409, OK),
        (0x4020_940d, OK), // reflinks
        (0xc018_9436, EPERM),
        (0x5000_940e, EPERM),
        (0x9408, EPERM), // FIDEDUPERANGE, BTRFS_IOC_SUBVOL_CREATE, BTRFS_IOC_SYNC
        (0x4c82, EPERM),
        (0x4c00, EPERM), // LOOP_CTL_GET_FREE, LOOP_SET_FD
        (0x4080_6685, EPERM),
        (0x800c_6613, EPERM),
        (0xc050_6617, EPERM), // verity, encryption
    ] {
        walls(c::SYS_ioctl, &[3, request], expected);
    }
}

#[test]
fn set_id_bits_are_refused_wherever_a_filter_sees_a_mode() {
    for mode in [0o4755, 0o2755, 0o6000, 0o7777] {
        walls(c::SYS_fchmod, &[3, mode], EPERM);
        walls(c::SYS_fchmodat, &[3, 0, mode], EPERM);
        walls(452, &[3, 0, mode, 0], EPERM);
        walls(
            c::SYS_openat,
            &[3, 0, i64::from(c::O_CREAT | c::O_WRONLY), mode],
            EPERM,
        );
        walls(
            c::SYS_openat,
            &[3, 0, i64::from(c::O_TMPFILE | c::O_RDWR), mode],
            EPERM,
        );
        walls(c::SYS_mknodat, &[3, 0, i64::from(c::S_IFREG) | mode], EPERM);
        // no file is made: what lies in the mode argument is left over from something else
        walls(c::SYS_openat, &[3, 0, i64::from(c::O_DIRECTORY), mode], OK);
    }
    for mode in [0o644, 0o755, 0o1777, 0] {
        walls(c::SYS_fchmod, &[3, mode], OK);
        walls(c::SYS_fchmodat, &[3, 0, mode], OK);
        walls(c::SYS_openat, &[3, 0, i64::from(c::O_CREAT), mode], OK);
    }
    walls(c::SYS_openat2, &[3, 0, 0, 24], ENOSYS);
}

/// As outside for an ordinary user: fakeroot and tar bear EPERM, and not the EINVAL of an id that has no
/// meaning in the namespace.
#[test]
fn another_owner_is_refused_as_an_ordinary_user_is() {
    const BUILDER: i64 = 1000;
    for (uid, gid, expected) in [
        (0, 0, EPERM),
        (0, -1, EPERM),
        (-1, 0, EPERM),
        (BUILDER, 0, EPERM),
        (65_534, BUILDER, EPERM),
        (BUILDER, BUILDER, OK),
        (BUILDER, -1, OK),
        (-1, BUILDER, OK),
        (-1, -1, OK),
    ] {
        walls(c::SYS_fchown, &[3, uid, gid], expected);
        walls(c::SYS_fchownat, &[3, 0, uid, gid, 0], expected);
        #[cfg(target_arch = "x86_64")]
        for call in [c::SYS_chown, c::SYS_lchown] {
            walls(call, &[0, uid, gid], expected);
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_older_forms_are_held_to_the_same() {
    for mode in [0o4755, 0o2755, 0o6000] {
        walls(c::SYS_chmod, &[0, mode], EPERM);
        walls(c::SYS_creat, &[0, mode], EPERM);
        walls(c::SYS_open, &[0, i64::from(c::O_CREAT), mode], EPERM);
        walls(c::SYS_open, &[0, 0, mode], OK);
        walls(c::SYS_mknod, &[0, i64::from(c::S_IFIFO) | mode], EPERM);
    }
    walls(c::SYS_mknod, &[0, i64::from(c::S_IFBLK) | 0o600], EPERM);
    walls(c::SYS_mknod, &[0, i64::from(c::S_IFIFO) | 0o600], OK);
    walls(c::SYS_iopl, &[3], EPERM);
    walls(c::SYS_modify_ldt, &[1], ENOSYS);
}

#[test]
fn fifos_but_no_devices() {
    for (kind, expected) in [
        (c::S_IFCHR, EPERM),
        (c::S_IFBLK, EPERM),
        (c::S_IFIFO, OK),
        (c::S_IFSOCK, OK),
        (c::S_IFREG, OK),
        (0, OK),
    ] {
        walls(c::SYS_mknodat, &[3, 0, i64::from(kind) | 0o644], expected);
    }
}

#[test]
fn sockets_by_family_type_and_protocol() {
    let both = i64::from(c::SOCK_CLOEXEC | c::SOCK_NONBLOCK);
    for flags in [
        0,
        i64::from(c::SOCK_CLOEXEC),
        i64::from(c::SOCK_NONBLOCK),
        both,
        HIGH.cast_signed(),
    ] {
        let socket = |family: i32, kind: i32, protocol: i32, expected| {
            walls(
                c::SYS_socket,
                &[
                    i64::from(family),
                    i64::from(kind) | flags,
                    i64::from(protocol),
                ],
                expected,
            );
        };
        for kind in [c::SOCK_STREAM, c::SOCK_DGRAM, c::SOCK_SEQPACKET] {
            socket(c::AF_UNIX, kind, 0, OK);
        }
        for family in [c::AF_INET, c::AF_INET6] {
            socket(family, c::SOCK_STREAM, 0, OK);
            socket(family, c::SOCK_STREAM, c::IPPROTO_TCP, OK);
            socket(family, c::SOCK_DGRAM, c::IPPROTO_UDP, OK);
            for kind in [c::SOCK_RAW, 10, c::SOCK_SEQPACKET, c::SOCK_RDM, 6, 0, 15] {
                socket(family, kind, 0, EPERM);
                socket(family, kind, c::IPPROTO_UDP, EPERM);
            }
            for protocol in [
                c::IPPROTO_ICMP,
                c::IPPROTO_ICMPV6,
                c::IPPROTO_SCTP,
                c::IPPROTO_UDPLITE,
                c::IPPROTO_MPTCP,
                255,
                256,
            ] {
                socket(family, c::SOCK_STREAM, protocol, EPERM);
                socket(family, c::SOCK_DGRAM, protocol, EPERM);
            }
        }
        socket(c::AF_NETLINK, c::SOCK_RAW, 0, OK);
        for protocol in 1..23 {
            socket(c::AF_NETLINK, c::SOCK_RAW, protocol, EPERM);
        }
        for family in
            (0..64).filter(|f| ![c::AF_UNIX, c::AF_INET, c::AF_INET6, c::AF_NETLINK].contains(f))
        {
            socket(family, c::SOCK_STREAM, 0, EPERM);
            socket(family, c::SOCK_RAW, 0, EPERM);
        }
    }
    walls(c::SYS_socketpair, &[i64::from(c::AF_UNIX), 1, 0], OK);
    walls(c::SYS_socketpair, &[i64::from(c::AF_TIPC), 1, 0], EPERM);
    walls(
        c::SYS_setsockopt,
        &[3, i64::from(c::IPPROTO_TCP), 31],
        EPERM,
    );
    walls(
        c::SYS_setsockopt,
        &[3, i64::from(c::IPPROTO_TCP), i64::from(c::TCP_NODELAY)],
        OK,
    );
    walls(c::SYS_setsockopt, &[3, i64::from(c::SOL_SOCKET), 31], OK);
    for option in [29, 35, 37, 63, 64, 65] {
        walls(
            c::SYS_setsockopt,
            &[3, i64::from(c::SOL_SOCKET), option],
            EPERM,
        );
        walls(c::SYS_setsockopt, &[3, 0, option], OK);
    }
    for request in [0x8906, 0x8907, 0x8010_8906, 0x8010_8907] {
        walls(c::SYS_ioctl, &[3, request, 0x1000], EPERM);
    }
    for map in [0x2001, 0x2002, 0x2003] {
        walls(c::SYS_arch_prctl, &[map, 0], EPERM);
    }
    walls(c::SYS_arch_prctl, &[0x1002, 0x1000], OK);
}

#[test]
fn personality_and_prctl() {
    for (persona, expected) in [
        (0, OK),
        (0xffff_ffff, OK),
        (-1, OK),
        (0x004_0000, OK),
        (0x040_0000, EPERM),
        (0x044_0000, EPERM),
        (8, EPERM),
    ] {
        walls(c::SYS_personality, &[persona], expected);
    }
    for (option, expected) in [
        (c::PR_SET_MM, EPERM),
        (c::PR_SET_SECUREBITS, EPERM),
        (c::PR_MCE_KILL, EPERM),
        (57, EPERM),
        (62, EPERM),
        (c::PR_SET_NAME, OK),
        (c::PR_SET_PDEATHSIG, OK),
        (c::PR_SET_NO_NEW_PRIVS, OK),
        (c::PR_SET_CHILD_SUBREAPER, OK),
    ] {
        walls(c::SYS_prctl, &[i64::from(option)], expected);
    }
}
