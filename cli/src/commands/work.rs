//! What `run` and `verify` share: the runs themselves, and the end, at which evidence is written
//! and the result is said.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use belljar_model::{Differences, FarReport, Label, Plan, ResultDoc, ResultWhen, exit};
use belljar_sandbox::SetupError;
use belljar_sandbox::capture::{CaptureError, Captured, Workspace, capture};
use belljar_sandbox::launch::scratch::Scratch;
use belljar_sandbox::launch::{Ahead, Asked, Outcome, Session, Sink as _, Stop};
use jiff::Timestamp;

use super::door::Way;
use super::export;
use super::gather::{Gathered, Recorder};
use super::plan::Prepared;
use crate::errors::{Class, CommandError};
use crate::evidence::EvidenceError;
use crate::evidence::folder::Staging;
use crate::evidence::report::{text, words::count};
use crate::evidence::story::{Story, Told, no_facts};
use crate::evidence::verdict::{Judgement, NoRun, RunFacts};
use crate::ui::Screen;

/// A command at work.
#[derive(Debug)]
pub struct Work<'a> {
    prepared: &'a Prepared,
    stop: Stop,
    screen: Screen,
    evidence: Gathered<'a>,
    /// What the runs share of the way out.
    way: Option<Way>,
    started: Timestamp,
    /// Somebody asked belljar to stop while no run was there to hear it.
    asked: bool,
    /// Why the command did not run, with the paths that evidence may not hold.
    failure: Option<CommandError>,
    trouble: Vec<String>,
    hints: Vec<String>,
    /// What was exported, in a phrase.
    exported: Option<String>,
}

/// How far the clocks were moved, and what the far run found.
#[derive(Debug, Default)]
pub struct Moved {
    /// Run B's clock, in seconds.
    pub offset_s: Option<i64>,
    /// Run C's clock, in seconds.
    pub far_offset_s: Option<i64>,
    /// What run C found.
    pub far: Option<FarReport>,
}

/// A run that was made.
#[derive(Debug)]
pub struct Ran {
    outcome: Outcome,
    captured: Option<Captured>,
}

impl Ran {
    /// As evidence wants it.
    pub fn told(&self) -> Told<'_> {
        Told {
            report: &self.outcome.report,
            budgets: &self.outcome.budgets,
            egress: &self.outcome.egress,
            selftest: &self.outcome.selftest,
            manifest: self.captured.as_ref().map(|c| &c.manifest),
        }
    }

    /// What it wrote.
    pub fn workspace(&self) -> &Workspace {
        &self.outcome.workspace
    }

    /// Its scratch folder, for when nothing more of what it wrote is wanted.
    pub fn take_scratch(&mut self) -> Option<Scratch> {
        self.outcome.scratch.take()
    }

    /// Whether the command ended with 0 by itself.
    pub fn passed(&self) -> bool {
        let report = &self.outcome.report;
        report.ended_by == belljar_model::EndedBy::Command && report.status == Some(0)
    }
}

/// What the verdict needs of a run, made or not.
pub fn facts<'a>(run: &'a Result<Ran, NoRun>, plan: &Plan) -> RunFacts<'a> {
    match run {
        Ok(ran) => ran.told().facts(plan),
        Err(no_run) => no_facts(no_run),
    }
}

impl<'a> Work<'a> {
    /// Says what the caller should know, and makes room for evidence.
    pub fn begin(prepared: &'a Prepared, pair: bool) -> Result<Self, CommandError> {
        let stop = Stop::install()?;
        if !prepared.voice.quiet {
            for notice in &prepared.notices {
                say(&format!("belljar: {notice}\n"));
            }
        }
        Ok(Self {
            prepared,
            stop,
            screen: Screen::new(pair, prepared.plan.streams, prepared.voice),
            evidence: Gathered::new(&prepared.host),
            way: None,
            started: Timestamp::now(),
            asked: false,
            failure: None,
            trouble: Vec::new(),
            hints: Vec::new(),
            exported: None,
        })
    }

