//! The evidence of a command while it is gathered: opened when that costs least, and given up, with
//! a word to the caller, once something of it can't be written.

use belljar_model::{Label, OsText};
use belljar_sandbox::launch::{Sink, Stream};
use belljar_sandbox::plan::Host;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::work::unwritten;
use crate::evidence::folder::Staging;
use crate::evidence::{EvidenceError, security};
use crate::ui::Screen;

/// The evidence of one command.
#[derive(Debug)]
pub struct Gathered<'a> {
    host: &'a Host,
    /// `None`: not opened yet.
    staging: Option<Result<Staging, EvidenceError>>,
}

impl<'a> Gathered<'a> {
    /// A folder that has to be made is made at once, since a run that has begun would see it come.
    /// One that is there is hidden from the run, and waits until there is time: while the sandbox
    /// is put together this process has nothing else to do.
    pub fn new(host: &'a Host) -> Self {
        let mut gathered = Self {
            host,
            staging: None,
        };
        if !host.evidence.is_dir() {
            gathered.open();
        }
        gathered
    }

    fn open(&mut self) -> &mut Result<Staging, EvidenceError> {
        let host = self.host;
        self.staging.get_or_insert_with(|| {
            Staging::open(&host.evidence, &host.root, host.owner)
                .inspect_err(|e| unwritten(e).print())
        })
    }

    /// Does something with the staged evidence, while there is any.
    pub fn staged<T>(
        &mut self,
        f: impl FnOnce(&mut Staging) -> Result<T, EvidenceError>,
    ) -> Option<T> {
        match f(self.open().as_mut().ok()?) {
            Ok(done) => Some(done),
            Err(e) => {
                self.lose(e);
                None
            }
        }
    }

    /// There will be none.
    pub fn lose(&mut self, e: EvidenceError) {
        unwritten(&e).print();
        self.staging = Some(Err(e));
    }

    /// What was gathered, if anything can be written.
    pub fn finish(&mut self) -> Option<Staging> {
        self.open();
        self.staging.replace(Err(EvidenceError::Done))?.ok()
    }
}

/// A run's way to screen and log. The log is started, and the files of every command are made, once
/// the launcher is at work.
pub struct Recorder<'r, 'a> {
    run: Label,
    screen: &'r mut Screen,
    evidence: &'r mut Gathered<'a>,
    begun: bool,
}

impl<'r, 'a> Recorder<'r, 'a> {
    /// For one run.
    pub fn new(run: Label, screen: &'r mut Screen, evidence: &'r mut Gathered<'a>) -> Self {
        Self {
            run,
            screen,
            evidence,
            begun: false,
        }
    }
}

impl Sink for Recorder<'_, '_> {
    fn started(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let log = OsText::from(format!("logs/{}.log", self.run.lower()).as_str());
        let log = self.evidence.staged(|staging| staging.start(&log));
        self.screen.begin(log);
        self.evidence
            .staged(|staging| staging.make_ahead("security", security::FILES));
    }

    fn output(&mut self, run: Label, stream: Stream, bytes: &[u8]) -> bool {
        self.screen.output(run, stream, bytes)
    }

    fn full(&self) -> Option<BorrowedFd<'_>> {
        self.screen.full()
    }

    fn drain(&mut self) {
        self.screen.drain();
    }

    fn tick(&mut self, run: Label, elapsed: Duration) {
        self.screen.tick(run, elapsed);
    }
}
