//! Proves, inside a run and by the same ways as a program, that the clock stands where it should.
//!
//! Runs in the build's own process under all its filters, before its exec. That process was forked,
//! so its C library still calls the functions that it found in its own vDSO long ago; the canary
//! makes the call that every program starts with, looks the functions up again, and calls those.

use std::collections::BTreeMap;

use nix::time::{ClockId, clock_gettime};

use super::image::Reader;
use super::own;

mod files;

const NANOS: i64 = 1_000_000_000;

/// How far a reading may be off: the coarse clock's tick and a slewing clock, with room to spare.
const SLACK: i64 = NANOS / 10;

/// How the clocks stood to the monotonic one before the filters were laid: nanoseconds ahead of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanaryBase {
    realtime: i64,
    tai: i64,
    raw: i64,
}

impl CanaryBase {
    /// Takes it. Do so in the namespaces of the build, before the notifying filter is there.
    pub fn take() -> nix::Result<Self> {
        Ok(Self {
            realtime: ahead(ClockId::CLOCK_REALTIME)?,
            tai: ahead(ClockId::CLOCK_TAI)?,
            raw: ahead(ClockId::CLOCK_MONOTONIC_RAW)?,
        })
    }
}

/// Reads the clock in every way that programs do and tells of each whether it saw the clock moved by
/// `offset_s` seconds against `before`; 0 is a run whose clock must be unmoved. `monotonic` tells
/// whether that clock is as it was.
///
/// Makes this process readable for the supervisor, which patches it; call it in a process that is
/// about to exec.
pub fn canary(offset_s: i64, before: CanaryBase) -> BTreeMap<String, bool> {
    // Without it the supervisor may not look into a process that changed its identity.
    let _ = nix::sys::prctl::set_dumpable(true);
    own::checkpoint();
    let mut seen = BTreeMap::new();
    let shift = offset_s.saturating_mul(NANOS);
    for (name, clock) in [("REALTIME", 0), ("REALTIME_COARSE", 5), ("TAI", 11)] {
        let ahead = if clock == 11 {
            before.tai
        } else {
            before.realtime
        };
        let expect = Expect {
            ahead: ahead.saturating_add(shift),
            unit: 1,
        };
        let raw = expect.holds(|| own::raw_clock_gettime(clock));
        seen.insert(format!("syscall clock_gettime {name}"), raw);
        if let Some(function) = own::function(Reader::ClockGettime) {
            let vdso = expect.holds(|| function.clock_gettime(clock));
            seen.insert(format!("vdso clock_gettime {name}"), vdso);
        }
    }
    let ahead = before.realtime.saturating_add(shift);
    let micros = Expect { ahead, unit: 1000 };
    seen.insert(
        "syscall gettimeofday".into(),
        micros.holds(own::raw_gettimeofday),
    );
    if let Some(function) = own::function(Reader::Gettimeofday) {
        seen.insert(
            "vdso gettimeofday".into(),
            micros.holds(|| function.gettimeofday()),
        );
    }
    let seconds = Expect { ahead, unit: NANOS };
    seen.insert("syscall time".into(), seconds.holds(own::raw_time));
    if let Some(function) = own::function(Reader::Time) {
        seen.insert("vdso time".into(), seconds.holds(|| Some(function.time())));
    }
    seen.insert("monotonic".into(), monotonic_is_unmoved(before));
    let made = Expect { ahead, unit: NANOS };
    for (reader, saw) in files::readers(&made, offset_s) {
        seen.insert(reader.to_owned(), saw);
    }
    seen
}

fn monotonic_is_unmoved(before: CanaryBase) -> bool {
    let expect = Expect {
        ahead: before.raw.saturating_neg(),
        unit: 1,
    };
    let against_raw = |read: &dyn Fn() -> Option<i64>| {
        // The raw clock runs as the hardware does and is nobody's to move.
        let (Ok(low), Some(seen), Ok(high)) = (
            nanos(ClockId::CLOCK_MONOTONIC_RAW),
            read(),
            nanos(ClockId::CLOCK_MONOTONIC_RAW),
        ) else {
            return false;
        };
        expect.admits(low, seen, high)
    };
    let vdso = own::function(Reader::ClockGettime);
    against_raw(&|| own::raw_clock_gettime(1))
        && vdso.is_none_or(|f| against_raw(&|| f.clock_gettime(1)))
}

/// What a reading is to show.
struct Expect {
    /// How far the clock is to be ahead of the reference, in nanoseconds.
    ahead: i64,
    /// What the reader cuts its answers to, in nanoseconds.
    unit: i64,
}

impl Expect {
    fn holds(&self, read: impl Fn() -> Option<i64>) -> bool {
        let (Ok(low), Some(seen), Ok(high)) = (
            nanos(ClockId::CLOCK_MONOTONIC),
            read(),
            nanos(ClockId::CLOCK_MONOTONIC),
        ) else {
            return false;
        };
        self.admits(low, seen, high)
    }

    fn admits(&self, low: i64, seen: i64, high: i64) -> bool {
        let cut = |t: i64| t.div_euclid(self.unit);
        let low = low.saturating_add(self.ahead).saturating_sub(SLACK);
        let high = high.saturating_add(self.ahead).saturating_add(SLACK);
        (cut(low)..=cut(high)).contains(&cut(seen))
    }
}

/// How far a clock is ahead of the monotonic one: the best of some looks, since a thread may be put
/// aside between two reads.
fn ahead(clock: ClockId) -> nix::Result<i64> {
    let mut best = (i64::MAX, 0);
    for _ in 0..10 {
        let low = nanos(ClockId::CLOCK_MONOTONIC)?;
        let seen = nanos(clock)?;
        let width = nanos(ClockId::CLOCK_MONOTONIC)?.saturating_sub(low);
        let ahead = seen.saturating_sub(low.saturating_add(width / 2));
        best = best.min((width, ahead));
    }
    Ok(best.1)
}

fn nanos(clock: ClockId) -> nix::Result<i64> {
    let t = clock_gettime(clock)?;
    Ok(t.tv_sec().saturating_mul(NANOS).saturating_add(t.tv_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unmoved_clock_reads_unmoved_and_not_moved() {
        let base = CanaryBase::take().unwrap();
        let unmoved = canary(0, base);
        assert_eq!(unmoved.len(), 11 + 10, "{unmoved:?}");
        assert!(unmoved.values().all(|&saw| saw), "{unmoved:?}");
        for offset in [2, -2, 400 * 86_400] {
            let mut moved = canary(offset, base);
            assert_eq!(moved.remove("monotonic"), Some(true));
            assert!(moved.values().all(|&saw| !saw), "{offset}: {moved:?}");
        }
    }

    #[test]
    fn a_reading_is_cut_to_its_reader_s_unit() {
        let expect = Expect {
            ahead: 10 * NANOS,
            unit: NANOS,
        };
        // 11.95 s is expected, the tolerance reaches from 11.85 to 12.05.
        let now = NANOS + NANOS / 100 * 95;
        assert!(expect.admits(now, 11 * NANOS, now));
        assert!(expect.admits(now, 12 * NANOS, now));
        assert!(!expect.admits(now, 10 * NANOS, now));
        assert!(!expect.admits(now, 13 * NANOS, now));
        let exact = Expect { unit: 1, ..expect };
        assert!(!exact.admits(now, 12 * NANOS + NANOS / 10, now));
    }
}
