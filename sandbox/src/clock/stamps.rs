//! Which stamp of a file a moved clock shows, and which one is stored for it: the rule. Pure.
//!
//! The kernel stamps files by the real clock, and programs compare such stamps with the moved one. A
//! stamp counts as *made in this run* if it lies at or after the run's start `T0`, whatever
//! it is a stamp of: a file, a folder, a pipe, an entry of `/proc`, something on a tmpfs, something
//! inherited. So what the run creates, writes, renames or links shows the moved time in those stamps
//! that the kernel set for it, while an input keeps its own: a copy-up keeps the mtime, and only the
//! ctime moves.
//!
//! Adding the offset to those stamps alone would leave no place for a stamp that a program sets
//! between `T0` and `T0 + offset`, in the moved clock's past: it would be read back later than it was set. So
//! the stamps are not shifted but *rotated*, one to one, and what is set is what is read:
//!
//! | real, as stored | as programs see it | |
//! |---|---|---|
//! | `[T0, T0 + W)` | `[T0 + offset, T0 + offset + W)` | made in this run |
//! | `[T0 + W, T0 + W + offset)` | `[T0, T0 + offset)` | set by hand, parked in the real future |
//! | all else | the same | |
//!
//! `W` is longer than any run. A clock moved back rotates the other way: real
//! `[T0 + offset, T0)` is then what is parked for, and an input in there has its stamp moved too.
//!
//! Whole seconds: the offset has no smaller part, and a stamp that was cut to seconds (tar, zip, `utime`)
//! must rotate with the second that it was cut from. A stamp of the second of `T0`, but before it, counts as made
//! in this run, so `T0` has to lie behind the newest input's second.

/// No run is as long: 24 days and some, in seconds.
const LONGEST: i64 = 1 << 21;

const NANOS: i64 = 1_000_000_000;

/// The rule for one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamps {
    /// The first second that is rotated.
    pub(super) first: i64,
    /// How many seconds are.
    pub(super) len: i64,
    /// By how many, from what is stored to what programs see.
    pub(super) forward: i64,
    /// Seconds after `first` from which a stored stamp is parked.
    parked: i64,
}

impl Stamps {
    /// The rule of a run that starts at the real second `start` with its clock moved by `offset`
    /// seconds.
    pub fn new(start: i64, offset: i64) -> Self {
        let distance = offset.saturating_abs().min(i64::MAX / 4);
        let offset = distance * offset.signum();
        let len = LONGEST + distance;
        Self {
            first: start.saturating_add(offset.min(0)),
            len,
            forward: offset.rem_euclid(len),
            parked: if offset > 0 { LONGEST } else { len },
        }
    }

    /// What a program sees of a stored stamp, in whole seconds.
    pub fn shown(self, stored: i64) -> i64 {
        self.rotated(stored, self.forward)
    }

    /// What is stored for a stamp that a program sets.
    pub fn stored(self, shown: i64) -> i64 {
        self.rotated(shown, self.len - self.forward)
    }

    /// A stored stamp for those outside the run: the real time where the kernel set it, what the
    /// program meant where it is parked.
    pub fn outside(self, stored: i64) -> i64 {
        match self.place(stored) {
            Some(place) if place >= self.parked => self.shown(stored),
            _ => stored,
        }
    }

    /// The same of nanoseconds.
    pub fn outside_ns(self, stored: i64) -> i64 {
        let second = stored.div_euclid(NANOS);
        let moved = self.outside(second).saturating_sub(second);
        stored.saturating_add(moved.saturating_mul(NANOS))
    }

    /// Seconds after the first that is rotated, if this one is.
    fn place(self, stamp: i64) -> Option<i64> {
        let place = stamp.checked_sub(self.first)?;
        (0..self.len).contains(&place).then_some(place)
    }

    fn rotated(self, stamp: i64, by: i64) -> i64 {
        match self.place(stamp) {
            Some(place) => self.first.saturating_add((place + by) % self.len),
            None => stamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: i64 = 1_800_000_000;
    const YEAR: i64 = 31_536_000;

    #[test]
    fn each_kind_of_stamp_at_its_edges() {
        let rule = Stamps::new(T0, YEAR);
        for (stored, shown, what) in [
            (0, 0, "unset"),
            (T0 - 1, T0 - 1, "an input"),
            (T0, T0 + YEAR, "the first made in this run"),
            (T0 + LONGEST - 1, T0 + YEAR + LONGEST - 1, "the last"),
            (T0 + LONGEST, T0, "parked for the start"),
            (
                T0 + LONGEST + YEAR - 1,
                T0 + YEAR - 1,
                "for just before now",
            ),
            (T0 + LONGEST + YEAR, T0 + LONGEST + YEAR, "the far future"),
        ] {
            assert_eq!(rule.shown(stored), shown, "{what}");
            assert_eq!(rule.stored(shown), stored, "{what}");
            let parked = shown < stored;
            let ns = rule.outside_ns(stored * NANOS + 5);
            assert_eq!(ns, rule.outside(stored) * NANOS + 5, "{what}");
            assert_eq!(
                rule.outside(stored),
                if parked { shown } else { stored },
                "{what}"
            );
        }
    }

    #[test]
    fn a_clock_moved_back_rotates_the_other_way() {
        let rule = Stamps::new(T0, -YEAR);
        for (stored, shown) in [
            (T0 - YEAR - 1, T0 - YEAR - 1),
            (T0, T0 - YEAR),
            (T0 + 9, T0 - YEAR + 9),
            (T0 - YEAR, T0 - YEAR + LONGEST),
            (T0 - 1, T0 + LONGEST - 1),
            (T0 + LONGEST, T0 + LONGEST),
        ] {
            assert_eq!(rule.shown(stored), shown);
            assert_eq!(rule.stored(shown), stored);
            assert_eq!(rule.outside(stored), stored);
        }
    }

    #[test]
    fn an_unmoved_clock_rotates_nothing() {
        let rule = Stamps::new(T0, 0);
        for stamp in [i64::MIN, 0, T0, T0 + 9, i64::MAX] {
            assert_eq!(
                [rule.shown(stamp), rule.stored(stamp), rule.outside(stamp)],
                [stamp; 3]
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_set_is_what_is_read(start in 0..4_000_000_000i64, offset: i64, stamp: i64, near in -100_000_000..100_000_000i64) {
            let rule = Stamps::new(start, offset);
            for stamp in [stamp, start + near, (start + near).saturating_add(offset)] {
                prop_assert_eq!(rule.shown(rule.stored(stamp)), stamp);
                prop_assert_eq!(rule.stored(rule.shown(stamp)), stamp);
            }
        }

        #[test]
        fn newer_stays_newer(start in 0..4_000_000_000i64, offset in 0..1_000_000_000i64, a in 0..LONGEST, b in 0..LONGEST, before in 1..1_000_000_000i64) {
            let rule = Stamps::new(start, offset);
            let (a, b, input) = (start + a, start + b, start - before);
            prop_assert_eq!(rule.shown(a) - rule.shown(b), a - b);
            prop_assert!(rule.shown(a) > rule.shown(input));
            prop_assert_eq!(rule.shown(a), a + offset);
        }
    }
}
