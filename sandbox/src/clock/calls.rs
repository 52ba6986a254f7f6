//! Every system call that tells, takes or stores a wall-clock time, and what becomes of it.
//!
//! The numbers of the calls that are asked about come from here; `notify.toml` says under which
//! conditions they are notified at all, and a test holds the two together.

use Fate::{Absent, Known, Moved, Named, Refused, Untouched};

/// `futex_wait`, which libc lacks.
pub(super) const SYS_FUTEX_WAIT: i64 = 455;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its time is moved.
    Moved,
    /// Made at a known moment: nothing of it is changed.
    Known,
    /// Moved, but not in every program: where it can't be, the program is named and the verdict is
    /// `incomplete`.
    Named,
    /// It has no wall-clock time in it.
    Untouched,
    /// `EPERM` (known_bad.toml).
    Refused,
    /// `ENOSYS` (allow.toml).
    Absent,
}

/// A call, in one of its uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Use {
    /// The call's name.
    pub(super) call: &'static str,
    /// Its number; None where no number is needed.
    pub(super) nr: Option<i64>,
    /// The kernel that had it first.
    pub(super) since: &'static str,
    /// Which use.
    pub(super) what: &'static str,
    /// What becomes of it.
    pub(super) fate: Fate,
    /// How.
    pub(super) how: &'static str,
}

const fn row(
    call: &'static str,
    nr: i64,
    since: &'static str,
    what: &'static str,
    fate: Fate,
    how: &'static str,
) -> Use {
    Use {
        call,
        nr: Some(nr),
        since,
        what,
        fate,
        how,
    }
}

const fn other(
    call: &'static str,
    since: &'static str,
    what: &'static str,
    fate: Fate,
    how: &'static str,
) -> Use {
    Use {
        call,
        nr: None,
        since,
        what,
        fate,
        how,
    }
}

const EMULATED: &str = "answered by the supervisor; by the vDSO's own functions in the process";
const SENT: &str = "the thread makes it in a stub, with the real time";
const STEPPED: &str = "the thread is stepped through it";
const STATUS: &str = "the thread makes it in a stub, which moves what comes back";
const RELATIVE: &str = "its time is relative";

