//! The stamps of System V objects: when a segment was attached, a semaphore raised, a message sent.
//!
//! The thread asks for them itself, since only it is in its IPC namespace, and what comes back is moved
//! before it goes on ([`step`](super::step)).

use nix::Result;
use nix::errno::Errno;

use super::Skewer;
use super::step::step;
use super::wait::{Cookie, Pointer};
use crate::launch::seccomp::CLOCK_COOKIE;
use crate::notify::{Answer, Call, Target};
use crate::sys::ptrace;

/// Seconds since the epoch in a `shmid64_ds`, a `semid64_ds` or a `msqid64_ds`; 0 is never.
fn stamps_of(call: &Call) -> Option<(usize, &'static [u64])> {
    const IPC_STAT: u64 = 2;
    Some(match (i64::from(call.nr), call.args[1], call.args[2]) {
        // SHM_STAT, SHM_STAT_ANY
        (libc::SYS_shmctl, IPC_STAT | 13 | 15, _) => (2, &[56, 64, 72]),
        // MSG_STAT, MSG_STAT_ANY
        (libc::SYS_msgctl, IPC_STAT | 11 | 13, _) => (2, &[48, 56, 64]),
        // SEM_STAT, SEM_STAT_ANY
        (libc::SYS_semctl, _, IPC_STAT | 18 | 20) => (3, &[48, 64]),
        _ => return None,
    })
}

impl Skewer {
    /// A call that may ask for the stamps of a System V object.
    pub(super) fn object(&self, call: &Call, target: &Target<'_>) -> Answer {
        let Some((argument, stamps)) = stamps_of(call).filter(|_| self.offset != 0) else {
            return Answer::Continue;
        };
        let pointer = Pointer {
            argument,
            cookie: Cookie::Sixth,
        };
        let status = call.args[argument];
        let args = pointer.arguments(call.args, status, CLOCK_COOKIE);
        let moved = step(call, target, args, None, |tid| {
            move_stamps(tid, status, stamps, self.offset)
        });
        match moved {
            Ok(()) => Answer::Redirected,
            Err(errno) => {
                self.note(
                    target,
                    "the stamps of a System V object can't be moved",
                    errno,
                );
                Answer::Continue
            }
        }
    }
}

fn move_stamps(tid: i32, status: u64, stamps: &[u64], offset: i64) -> Result<()> {
    for at in stamps {
        let at = status.wrapping_add(*at);
        match ptrace::peek(tid, at)? {
            0 => {}
            seconds => ptrace::poke(tid, at, seconds.wrapping_add_signed(offset))?,
        }
    }
    Ok::<(), Errno>(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_asks_for_stamps_is_stepped() {
        let of = |nr: i64, args| {
            stamps_of(&Call {
                id: 1,
                tid: 1,
                nr: i32::try_from(nr).unwrap(),
                args,
                ip: 0,
            })
            .map(|(argument, _)| argument)
        };
        assert_eq!(of(libc::SYS_shmctl, [1, 2, 9, 0, 0, 0]), Some(2));
        assert_eq!(of(libc::SYS_semctl, [1, 0, 2, 9, 0, 0]), Some(3));
        assert_eq!(of(libc::SYS_msgctl, [1, 11, 9, 0, 0, 0]), Some(2));
        for (nr, args) in [
            (libc::SYS_shmctl, [1, 0, 0, 0, 0, 0]),  // IPC_RMID
            (libc::SYS_semctl, [1, 2, 16, 9, 0, 0]), // SETVAL
            (libc::SYS_msgctl, [1, 1, 9, 0, 0, 0]),  // IPC_SET
            (libc::SYS_shmget, [1, 2, 9, 0, 0, 0]),
        ] {
            assert_eq!(of(nr, args), None, "{nr} {args:?}");
        }
    }
}
