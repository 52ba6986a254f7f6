//! The clocks of both runs, and how sure a find in them is.

use belljar_model::Window;
use jiff::Timestamp;

use super::parts::Second;
use crate::Clock;

/// Seconds since the epoch, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Span {
    /// With what a stamp may be rounded: DOS times count in steps of two seconds.
    fn of(window: Window, shift_s: i64) -> Self {
        let second = |ns: i64| ns.div_euclid(1_000_000_000).saturating_add(shift_s);
        Self {
            from: second(window.start_ns).saturating_sub(2),
            to: second(window.end_ns).saturating_add(1),
        }
    }

    pub(super) fn has(self, second: i64) -> bool {
        (self.from..=self.to).contains(&second)
    }

    pub(super) fn seconds(self) -> i64 {
        self.to.saturating_sub(self.from).saturating_add(1)
    }

    fn apart(self, other: Self) -> bool {
        self.to < other.from || other.to < self.from
    }
}

/// Of a run that is longer only the beginning is looked at, second by second.
const MOST_SECONDS: i64 = 4 * 3600;

/// A clock, and what it would print at each of its seconds.
#[derive(Debug)]
pub(super) struct Face {
    pub(super) span: Span,
    pub(super) seconds: Vec<Second>,
}

impl Face {
    fn new(span: Span) -> Self {
        let to = span.to.min(span.from.saturating_add(MOST_SECONDS));
        let seconds = (span.from..=to).filter_map(Second::at).collect();
        Self { span, seconds }
    }
}

/// What the wall clocks of both runs showed.
#[derive(Debug)]
pub(super) struct Clocks {
    pub(super) a: Face,
    /// B's clock as the build read it; absent where it overlaps A's, so that a stamp could be
    /// either's.
    pub(super) b: Option<Face>,
    /// B's real time: stamps of files, as long as they do not move.
    pub(super) real: Span,
}

/// On which of B's clocks a stamp of B lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Which {
    Moved,
    Real,
}

impl Clocks {
    pub(super) fn new(a: Clock, b: Clock) -> Self {
        let (span_a, span_b) = (Span::of(a.window, 0), Span::of(b.window, 0));
        Self {
            a: Face::new(span_a),
            b: span_b.apart(span_a).then(|| Face::new(span_b)),
            real: Span::of(b.window, b.offset_s.saturating_neg()),
        }
    }

    /// The clocks on which A shows `x` and B shows `y`.
    pub(super) fn which(&self, x: i64, y: i64) -> Option<Which> {
        if !self.a.span.has(x) || x == y {
            return None;
        }
        if self.b.as_ref().is_some_and(|b| b.span.has(y)) {
            return Some(Which::Moved);
        }
        self.real.has(y).then_some(Which::Real)
    }

    /// How much a number in both clocks says: bits that chance had to get right. On the real
    /// clock B's number follows from A's, so that it says nothing more.
    pub(super) fn bits(&self, which: Which) -> f64 {
        let one = |span: Span| 32.0 - log2(span.seconds());
        match (which, &self.b) {
            (Which::Moved, Some(b)) => one(self.a.span) + one(b.span),
            _ => one(self.a.span),
        }
    }
}

/// From here on chance is out of the question.
pub(super) const PROVEN: f64 = 22.0;

/// Below this nothing is said.
pub(super) const LIKELY: f64 = 10.0;

#[expect(clippy::cast_precision_loss, reason = "a measure of odds, not a count")]
pub(super) fn log2(n: i64) -> f64 {
    (n.max(1) as f64).log2()
}

/// A second as people read it.
pub(super) fn shown(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|_| second.to_string(), |t| t.to_string())
}