/// All of them.
#[rustfmt::skip]
pub(super) const USES: &[Use] = &[
    row("brk", libc::SYS_brk, "1.0", "the first of a program", Known, "the vDSO is patched meanwhile"),
    row("arch_prctl", libc::SYS_arch_prctl, "2.6", "ARCH_SET_FS", Known, "the vDSO is patched meanwhile"),
    row("mremap", libc::SYS_mremap, "2.4", "MREMAP_FIXED, of the vDSO", Known, "the program is named, and the verdict is `incomplete`"),
    other("arch_prctl", "4.9", "ARCH_MAP_VDSO_64 and its kin", Refused, ""),

    row("clock_gettime", libc::SYS_clock_gettime, "2.6", "REALTIME, REALTIME_COARSE (2.6.32), REALTIME_ALARM (3.0), TAI (3.10)", Moved, EMULATED),
    other("clock_gettime", "2.6", "MONOTONIC, its raw, coarse and boot forms, CPU times", Untouched, "no wall clock; BOOTTIME by the time namespace"),
    row("gettimeofday", libc::SYS_gettimeofday, "1.0", "", Moved, EMULATED),
    row("time", libc::SYS_time, "1.0", "", Moved, EMULATED),
    other("clock_getres", "2.6", "", Untouched, "a resolution"),
    other("clock_settime", "2.6", "", Refused, ""),
    other("settimeofday", "1.0", "", Refused, ""),
    other("adjtimex", "1.0", "also when it only asks", Refused, ""),
    other("clock_adjtime", "2.6.39", "also when it only asks", Refused, ""),

    row("clock_nanosleep", libc::SYS_clock_nanosleep, "2.6", "TIMER_ABSTIME, of REALTIME, REALTIME_ALARM, TAI", Moved, SENT),
    row("timerfd_settime", libc::SYS_timerfd_settime, "2.6.25", "TFD_TIMER_ABSTIME, also with TFD_TIMER_CANCEL_ON_SET (3.0)", Moved, "the supervisor sets a copy of the descriptor"),
    other("timerfd_gettime", "2.6.25", "", Untouched, RELATIVE),
    row("timer_settime", libc::SYS_timer_settime, "2.6", "TIMER_ABSTIME, of the same clocks", Named, "the thread is stepped through it; not where a debugger inside traces it"),
    other("timer_gettime", "2.6", "", Untouched, RELATIVE),
    row("futex", libc::SYS_futex, "2.6.28", "FUTEX_WAIT_BITSET with FUTEX_CLOCK_REALTIME", Moved, SENT),
    row("futex", libc::SYS_futex, "2.6.18", "FUTEX_LOCK_PI", Moved, SENT),
    row("futex", libc::SYS_futex, "2.6.31", "FUTEX_WAIT_REQUEUE_PI with FUTEX_CLOCK_REALTIME", Moved, SENT),
    row("futex", libc::SYS_futex, "5.14", "FUTEX_LOCK_PI2 with FUTEX_CLOCK_REALTIME", Moved, SENT),
    other("futex", "2.6", "FUTEX_WAIT", Untouched, RELATIVE),
    row("futex_waitv", libc::SYS_futex_waitv, "5.16", "of REALTIME", Moved, SENT),
    row("futex_wait", SYS_FUTEX_WAIT, "6.7", "of REALTIME", Moved, SENT),
    row("mq_timedsend", libc::SYS_mq_timedsend, "2.6.6", "", Moved, SENT),
    row("mq_timedreceive", libc::SYS_mq_timedreceive, "2.6.6", "", Moved, SENT),
    other("nanosleep", "2.0", "", Untouched, RELATIVE),
    other("semtimedop", "2.5.52", "", Untouched, RELATIVE),
    other("select", "1.0", "", Untouched, RELATIVE),
    other("pselect6", "2.6.16", "", Untouched, RELATIVE),
    other("ppoll", "2.6.16", "", Untouched, RELATIVE),
    other("epoll_pwait2", "5.11", "", Untouched, RELATIVE),
    other("recvmmsg", "2.6.33", "", Untouched, RELATIVE),
    other("rt_sigtimedwait", "2.2", "", Untouched, RELATIVE),
    other("io_getevents", "2.5", "", Untouched, RELATIVE),
    other("io_pgetevents", "4.18", "", Untouched, RELATIVE),
    other("setitimer", "1.0", "also alarm", Untouched, RELATIVE),
    other("sched_setattr", "3.14", "", Untouched, RELATIVE),
    other("io_uring_enter", "5.1", "absolute timeouts, and all else past the filter", Absent, ""),

    row("stat", libc::SYS_stat, "1.0", "also fstat and lstat", Moved, STATUS),
    row("fstat", libc::SYS_fstat, "1.0", "", Moved, STATUS),
    row("lstat", libc::SYS_lstat, "1.0", "", Moved, STATUS),
    row("newfstatat", libc::SYS_newfstatat, "2.6.16", "", Moved, STATUS),
    row("statx", libc::SYS_statx, "4.11", "", Moved, STATUS),
    row("utime", libc::SYS_utime, "1.0", "", Moved, SENT),
    row("utimes", libc::SYS_utimes, "2.2", "", Moved, SENT),
    row("futimesat", libc::SYS_futimesat, "2.6.16", "", Moved, SENT),
    row("utimensat", libc::SYS_utimensat, "2.6.22", "", Moved, SENT),

    row("shmctl", libc::SYS_shmctl, "2.0", "IPC_STAT, SHM_STAT, SHM_STAT_ANY", Named, STEPPED),
    row("semctl", libc::SYS_semctl, "2.0", "IPC_STAT, SEM_STAT, SEM_STAT_ANY", Named, STEPPED),
    row("msgctl", libc::SYS_msgctl, "2.0", "IPC_STAT, MSG_STAT, MSG_STAT_ANY", Named, STEPPED),
    other("setsockopt", "2.2", "SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMPING", Refused, "the kernel stamps packets"),
    other("ioctl", "2.0", "SIOCGSTAMP, SIOCGSTAMPNS", Refused, "the kernel stamps packets"),
    other("sysinfo", "1.0", "uptime", Untouched, "by the time namespace"),
    other("keyctl", "2.6.10", "expiry", Refused, ""),
    other("quotactl", "1.0", "grace periods", Refused, ""),
    other("acct", "1.0", "", Refused, ""),
    other("perf_event_open", "2.6.31", "", Refused, ""),
    other("bpf", "3.18", "bpf_ktime_get_tai_ns", Refused, ""),
    other("fanotify_init", "2.6.37", "", Refused, ""),
    other("syslog", "1.0", "the kernel's log", Refused, ""),
];

