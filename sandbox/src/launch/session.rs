//! One command's use of the sandbox: the survey once, then one or two runs on the same rung.

use std::time::Duration;

use belljar_model::{BudgetReport, EgressRecord, Label, Plan, Probe, RunReport, Streams};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};

use super::ahead::Ahead;
use super::cgroup::Leaf;
use super::id::RunId;
use super::ids::Mapping;
use super::orders::Orders;
use super::scratch::Scratch;
use super::streams::{self, Sink};
use super::supervise::{Remains, Supervisor};
use super::terminal::Terminal;
use super::workspace::{OVERLAY_STEP, ladder};
use super::{Door, Stop, Survey};
use crate::SetupError;
use crate::capture::{Rung, Workspace};
use crate::clock::Stamps;
use crate::error::At;
use crate::observe::Egress;
use crate::plan::Host;

/// A `--disk` budget up to this many bytes may be served from memory.
const SMALL_DISK: u64 = 1 << 30;

/// What a finished run leaves.
#[derive(Debug)]
pub struct Outcome {
    /// What is known of the run.
    pub report: RunReport,
    /// Which budgets were asked, what held them, which was hit.
    pub budgets: Vec<BudgetReport>,
    /// What it tried to reach.
    pub egress: Vec<EgressRecord>,
    /// The probes made before the command.
    pub selftest: Vec<Probe>,
    /// What it wrote.
    pub workspace: Workspace,
    /// The scratch folder that holds the workspace, until it is dropped.
    pub scratch: Option<Scratch>,
    /// Waits, when it is dropped, until the last mount of the sandbox is gone.
    _remains: Remains,
}

/// One command's use of the sandbox.
#[derive(Debug)]
pub struct Session<'a> {
    plan: &'a Plan,
    host: &'a Host,
    mapping: Mapping,
    survey: Survey,
    rungs: Vec<Rung>,
    ahead: Option<Ahead>,
}

impl<'a> Session<'a> {
    /// Looks at the source tree and decides what can be decided before anything is made. A launcher
    /// that was started ahead serves the first run.
    pub fn prepare(
        plan: &'a Plan,
        host: &'a Host,
        ahead: Option<Ahead>,
    ) -> Result<Self, SetupError> {
        if host.scratch.starts_with(&host.root) {
            return Err(SetupError::refused(
                "make a scratch folder",
                "it would lie inside the source tree",
            )
            .at(host.scratch.as_path())
            .hint("name another place with --scratch"));
        }
        if std::fs::read("/proc/1/cmdline").is_ok_and(|name| name.starts_with(b"belljar-init")) {
            return Err(SetupError::refused(
                "make a sandbox",
                "belljar runs inside belljar already",
            )
            .hint("leave out the inner belljar: what it would run is sealed in"));
        }
        sweep(host);
        let mapping = Mapping::choose(&host.root, host.owner, host.caller)?;
        let survey = Survey::of(host, mapping.on_disk())?;
        if let Some(path) = &survey.foreign_user {
            return Err(SetupError::refused(
                "map the owner of the root folder to the builder",
                "the tree has files of more than one user",
            )
            .at(path.as_path())
            .hint("give the tree to one user (chown -R), or build a clean checkout"));
        }
        let small = plan.budgets.disk_bytes.is_some_and(|d| d <= SMALL_DISK);
        let rungs = ladder(plan.workspace, &survey, small)?;
        Ok(Self {
            plan,
            host,
            mapping,
            survey,
            rungs,
            ahead,
        })
    }

