//! Absolute wall-clock waits: which calls they are, and their times moved back. Pure.
//!
//! A program takes the moved time, adds a second and asks the kernel to wait until then; the kernel
//! knows only the real time. Relative waits need nothing.

use super::calls::SYS_FUTEX_WAIT;
use crate::notify::Call;

const FUTEX_CLOCK_REALTIME: u64 = 256;
const FUTEX_CMD: u64 = 0x7f;
const FUTEX_LOCK_PI: u64 = 6;
const FUTEX_WAIT_BITSET: u64 = 9;
const FUTEX_WAIT_REQUEUE_PI: u64 = 11;
const FUTEX_LOCK_PI2: u64 = 13;

const FUTEX2_SIZE: u64 = 3;
const FUTEX2_SIZE_U32: u64 = 2;

const NANOS: i64 = 1_000_000_000;

/// What is waited for, beside the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Nothing.
    Time,
    /// A futex word that is no longer this value: what to read and compare.
    FutexChange {
        /// The word's address.
        word: u64,
        /// The value that it has while one waits.
        value: u32,
    },
    /// One of some futex words that is no longer the value beside it.
    AnyFutexChange {
        /// Where they are told: an array of `futex_waitv`.
        waiters: u64,
        /// How many.
        count: u64,
    },
    /// A lock word that no thread owns.
    FutexFree {
        /// The word's address.
        word: u64,
    },
    /// Room in a message queue, or a message.
    Queue {
        /// The queue's descriptor.
        descriptor: i32,
        /// Whether room is waited for.
        write: bool,
    },
    /// Something that only the kernel can wait for.
    Other,
}

/// The place of the cookie by which the filter knows the stub's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookie {
    /// The sixth argument, which the call has not.
    Sixth,
    /// The upper half of this argument, of which the kernel reads the lower.
    UpperHalf(usize),
}

/// How the stub's call differs from the one that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pointer {
    /// The argument that points to the time, or to several.
    pub(super) argument: usize,
    /// Where the cookie rides.
    pub(super) cookie: Cookie,
}

impl Pointer {
    /// The arguments of the stub's call: the time read from `time`, the cookie in its place.
    pub(super) fn arguments(self, mut args: [u64; 6], time: u64, cookie: u32) -> [u64; 6] {
        args[self.argument] = time;
        let cookie = u64::from(cookie);
        match self.cookie {
            Cookie::Sixth => args[5] = cookie,
            Cookie::UpperHalf(n) => args[n] = low(args[n]) | cookie << 32,
        }
        args
    }
}

/// A call that waits until, or sets a timer to, an absolute time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    /// Where the time is.
    pub(super) pointer: Pointer,
    /// It is an `itimerspec`, not a `timespec`.
    pub(super) timer: bool,
    /// What else ends it.
    pub(super) until: Until,
}

/// Whether a clock is the wall clock in one of its forms (REALTIME, its alarm, TAI; its coarse
/// form can only be read).
pub(super) fn is_wall_clock(clock: u64) -> bool {
    matches!(low(clock), 0 | 5 | 8 | 11)
}

/// The low half of an argument that the kernel reads as an int.
fn low(argument: u64) -> u64 {
    argument & 0xffff_ffff
}

