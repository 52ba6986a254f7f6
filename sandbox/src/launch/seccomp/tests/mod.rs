//! The filters, against the data they are made of, against a table written by hand, and on the real
//! kernel.

mod bpf;
mod calls;
mod data;
mod kernel;
mod lists;
mod seen;
mod table;

use std::str::FromStr as _;

use libc::sock_filter;
#[cfg(target_arch = "aarch64")]
use syscalls::aarch64::Sysno;
#[cfg(target_arch = "x86_64")]
use syscalls::x86_64::Sysno;

use super::filters::{ALLOW, INIT, KNOWN_BAD, OBSERVE, OBSERVE_AND_CLOCK, PROXY, PROXY_THAT_DIALS};

/// What the kernel does with a call, after all filters have spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allow,
    Notify,
    Errno(i32),
    Kill,
}

impl From<u32> for Verdict {
    fn from(action: u32) -> Self {
        match action & libc::SECCOMP_RET_ACTION_FULL {
            libc::SECCOMP_RET_ALLOW => Self::Allow,
            libc::SECCOMP_RET_USER_NOTIF => Self::Notify,
            libc::SECCOMP_RET_ERRNO => {
                let errno = action & libc::SECCOMP_RET_DATA;
                Self::Errno(i32::try_from(errno).expect("16 bits"))
            }
            libc::SECCOMP_RET_KILL_PROCESS => Self::Kill,
            other => panic!("no filter here should say {other:#x}"),
        }
    }
}

/// The walls, in the order of their installation.
const WALLS: [&[sock_filter]; 2] = [&ALLOW, &KNOWN_BAD];

/// All filters of a run with the clock moved.
const ALL: [&[sock_filter]; 3] = [&ALLOW, &KNOWN_BAD, &OBSERVE_AND_CLOCK];

const EPERM: Verdict = Verdict::Errno(libc::EPERM);
const ENOSYS: Verdict = Verdict::Errno(libc::ENOSYS);

/// Asks the filters as the kernel does: from the newest to the oldest, and the first of the strictest
/// answers counts.
fn ask(filters: &[&[sock_filter]], call: &bpf::Call) -> Verdict {
    let strictness = |action: u32| (action & libc::SECCOMP_RET_ACTION_FULL).cast_signed();
    let answers = filters.iter().rev().map(|filter| bpf::run(filter, call));
    answers
        .min_by_key(|action| strictness(*action))
        .expect("at least one filter")
        .into()
}

/// The number of a call on this architecture.
fn number(name: &str) -> Option<i32> {
    let name = match name {
        "newfstatat" if cfg!(target_arch = "aarch64") => "fstatat",
        name => name,
    };
    Sysno::from_str(name).ok().map(|sysno| sysno.id())
}
