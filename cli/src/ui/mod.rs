//! What a person sees while a build runs: the build's own output, and on a terminal a line that
//! says that something still goes on.
//!
//! Knows nothing of verdicts; what is said at the end comes from `evidence::report`.

mod progress;

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use belljar_model::{Label, Streams};
use belljar_sandbox::launch::{Sink, Stream};

use crate::config::Voice;
use crate::evidence::EvidenceError;
use crate::evidence::folder::Growing;
use progress::Progress;

/// Where the output of the runs goes.
#[derive(Debug)]
pub struct Screen {
    pair: bool,
    voice: Voice,
    progress: Option<Progress>,
    log: Option<Growing>,
    log_error: Option<EvidenceError>,
    /// Whether somebody still reads stdout and stderr.
    out: bool,
    err: bool,
}

impl Screen {
    /// For a command that makes a pair, or a single run, with these streams.
    pub fn new(pair: bool, streams: Streams, voice: Voice) -> Self {
        let alone = streams == Streams::Terminal;
        let show = !alone && !voice.quiet && io::stderr().is_terminal();
        Self {
            pair,
            voice,
            progress: show.then(Progress::default),
            log: None,
            log_error: None,
            out: true,
            err: true,
        }
    }

    /// The next run's output goes into this log.
    pub fn begin(&mut self, log: Option<Growing>) {
        self.log = log;
    }

    /// The run has ended: its log, or why it is not whole.
    pub fn end(&mut self) -> Result<Option<Growing>, EvidenceError> {
        self.erase();
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

    fn forward(&mut self, stream: Stream, bytes: &[u8]) {
        // With --json, stdout is for one document alone.
        let to_out = stream != Stream::Err && !self.voice.json;
        let open = if to_out { &mut self.out } else { &mut self.err };
        if !*open {
            return;
        }
        let written = if to_out {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        } else {
            io::stderr().lock().write_all(bytes)
        };
        *open = written.is_ok();
    }
}

impl Sink for Screen {
    fn output(&mut self, run: Label, stream: Stream, bytes: &[u8]) {
        if let Some(log) = &mut self.log
            && let Err(e) = log.add(bytes)
        {
            self.log_error = Some(e);
            self.log = None;
        }
        if self.shows(run) {
            self.erase();
            self.forward(stream, bytes);
            if let Some(progress) = &mut self.progress {
                progress.shown(bytes);
            }
        }
    }

    fn tick(&mut self, run: Label, elapsed: Duration) {
        if let Some(progress) = &mut self.progress {
            progress.draw(&mut io::stderr(), self.pair.then_some(run), elapsed);
        }
    }
}