impl Wait {
    /// The wait that a call asks for, if its time is absolute and may be of the wall clock.
    pub(super) fn of(call: &Call) -> Option<Self> {
        let a = &call.args;
        let wait = |argument, cookie, until| {
            let there = a[argument] != 0;
            there.then_some(Self {
                pointer: Pointer { argument, cookie },
                timer: false,
                until,
            })
        };
        match i64::from(call.nr) {
            libc::SYS_futex => {
                let word = a[0];
                #[expect(clippy::cast_possible_truncation, reason = "the kernel takes 32 bits")]
                let value = a[2] as u32;
                let until = match (a[1] & FUTEX_CMD, a[1] & FUTEX_CLOCK_REALTIME != 0) {
                    (FUTEX_LOCK_PI, _) | (FUTEX_LOCK_PI2, true) => Until::FutexFree { word },
                    // One who wakes the other changes its word first, or nobody could wait for it.
                    (FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI, true) => {
                        Until::FutexChange { word, value }
                    }
                    _ => return None,
                };
                wait(3, Cookie::UpperHalf(1), until)
            }
            SYS_FUTEX_WAIT if low(a[5]) == 0 => {
                let size = a[3] & FUTEX2_SIZE;
                let until = match u32::try_from(a[1]) {
                    Ok(value) if size == FUTEX2_SIZE_U32 => {
                        Until::FutexChange { word: a[0], value }
                    }
                    _ => Until::Other,
                };
                wait(4, Cookie::UpperHalf(3), until)
            }
            libc::SYS_futex_waitv if low(a[4]) == 0 => {
                let (waiters, count) = (a[0], low(a[1]));
                wait(3, Cookie::Sixth, Until::AnyFutexChange { waiters, count })
            }
            libc::SYS_clock_nanosleep if a[1] & 1 != 0 && is_wall_clock(a[0]) => {
                wait(2, Cookie::Sixth, Until::Time)
            }
            libc::SYS_mq_timedsend | libc::SYS_mq_timedreceive => {
                #[expect(clippy::cast_possible_truncation, reason = "the kernel takes an int")]
                let descriptor = a[0] as i32;
                let write = i64::from(call.nr) == libc::SYS_mq_timedsend;
                wait(4, Cookie::Sixth, Until::Queue { descriptor, write })
            }
            libc::SYS_timer_settime if a[1] & 1 != 0 => {
                let timer = wait(2, Cookie::Sixth, Until::Other)?;
                Some(Self {
                    timer: true,
                    ..timer
                })
            }
            _ => None,
        }
    }
}

/// A `timespec`, or an `itimerspec` of which the first half is the interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    /// Seconds and nanoseconds between expiries; zero for a plain `timespec`.
    pub(super) interval: [i64; 2],
    /// Seconds and nanoseconds since the epoch.
    pub(super) value: [i64; 2],
}

