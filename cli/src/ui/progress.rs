//! One line that says that a run goes on, drawn only where it can be erased again, and only
//! while the build itself says nothing.

use std::io::Write;
use std::time::{Duration, Instant};

use belljar_model::Label;

/// A build that says something more often than this needs no line.
const SILENCE: Duration = Duration::from_secs(2);
/// Back to the start of the line, and away with it.
const ERASE: &str = "\r\x1b[2K";

/// The state of the line.
#[derive(Debug)]
pub struct Progress {
    /// What stands there; drawn anew only when it changes.
    drawn: Option<String>,
    /// How long run A has taken.
    a_took: Duration,
    /// The build's last output ended a line: only then is there a line to draw on.
    at_start: bool,
    last_output: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            drawn: None,
            a_took: Duration::ZERO,
            at_start: true,
            last_output: Instant::now(),
        }
    }
}

impl Progress {
    /// The build's output was shown.
    pub fn shown(&mut self, bytes: &[u8]) {
        self.at_start = bytes.last().is_none_or(|b| *b == b'\n');
        self.last_output = Instant::now();
    }

    /// Draws the line, where it is of use.
    pub fn draw(&mut self, to: &mut impl Write, run: Option<Label>, elapsed: Duration) {
        if run == Some(Label::A) {
            self.a_took = elapsed;
        }
        if !self.at_start || self.last_output.elapsed() < SILENCE {
            return;
        }
        let so_far = time(elapsed);
        let line = match run {
            None => format!("belljar: the command runs, {so_far}"),
            Some(Label::A) => format!("belljar: run A, {so_far}"),
            Some(run @ (Label::B | Label::C)) => {
                let run = run.upper();
                let of = time(self.a_took);
                format!("belljar: run {run}, the clock moved, {so_far} (run A took {of})")
            }
        };
        if self.drawn.as_ref() == Some(&line) {
            return;
        }
        // A terminal that is gone is no error.
        let _ = write!(to, "{ERASE}{line}");
        let _ = to.flush();
        self.drawn = Some(line);
    }

    /// Takes the line away.
    pub fn erase(&mut self, to: &mut impl Write) {
        if self.drawn.take().is_some() {
            let _ = to.write_all(ERASE.as_bytes());
            let _ = to.flush();
        }
    }
}

/// `12 s`, `3 min 05 s`, `2 h 03 min`.
fn time(elapsed: Duration) -> String {
    let s = elapsed.as_secs();
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent() -> Progress {
        let last_output = Instant::now().checked_sub(SILENCE * 2).unwrap();
        Progress {
            last_output,
            ..Progress::default()
        }
    }

    #[test]
    fn drawn_in_silence_once_and_erased_once() {
        let (mut progress, mut out) = (silent(), Vec::new());
        for tenths in [650, 652, 654] {
            progress.draw(
                &mut out,
                Some(Label::A),
                Duration::from_millis(tenths * 100),
            );
        }
        progress.erase(&mut out);
        progress.erase(&mut out);
        progress.draw(&mut out, Some(Label::B), Duration::from_secs(2));
        let wanted = format!(
            "{ERASE}belljar: run A, 1 min 05 s{ERASE}\
             {ERASE}belljar: run B, the clock moved, 2 s (run A took 1 min 05 s)"
        );
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }

    #[test]
    fn not_drawn_into_a_line_of_the_build_nor_while_it_speaks() {
        let (mut progress, mut out) = (silent(), Vec::new());
        progress.at_start = false;
        progress.draw(&mut out, None, Duration::from_secs(5));
        progress.shown(b"done\n");
        progress.draw(&mut out, None, Duration::from_secs(5));
        assert_eq!(out, b"");
    }

    #[test]
    fn times() {
        let of = |s| time(Duration::from_secs(s));
        assert_eq!(
            [of(0), of(59), of(60), of(3599), of(7380)],
            ["0 s", "59 s", "1 min 00 s", "59 min 59 s", "2 h 03 min"]
        );
    }
}
