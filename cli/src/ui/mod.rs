//! What a person sees while a build runs: the build's own output, and on a terminal a line that
//! says that something still goes on.
//!
//! Knows nothing of verdicts; what is said at the end comes from `evidence::report`.

mod outlet;
mod progress;

use std::io::{self, IsTerminal as _};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use belljar_model::{Label, Streams};
use belljar_sandbox::launch::{Sink, Stream};

use crate::config::Voice;
use crate::evidence::EvidenceError;
use crate::evidence::folder::Growing;
use outlet::Outlet;
use progress::Progress;

/// Milliseconds between two looks at whether a reader has had long enough.
const PATIENCE: u16 = 100;

/// Where the output of the runs goes.
#[derive(Debug)]
pub struct Screen {
    pair: bool,
    voice: Voice,
    progress: Option<Progress>,
    log: Option<Growing>,
    log_error: Option<EvidenceError>,
    out: Outlet,
    err: Outlet,
}

impl Screen {
    /// For a command that makes a pair, or a single run, with these streams.
    pub fn new(pair: bool, streams: Streams, voice: Voice) -> Self {
        let alone = streams == Streams::Terminal;
        let show = !alone && !voice.quiet && io::stderr().is_terminal();
        let (out, err) = outlet::standard();
        Self {
            pair,
            voice,
            progress: show.then(Progress::default),
            log: None,
            log_error: None,
            out,
            err,
        }
    }

    /// The next run's output goes into this log.
    pub fn begin(&mut self, log: Option<Growing>) {
        self.log = log;
    }

    /// The run has ended: its log, or why it is not whole. Waits for the readers of what was shown
    /// until `enough` says that they have had long enough.
    pub fn end(
        &mut self,
        mut enough: impl FnMut() -> bool,
    ) -> Result<Option<Growing>, EvidenceError> {
        self.erase();
        for outlet in [&mut self.out, &mut self.err] {
            while !outlet.finish(PATIENCE.into()) && !enough() {}
        }
        let log = self.log.take();
        match self.log_error.take() {
            Some(error) => Err(error),
            None => Ok(log),
        }
    }

    /// Whether a run's output is shown: a single run's always, of a pair A's, and B's where more
    /// is asked for.
    fn shows(&self, run: Label) -> bool {
        !self.pair || (!self.voice.quiet && (run == Label::A || self.voice.verbose))
    }

    fn erase(&mut self) {
        if let Some(progress) = &mut self.progress {
            progress.erase(&mut io::stderr());
        }
    }

    /// Where a stream goes. With --json, stdout is for one document alone.
    fn outlet(&mut self, stream: Stream) -> &mut Outlet {
        if stream == Stream::Err || self.voice.json {
            &mut self.err
        } else {
            &mut self.out
        }
    }
}

impl Sink for Screen {
    fn output(&mut self, run: Label, stream: Stream, bytes: &[u8]) -> bool {
        if let Some(log) = &mut self.log
            && let Err(e) = log.add(bytes)
        {
            self.log_error = Some(e);
            self.log = None;
        }
        if !self.shows(run) {
            return true;
        }
        self.erase();
        let read = self.outlet(stream).put(bytes);
        if let Some(progress) = &mut self.progress {
            progress.shown(bytes);
        }
        // Whoever reads along with a pair has no part in it: its builds end by themselves.
        read || self.pair
    }

    fn full(&self) -> Option<BorrowedFd<'_>> {
        self.out.full().or_else(|| self.err.full())
    }

    fn drain(&mut self) {
        self.out.drain();
        self.err.drain();
    }

    fn tick(&mut self, run: Label, elapsed: Duration) {
        if let Some(progress) = &mut self.progress {
            progress.draw(&mut io::stderr(), self.pair.then_some(run), elapsed);
        }
    }
}
