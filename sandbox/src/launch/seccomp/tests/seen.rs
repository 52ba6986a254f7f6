//! What the supervisor must see and what not, written down by hand from the headers.

use libc as c;

use super::table::{HIGH, OK, all, call, walls};
use super::{EPERM, OBSERVE, Verdict, ask};

const SEEN: Verdict = Verdict::Notify;

#[test]
fn what_is_seen_of_the_network() {
    let seen = |nr, args: &[i64]| {
        all(nr, args, SEEN);
        assert_eq!(ask(&[&OBSERVE], &call(nr, args)), SEEN);
    };
    seen(c::SYS_connect, &[3, 0x1000, 16]);
    seen(c::SYS_sendmsg, &[3, 0x1000]);
    seen(c::SYS_sendmmsg, &[3, 0x1000, 2]);
    seen(c::SYS_sendto, &[3, 0x1000, 4, 0, 0x2000, 16]);
    seen(c::SYS_sendto, &[3, 0x1000, 4, 0, HIGH.cast_signed(), 16]);
    all(c::SYS_sendto, &[3, 0x1000, 4, 0, 0, 0], OK);
}

#[test]
fn what_is_seen_of_the_clock() {
    let abstime = i64::from(c::TIMER_ABSTIME);
    for (clock, expected) in [
        (0, SEEN),
        (5, SEEN),
        (8, SEEN),
        (11, SEEN),
        (1, OK),
        (4, OK),
        (6, OK),
        (7, OK),
        (2, OK),
        (3, OK),
    ] {
        all(c::SYS_clock_gettime, &[clock, 0x1000], expected);
        assert_eq!(
            ask(&[&OBSERVE], &call(c::SYS_clock_gettime, &[clock, 0x1000])),
            OK
        );
        // the coarse clock cannot be slept on
        all(
            c::SYS_clock_nanosleep,
            &[clock, abstime, 0x1000],
            if clock == 5 { OK } else { expected },
        );
        all(c::SYS_clock_nanosleep, &[clock, 0, 0x1000], OK);
    }
    all(c::SYS_gettimeofday, &[0x1000], SEEN);
    all(c::SYS_brk, &[0], SEEN);
    all(c::SYS_brk, &[HIGH.cast_signed()], OK);
    all(c::SYS_timerfd_settime, &[3, 1, 0x1000], SEEN);
    all(c::SYS_timerfd_settime, &[3, 3, 0x1000], SEEN);
    all(c::SYS_timerfd_settime, &[3, 0, 0x1000], OK);
    all(c::SYS_timer_settime, &[3, 1, 0x1000], SEEN);
    all(c::SYS_timer_settime, &[3, 0, 0x1000], OK);
    all(c::SYS_mq_timedsend, &[3, 0, 0, 0, 0x1000], SEEN);
    all(c::SYS_mq_timedreceive, &[3, 0, 0, 0, 0], OK);
    all(449, &[0x1000, 1, 0, 0x2000, 0], SEEN);
    all(449, &[0x1000, 1, 0, 0x2000, 1], OK);
    all(455, &[0x1000, 1, -1, 0, 0x2000, 0], SEEN);
    all(455, &[0x1000, 1, -1, 0, 0x2000, 1], OK);
}

#[test]
fn what_is_seen_of_the_times_of_files() {
    let (name, buffer) = (0x1000, 0x2000);
    for (nr, args) in [
        (c::SYS_stat, &[name, buffer][..]),
        (c::SYS_lstat, &[name, buffer]),
        (c::SYS_fstat, &[3, buffer]),
        (c::SYS_newfstatat, &[-100, name, buffer, 0x100]),
        (c::SYS_statx, &[-100, name, 0, 0x7ff, buffer]),
        (c::SYS_utimensat, &[-100, name, buffer, 0]),
        (c::SYS_futimesat, &[-100, name, buffer]),
        (c::SYS_utimes, &[name, buffer]),
        (c::SYS_utime, &[name, buffer]),
    ] {
        all(nr, args, SEEN);
        assert_eq!(ask(&[&OBSERVE], &call(nr, args)), OK, "{nr}");
    }
    // to now
    all(c::SYS_utimensat, &[-100, name, 0, 0], OK);
    all(c::SYS_futimesat, &[-100, name, 0], OK);
    all(c::SYS_utimes, &[name, 0], OK);
    all(c::SYS_utime, &[name, 0], OK);
    // tells no time
    all(c::SYS_access, &[name, 4], OK);
    all(c::SYS_statfs, &[name, buffer], OK);
}