impl Time {
    /// From the 16 bytes of a `timespec` or the 32 of an `itimerspec`.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut words = bytes
            .chunks_exact(8)
            .map(|w| w.try_into().map(i64::from_ne_bytes));
        let mut pair = || Some([words.next()?.ok()?, words.next()?.ok()?]);
        let first = pair()?;
        Some(match pair() {
            Some(value) => Self {
                interval: first,
                value,
            },
            None => Self {
                interval: [0; 2],
                value: first,
            },
        })
    }

    /// The real time at which a program that lives `offset` seconds in the future means to wake.
    /// None where the kernel is to answer by itself: a time that is not valid, or a timer set to
    /// zero, which disarms it.
    pub(super) fn moved_back(self, offset: i64, timer: bool) -> Option<Self> {
        let [seconds, nanos] = self.value;
        if seconds < 0 || !(0..NANOS).contains(&nanos) || timer && self.value == [0, 0] {
            return None;
        }
        let value = match seconds.saturating_sub(offset) {
            ..0 => [0, 1],
            // Not the zero that disarms a timer.
            0 => [0, nanos.max(1)],
            seconds => [seconds, nanos],
        };
        Some(Self { value, ..self })
    }

    /// As the kernel reads it: `itimerspec` or `timespec`.
    pub(super) fn words(self, timer: bool) -> [u64; 4] {
        let [a, b] = self.interval.map(i64::cast_unsigned);
        let [c, d] = self.value.map(i64::cast_unsigned);
        if timer { [a, b, c, d] } else { [c, d, 0, 0] }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(nr: i64, args: [u64; 6]) -> Call {
        let nr = i32::try_from(nr).unwrap();
        Call {
            id: 1,
            tid: 1,
            nr,
            args,
            ip: 0,
        }
    }

    #[test]
    fn waits_that_are_relative_or_of_another_clock_are_left_alone() {
        for (nr, args) in [
            (libc::SYS_futex, [1, 0x80, 0, 9, 0, 0]),  // FUTEX_WAIT
            (libc::SYS_futex, [1, 0x100, 0, 9, 0, 0]), // FUTEX_WAIT with the flag: relative
            (libc::SYS_futex, [1, 0x89, 0, 9, 0, 0]),  // WAIT_BITSET, monotonic
            (libc::SYS_futex, [1, 0x109, 0, 0, 0, 0]), // for ever
            (libc::SYS_futex, [1, 13, 0, 9, 0, 0]),    // LOCK_PI2, monotonic
            (libc::SYS_clock_nanosleep, [0, 0, 9, 0, 0, 0]), // relative
            (libc::SYS_clock_nanosleep, [1, 1, 9, 0, 0, 0]), // monotonic
            (libc::SYS_timer_settime, [0, 0, 9, 0, 0, 0]), // relative
            (libc::SYS_futex_waitv, [1, 1, 0, 9, 1, 0]), // monotonic
            (SYS_FUTEX_WAIT, [1, 1, 1, 0, 9, 1]),      // monotonic
            (libc::SYS_mq_timedsend, [1, 9, 9, 0, 0, 0]), // for ever
            (libc::SYS_getpid, [0; 6]),
        ] {
            assert_eq!(Wait::of(&call(nr, args)), None, "{nr} {args:?}");
        }
    }

    #[test]
    fn the_stub_call_differs_in_the_time_and_the_cookie_alone() {
        for (nr, args, at, cookie) in [
            (
                libc::SYS_futex,
                [1, 0x189, 7, 9, 0, u64::MAX],
                3,
                (1, 0xabcd_0000_0189),
            ),
            (
                libc::SYS_futex,
                [1, 0x86, 7, 9, 0, 3],
                3,
                (1, 0xabcd_0000_0086),
            ),
            (
                libc::SYS_futex,
                [1, 0x10b, 7, 9, 4, 5],
                3,
                (1, 0xabcd_0000_010b),
            ),
            (
                SYS_FUTEX_WAIT,
                [1, 2, 3, 0x82, 9, 0],
                4,
                (3, 0xabcd_0000_0082),
            ),
            (libc::SYS_futex_waitv, [1, 2, 0, 9, 0, 77], 3, (5, 0xabcd)),
            (
                libc::SYS_clock_nanosleep,
                [11, 1, 9, 8, 77, 78],
                2,
                (5, 0xabcd),
            ),
            (
                libc::SYS_mq_timedreceive,
                [4, 5, 6, 7, 9, 77],
                4,
                (5, 0xabcd),
            ),
            (
                libc::SYS_timer_settime,
                [4, 1, 9, 7, 77, 78],
                2,
                (5, 0xabcd),
            ),
        ] {
            let wait = Wait::of(&call(nr, args)).expect("a wait");
            let mut wanted = args;
            wanted[at] = 0x1234;
            wanted[cookie.0] = cookie.1;
            assert_eq!(wait.pointer.arguments(args, 0x1234, 0xabcd), wanted, "{nr}");
        }
    }

    #[test]
    fn times_move_back_and_stay_what_they_are() {
        let time = |value| Time {
            interval: [3, 4],
            value,
        };
        assert_eq!(time([500, 9]).moved_back(400, true), Some(time([100, 9])));
        assert_eq!(time([500, 9]).moved_back(-400, false), Some(time([900, 9])));
        assert_eq!(time([500, 9]).moved_back(600, true), Some(time([0, 1])));
        assert_eq!(time([0, 0]).moved_back(600, true), None, "disarms");
        assert_eq!(time([0, 0]).moved_back(600, false), Some(time([0, 1])));
        assert_eq!(time([5, NANOS]).moved_back(1, false), None);
        assert_eq!(time([-1, 0]).moved_back(1, false), None);
        assert_eq!(
            time([i64::MAX, 0]).moved_back(-5, false),
            Some(time([i64::MAX, 0]))
        );
    }

    proptest! {
        #[test]
        fn any_call_and_any_time_is_taken(nr in 0..500i64, args: [u64; 6], value: [i64; 2], offset: i64) {
            let _ = Wait::of(&call(nr, args));
            let time = Time { interval: [0, 0], value };
            let bytes: Vec<u8> = value.iter().flat_map(|w| w.to_ne_bytes()).collect();
            prop_assert_eq!(Time::read(&bytes), Some(time));
            if let Some(moved) = time.moved_back(offset, true) {
                prop_assert!(moved.value[0] >= 0 && (0..NANOS).contains(&moved.value[1]));
                prop_assert!(moved.value != [0, 0]);
            }
        }

        #[test]
        fn short_times_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            prop_assert_eq!(Time::read(&bytes), None);
        }
    }
}