    /// What the look at the source tree found.
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// One run, its wall clock moved by `offset_s` seconds. The first run settles the rung. With a
    /// door its policy's destinations can be reached; without one nothing can.
    pub fn run(
        &mut self,
        label: Label,
        offset_s: i64,
        mut door: Option<Door>,
        sink: &mut dyn Sink,
        stop: &Stop,
    ) -> Result<Outcome, SetupError> {
        loop {
            let rung = self.rungs[0];
            match self.attempt(rung, label, offset_s, &mut door, sink, stop) {
                Err(e) if e.step == OVERLAY_STEP && self.rungs.len() > 1 => {
                    self.rungs.remove(0);
                }
                Ok(outcome) => {
                    self.rungs.truncate(1);
                    return Ok(outcome);
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn attempt(
        &mut self,
        rung: Rung,
        label: Label,
        offset_s: i64,
        door: &mut Option<Door>,
        sink: &mut dyn Sink,
        stop: &Stop,
    ) -> Result<Outcome, SetupError> {
        let start_s = match offset_s {
            0 => second(),
            _ => behind(self.survey.newest_second),
        };
        let scratch = Scratch::create(&self.host.scratch, RunId::new()?)?;
        let leaf = Leaf::create(&self.plan.budgets, scratch.id())?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let lower = nix::fcntl::open(&self.host.root, flags, Mode::empty())
            .step_at("open the root folder", self.host.root.as_path())?;
        let (ends, theirs) = streams::make(self.plan.streams)?;
        let fits = |a: &Ahead| a.fits(self.mapping, leaf.as_ref());
        let ahead = if let Some(ahead) = self.ahead.take().filter(fits) {
            ahead
        } else {
            let hidden = door.as_ref().map_or(&[][..], Door::hidden);
            Ahead::with(self.mapping, leaf.as_ref(), hidden)?
        };
        let (plan, host) = (self.plan, self.host);
        let orders = Orders::new(
            plan,
            host,
            label,
            rung,
            offset_s,
            scratch.path(),
            door.as_ref(),
        );
        let ordered = ahead.order(&orders, theirs)?;
        let terminal = (self.plan.streams == Streams::Terminal)
            .then(Terminal::find)
            .flatten();
        sink.started();
        if let Some(terminal) = &terminal {
            terminal.make_raw();
        }
        let egress = Egress::new(label, self.host.home.as_deref());
        let supervisor = Supervisor::new(
            self.plan,
            label,
            offset_s,
            start_s,
            ordered.launcher,
            leaf,
            ordered.init,
            ordered.build,
            ends,
            egress,
            door,
        )?;
        let ended = supervisor.run(sink, stop)?;
        let workspace = Workspace {
            upper: ended.written,
            lower,
            hidden: self
                .host
                .hidden
                .iter()
                .map(|p| p.as_path().into())
                .collect(),
            rung,
            started_ns: ended.started_ns,
            offset_s,
            stamps: Stamps::new(start_s, offset_s),
        };
        let mut report = ended.report;
        rung.name().clone_into(&mut report.workspace);
        Ok(Outcome {
            report,
            budgets: ended.budgets,
            egress: ended.egress,
            selftest: ended.selftest,
            workspace,
            scratch: Some(scratch),
            _remains: ended.remains,
        })
    }
}

/// Removes what dead runs left. Looking for cgroups costs more than looking for scratch folders,
/// so it is done only after a run that left the one, and may have left the other.
fn sweep(host: &Host) {
    let dead = super::scratch::sweep(&host.scratch).removed;
    let still_dying = || {
        let alive = super::cgroup::sweep().alive;
        dead.iter().any(|id| alive.contains(id))
    };
    // A process that is killed lets go of its locks one after the other.
    let mut tries = 0;
    while !dead.is_empty() && still_dying() && tries < 100 {
        std::thread::sleep(std::time::Duration::from_millis(1));
        tries += 1;
    }
}

/// The second that the kernel stamps files with.
fn second() -> i64 {
    let now = clock_gettime(ClockId::CLOCK_REALTIME_COARSE);
    now.map_or(0, |now| now.tv_sec())
}

/// The second at which a run starts, with its clock moved: a later one than that of the newest input,
/// which would else count as made in the run. Waits for less than a second, and not for an input of
/// the future.
fn behind(newest: i64) -> i64 {
    while newest == second() {
        std::thread::sleep(Duration::from_millis(10));
    }
    second()
}