    /// Looks at the source tree.
    pub fn session(&mut self, ahead: Option<Ahead>) -> Result<Session<'a>, NoRun> {
        let prepared = self.prepared;
        Session::prepare(&prepared.plan, &prepared.host, ahead).map_err(|e| self.failed(e))
    }

    /// One run, with its output shown and logged. `read`: read its outputs if it passes.
    pub fn run(
        &mut self,
        session: &mut Session<'_>,
        label: Label,
        offset_s: i64,
        read: bool,
    ) -> Result<Ran, NoRun> {
        let mut ran = self
            .attempt(session, label, offset_s)
            .map_err(|e| self.failed(e))?;
        if read && ran.passed() {
            match self.capture(&mut ran, label) {
                Ok(unmatched) => self.trouble.extend(unmatched),
                Err(e) => {
                    self.trouble.push(e.to_string());
                    self.hints.push(e.hint().to_owned());
                }
            }
        }
        Ok(ran)
    }

    /// One run that nothing depends on: what becomes of it is the caller's to say.
    pub fn attempt(
        &mut self,
        session: &mut Session<'_>,
        label: Label,
        offset_s: i64,
    ) -> Result<Ran, SetupError> {
        let prepared = self.prepared;
        let way = match &self.way {
            Some(way) => way,
            None => self.way.insert(Way::make(
                &prepared.plan,
                &prepared.host,
                &prepared.credentials,
            )?),
        };
        let door = way.open(&prepared.plan, label)?;
        let mut sink = Recorder::new(label, &mut self.screen, &mut self.evidence);
        let outcome = session.run(label, offset_s, door, &mut sink, &self.stop);
        // Where the set-up did not come that far.
        sink.started();
        let mut asked = false;
        let ended = self.screen.end(|| {
            asked |= asked_to_stop(&self.stop);
            asked
        });
        self.asked |= asked;
        match ended {
            Ok(Some(log)) => {
                self.staged(|staging| staging.finish(log));
            }
            Ok(None) => {}
            Err(e) => self.evidence.lose(e),
        }
        Ok(Ran {
            outcome: outcome?,
            captured: None,
        })
    }

    /// Reads a run's outputs; one sentence for each declared output that is not there.
    pub fn capture(&self, ran: &mut Ran, label: Label) -> Result<Vec<String>, CaptureError> {
        let plan = &self.prepared.plan;
        let captured = capture(&ran.outcome.workspace, &plan.outputs, &plan.cwd, label)?;
        let unmatched = captured
            .unmatched
            .iter()
            .map(|glob| format!("no output of run {} matches `{glob}`", label.upper()))
            .collect();
        ran.captured = Some(captured);
        Ok(unmatched)
    }

    /// Exports the outputs of a run that passed, if there is a place for them; else why not, and
    /// what to do.
    pub fn export(&mut self, ran: &Ran) -> Result<(), (String, String)> {
        let Some(captured) = &ran.captured else {
            return Ok(());
        };
        let done = export::export(self.prepared, ran.workspace(), &captured.manifest)?;
        self.exported = done.map(|(n, to)| format!("{} written into {to}", count(n, "path")));
        Ok(())
    }

    /// Something after the runs went wrong: no statement can be made.
    pub fn trouble(&mut self, why: String, hint: Option<String>) {
        self.trouble.push(why);
        self.hints.extend(hint);
    }

    /// What went wrong after the runs.
    pub fn troubles(&self) -> &[String] {
        &self.trouble
    }

    /// Whether somebody asked belljar to stop while no run was there to hear it.
    pub fn interrupted(&mut self) -> Option<NoRun> {
        self.asked |= asked_to_stop(&self.stop);
        self.asked.then(|| NoRun {
            class: Class::Interrupted,
            sentence: "interrupted".into(),
        })
    }

    /// The command did not run. What evidence may hold of the reason has no path of the host.
    pub fn failed(&mut self, e: SetupError) -> NoRun {
        self.hints.extend(e.hint.clone());
        let class = Class::of_setup(&e);
        let sentence = SetupError {
            path: None,
            ..e.clone()
        }
        .to_string();
        self.failure = Some(e.into());
        NoRun { class, sentence }
    }

    /// Does something with the staged evidence, while there is any.
    pub fn staged<T>(
        &mut self,
        f: impl FnOnce(&mut Staging) -> Result<T, EvidenceError>,
    ) -> Option<T> {
        self.evidence.staged(f)
    }

    /// Writes evidence, says the result, and gives the exit code.
    pub fn end(
        mut self,
        command: &'static str,
        runs: Vec<Told<'_>>,
        differences: Option<&Differences>,
        judgement: Judgement,
        moved: Moved,
    ) -> ExitCode {
        let story = Story {
            command,
            plan: &self.prepared.plan,
            runs,
            differences,
            judgement,
            far: moved.far,
            hints: std::mem::take(&mut self.hints),
            when: ResultWhen {
                started: self.started.to_string(),
                ended: Timestamp::now().to_string(),
                offset_s: moved.offset_s,
                far_offset_s: moved.far_offset_s,
                network: None,
                kernel: kernel(),
            },
        };
        let mut doc = story.document();
        self.staged(|staging| story.write(&doc, staging));
        let written = self.evidence.finish().is_some_and(|staging| {
            let committed = staging.commit(&mut doc);
            committed.inspect_err(|e| unwritten(e).print()).is_ok()
        });
        let printed = self.print(&doc);
        self.say(&doc, differences, written);
        ExitCode::from(code(&doc, written && printed))
    }

    /// What `--json` asked for; false where it could not be written.
    fn print(&self, doc: &ResultDoc) -> bool {
        if !self.prepared.voice.json {
            return true;
        }
        super::print(&crate::evidence::json(doc))
            .inspect_err(CommandError::print)
            .is_ok()
    }

    fn say(&self, doc: &ResultDoc, differences: Option<&Differences>, written: bool) {
        let voice = self.prepared.voice;
        if let Some(failure) = &self.failure {
            failure.print();
        } else if !voice.quiet || doc.exit_code != 0 {
            let folder = shown(&self.prepared.host.evidence);
            let options = text::Options {
                evidence: written.then_some(&folder),
                exported: self.exported.as_deref(),
                verbose: voice.verbose,
            };
            say(&text::render(doc, differences, options));
        }
    }
}

/// The exit code: evidence that could not be written changes it, but not over a set-up failure or
/// an interrupt, after which nobody counts on evidence. It never changes the verdict.
fn code(doc: &ResultDoc, written: bool) -> u8 {
    use belljar_model::EndedBy::{Interrupt, Setup};
    let kept = written || matches!(doc.ended_by, Setup | Interrupt);
    if kept {
        doc.exit_code
    } else {
        exit::INCOMPLETE
    }
}

fn asked_to_stop(stop: &Stop) -> bool {
    std::iter::from_fn(|| stop.next()).any(|asked| asked == Asked::Stop)
}

/// That there will be no evidence.
pub fn unwritten(e: &EvidenceError) -> CommandError {
    let error = CommandError::incomplete(format!("evidence is not written: {e}"));
    match e.hint() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// belljar's own words go to stderr; that it is gone is no further error.
pub fn say(text: &str) {
    let _ = anstream::stderr().write_all(text.as_bytes());
}

/// A path as the caller would type it: relative where it is below the current folder.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok());
    below.unwrap_or(path).to_string_lossy().into_owned()
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}