#[test]
fn what_is_seen_of_system_v_objects() {
    for (nr, asks, others) in [
        (c::SYS_shmctl, [2, 13, 15], [0, 1, 3, 14]),
        (c::SYS_msgctl, [2, 11, 13], [0, 1, 3, 12]),
    ] {
        for what in asks {
            all(nr, &[1, what, 0x1000], SEEN);
        }
        for what in others {
            all(nr, &[1, what, 0x1000], OK);
        }
    }
    for what in [2, 18, 20] {
        all(c::SYS_semctl, &[1, 0, what, 0x1000], SEEN);
    }
    for what in [0, 1, 3, 12, 16, 19] {
        all(c::SYS_semctl, &[1, 2, what, 0x1000], OK);
    }
    let cookie = i64::from(crate::launch::seccomp::CLOCK_COOKIE);
    all(c::SYS_shmctl, &[1, 2, 0x1000, 0, 0, cookie], OK);
    // a vDSO that is moved
    all(c::SYS_mremap, &[0x1000, 0x1000, 0x1000, 3, 0x8000], SEEN);
    all(c::SYS_mremap, &[0x1000, 0x1000, 0x2000, 1], OK);
}

#[test]
fn what_is_seen_of_futexes() {
    let (private, realtime) = (
        i64::from(c::FUTEX_PRIVATE_FLAG),
        i64::from(c::FUTEX_CLOCK_REALTIME),
    );
    for (op, plain, with_flag) in [
        (c::FUTEX_WAIT, OK, OK),
        (c::FUTEX_WAKE, OK, OK),
        (c::FUTEX_WAIT_BITSET, OK, SEEN),
        (c::FUTEX_WAIT_REQUEUE_PI, OK, SEEN),
        (c::FUTEX_LOCK_PI, SEEN, SEEN),
        (c::FUTEX_LOCK_PI2, OK, SEEN),
        (c::FUTEX_UNLOCK_PI, OK, OK),
        (c::FUTEX_CMP_REQUEUE_PI, OK, OK),
    ] {
        for op in [i64::from(op), i64::from(op) | private] {
            all(c::SYS_futex, &[0x1000, op, 0, 0x2000], plain);
            all(c::SYS_futex, &[0x1000, op | realtime, 0, 0x2000], with_flag);
            all(c::SYS_futex, &[0x1000, op | realtime, 0, 0], OK);
            // the kernel takes `op` as an int
            all(
                c::SYS_futex,
                &[0x1000, op | realtime | HIGH.cast_signed(), 0, 0x2000],
                with_flag,
            );
        }
    }
}

#[test]
fn the_cookie_lets_the_stubs_pass_and_nothing_else() {
    let cookie = i64::from(crate::launch::seccomp::CLOCK_COOKIE);
    assert_eq!(cookie, 0x5ce3_d0b5);
    for (sixth, expected) in [
        (cookie, OK),
        (cookie + 1, SEEN),
        (cookie | HIGH.cast_signed(), SEEN),
        (0, SEEN),
    ] {
        all(c::SYS_clock_gettime, &[0, 0, 0, 0, 0, sixth], expected);
        all(c::SYS_gettimeofday, &[0, 0, 0, 0, 0, sixth], expected);
        all(c::SYS_clock_nanosleep, &[0, 1, 0, 0, 0, sixth], expected);
        all(c::SYS_timerfd_settime, &[0, 1, 0, 0, 0, sixth], expected);
        all(c::SYS_timer_settime, &[0, 1, 0, 0, 0, sixth], expected);
        all(c::SYS_mq_timedsend, &[0, 0, 0, 0, 1, sixth], expected);
        all(449, &[1, 1, 0, 1, 0, sixth], expected);
        for nr in [
            c::SYS_stat,
            c::SYS_lstat,
            c::SYS_fstat,
            c::SYS_newfstatat,
            c::SYS_statx,
            c::SYS_utimensat,
            c::SYS_futimesat,
            c::SYS_utimes,
            c::SYS_utime,
        ] {
            all(nr, &[1, 1, 1, 0, 1, sixth], expected);
        }
    }
    let op = i64::from(c::FUTEX_WAIT_BITSET | c::FUTEX_CLOCK_REALTIME);
    let lock = i64::from(c::FUTEX_LOCK_PI);
    for (upper, expected) in [
        (cookie, OK),
        (cookie + 1, SEEN),
        (cookie - 1, SEEN),
        (0, SEEN),
    ] {
        all(c::SYS_futex, &[1, upper << 32 | op, 0, 1], expected);
        all(c::SYS_futex, &[1, upper << 32 | lock, 0, 1], expected);
        all(455, &[1, 0, 0, upper << 32, 1, 0], expected);
    }
    // no wall has such a door
    walls(c::SYS_mount, &[0, 0, 0, 0, 0, cookie], EPERM);
    all(c::SYS_connect, &[3, 0, 0, 0, 0, cookie], SEEN);
}