/// Whether a notified call of this number is one of them.
pub(super) fn is_asked(nr: i32) -> bool {
    let asked = |u: &Use| matches!(u.fate, Moved | Known | Named) && u.nr == Some(i64::from(nr));
    USES.iter().any(asked)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use super::*;

    /// The names of calls in a data file's text, by its `calls = [...]` lists.
    fn calls(text: &str) -> BTreeSet<&str> {
        let lists = text.split("calls = [").skip(1);
        let lists = lists.filter_map(|rest| rest.split_once(']').map(|(list, _)| list));
        lists
            .flat_map(|list| list.split('"').skip(1).step_by(2))
            .collect()
    }

    fn named(fates: &[Fate]) -> BTreeSet<&'static str> {
        let of = USES.iter().filter(|u| fates.contains(&u.fate));
        of.map(|u| u.call).collect()
    }

    #[test]
    fn the_table_and_the_filters_name_the_same_calls() {
        let notify = include_str!("../../seccomp/notify.toml");
        let (_, clock) = notify.split_once("clock = [").expect("the clock's list");
        assert_eq!(named(&[Moved, Known, Named]), calls(clock));
        let known_bad = calls(include_str!("../../seccomp/known_bad.toml"));
        for refused in named(&[Refused]) {
            assert!(known_bad.contains(refused), "{refused}");
        }
        let allow = include_str!("../../seccomp/allow.toml");
        let (allowed, absent) = allow.split_once("absent = [").expect("what is absent");
        for call in named(&[Absent]) {
            assert!(calls(absent).contains(call), "{call}");
        }
        for call in named(&[Untouched, Moved, Known, Named]) {
            assert!(calls(allowed).contains(call), "{call}");
        }
        for u in USES.iter().filter(|u| u.nr.is_some()) {
            assert!(is_asked(i32::try_from(u.nr.unwrap()).unwrap()), "{u:?}");
        }
        assert!(!is_asked(39));
    }

    /// `clock_calls.md` is this table for people; `BELLJAR_TEST_WRITE=1` writes it anew.
    #[test]
    fn the_page_shows_the_table() {
        let mut page =
            String::from("| call | since Linux | use | what becomes of it |\n|---|---|---|---|\n");
        for u in USES {
            let fate = match (u.fate, u.how) {
                (Moved | Named, how) => format!("moved: {how}"),
                (Refused, "") => "refused (`EPERM`)".to_owned(),
                (Refused, how) => format!("refused (`EPERM`): {how}"),
                (Absent, _) => "not there (`ENOSYS`)".to_owned(),
                (Known | Untouched, how) => format!("as it is: {how}"),
            };
            let _ = writeln!(page, "| `{}` | {} | {} | {fate} |", u.call, u.since, u.what);
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/clock-calls.md");
        if std::env::var_os("BELLJAR_TEST_WRITE").is_some() {
            std::fs::write(path, &page).expect("the page");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == page,
            "docs/clock-calls.md is not what the table says:\n{page}"
        );
    }
}
