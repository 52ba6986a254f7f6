//! The supervisor's loop over one run: serves, forwards, times, and says what ended it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use belljar_model::{
    BudgetReport, ClockReport, EgressRecord, EndedBy, Label, LayerReport, Plan, Probe, RunReport,
    RunWhen, Streams, Usage, Window,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::budgets::Budgeter;
use super::cgroup::Leaf;
use super::stop::{Asked, Stop};
use super::streams::{Ends, Sink, resize};
use super::wire::{BuildReport, Channel, FromBuild, FromInit, Spent, ToBuild, ToInit};
use super::{layers, require};
use crate::clock::Skewer;
use crate::error::At;
use crate::notify::{Handler, Service};
use crate::observe::{Egress, NameSocket};
use crate::sys::process::{pidfd_open, wait4};
use crate::{SetupError, launch::hints};

/// Between the request to end and the order.
const GRACE: Duration = Duration::from_secs(5);

/// How often the sink hears that a run goes on.
const TICK: Duration = Duration::from_millis(200);

/// Pieces read from one stream before everything else is looked after.
const READS: usize = 16;

/// What a run left, as far as this loop knows.
pub(super) struct Ended {
    pub(super) report: RunReport,
    pub(super) budgets: Vec<BudgetReport>,
    pub(super) egress: Vec<EgressRecord>,
    pub(super) selftest: Vec<Probe>,
    pub(super) written: OwnedFd,
    pub(super) started_ns: i64,
    pub(super) remains: Remains,
}

/// A launcher that has nothing more to say. Dropping this waits for its end, after which no mount
/// of the sandbox is left. Must be dropped by the thread that started it.
#[derive(Debug)]
pub(super) struct Remains(Pid);

impl Drop for Remains {
    fn drop(&mut self) {
        // Nothing can be done about a child that is not there.
        let _ = wait4(self.0);
    }
}

pub(super) struct Supervisor<'a> {
    plan: &'a Plan,
    label: Label,
    offset_s: i64,
    launcher: Pid,
    gone: OwnedFd,
    init: Option<Pid>,
    to_init: Option<Channel>,
    to_build: Option<Channel>,
    ends: Ends,
    egress: Arc<Egress>,
    skewer: Option<Arc<Skewer>>,
    service: Option<Service>,
    budgets: Budgeter,
    begun: Instant,
    started_ns: i64,
    layers: Vec<LayerReport>,
    inside: Option<BuildReport>,
    written: Option<OwnedFd>,
    failure: Option<SetupError>,
    status: Option<i32>,
    /// Known once every process inside is gone.
    spent: Option<Spent>,
    /// Why belljar ends the run, and when it stops asking politely.
    ending: Option<(EndedBy, Instant)>,
}

impl<'a> Supervisor<'a> {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one run, each made elsewhere"
    )]
    pub(super) fn new(
        plan: &'a Plan,
        label: Label,
        offset_s: i64,
        launcher: Pid,
        leaf: Option<Leaf>,
        to_init: Channel,
        to_build: Channel,
        ends: Ends,
        egress: Arc<Egress>,
    ) -> Result<Self, SetupError> {
        let skewer = (offset_s != 0)
            .then(|| Skewer::prepare(offset_s))
            .transpose()?;
        Ok(Self {
            plan,
            label,
            offset_s,
            launcher,
            gone: pidfd_open(launcher).step("watch the launcher")?,
            init: None,
            to_init: Some(to_init),
            to_build: Some(to_build),
            ends,
            egress,
            skewer,
            service: None,
            budgets: Budgeter::new(plan.budgets, leaf),
            begun: Instant::now(),
            started_ns: 0,
            layers: Vec::new(),
            inside: None,
            written: None,
            failure: None,
            status: None,
            spent: None,
            ending: None,
        })
    }

    /// Runs until every process inside is gone.
    pub(super) fn run(mut self, sink: &mut dyn Sink, stop: &Stop) -> Result<Ended, SetupError> {
        let mut next_tick = TICK;
        while !self.turn(sink, stop)? {
            let elapsed = self.begun.elapsed();
            if elapsed >= next_tick {
                next_tick = elapsed + TICK;
                sink.tick(self.label, elapsed);
            }
            self.check_budgets();
        }
        self.finish(sink)
    }

    /// Waits for something and handles it; true once every process inside is gone.
    fn turn(&mut self, sink: &mut dyn Sink, stop: &Stop) -> Result<bool, SetupError> {
        let input = std::io::stdin();
        let mut fds = vec![
            PollFd::new(self.gone.as_fd(), PollFlags::POLLIN),
            PollFd::new(stop.as_fd(), PollFlags::POLLIN),
        ];
        let mut add = |fd, flags| {
            fds.push(PollFd::new(fd, flags));
            fds.len() - 1
        };
        let init = self
            .to_init
            .as_ref()
            .map(|c| add(c.0.as_fd(), PollFlags::POLLIN));
        let build = self
            .to_build
            .as_ref()
            .map(|c| add(c.0.as_fd(), PollFlags::POLLIN));
        let first_output = usize::from(init.is_some()) + usize::from(build.is_some()) + 2;
        let full = sink.full().map(|fd| add(fd, PollFlags::POLLOUT));
        let first_output = first_output + usize::from(full.is_some());
        let outputs = match full {
            None => self.ends.outputs.len(),
            Some(_) => 0,
        };
        for (_, fd) in &self.ends.outputs[..outputs] {
            add(fd.as_fd(), PollFlags::POLLIN);
        }
        let running = self.started_ns != 0;
        let wants =
            (running && self.ends.wants_input()).then(|| add(input.as_fd(), PollFlags::POLLIN));
        let pending = self
            .ends
            .input
            .as_ref()
            .filter(|_| self.ends.has_pending())
            .map(|fd| add(fd.as_fd(), PollFlags::POLLOUT));
        if let Some(fd) = self.budgets.waker().filter(|_| self.ending.is_none()) {
            add(fd, PollFlags::POLLIN);
        }
        let timeout = PollTimeout::try_from(self.patience()).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(SetupError::new("wait for the run", e)),
        }
        let ready: Vec<bool> = fds.iter().map(|f| f.any() == Some(true)).collect();
        drop(fds);
        let hit = |i: Option<usize>| i.is_some_and(|i| ready[i]);

        if ready[1] {
            self.asked(stop);
        }
        if hit(init) {
            self.hear_init();
        }
        if hit(build) {
            self.hear_build();
        }
        if hit(full) {
            sink.drain();
        }
        for i in (0..outputs).rev() {
            if ready[first_output + i] && !self.ends.read_output(i, self.label, sink, READS) {
                self.ends.outputs.remove(i);
            }
        }
        if hit(wants) {
            self.ends.read_input();
        }
        if hit(pending) {
            self.ends.write_input();
        }
        Ok(ready[0] || self.spent.is_some())
    }

    /// How long nothing can come due.
    fn patience(&self) -> Duration {
        let mut wait = TICK;
        if let Some((_, at)) = self.ending {
            wait = wait.min(at.saturating_duration_since(Instant::now()));
        }
        if let Some(ms) = self.plan.budgets.wall_ms {
            wait = wait.min(Duration::from_millis(ms).saturating_sub(self.begun.elapsed()));
        }
        // A poll of zero would spin while the last process dies.
        wait.max(Duration::from_millis(1))
    }

    fn hear_init(&mut self) {
        let Some(channel) = &self.to_init else { return };
        match channel.receive::<FromInit>() {
            Ok(Some((message, fds))) => self.init_said(message, fds),
            Ok(None) | Err(_) => self.to_init = None,
        }
    }

    fn init_said(&mut self, message: FromInit, mut fds: Vec<OwnedFd>) {
        match message {
            FromInit::Failed(error) => self.fail(hints::for_mounts(error)),
            FromInit::Started { pid } => self.init = Some(Pid::from_raw(pid)),
            FromInit::SetUp { layers } => {
                self.layers = layers;
                if let Err(e) = self.take_set_up(fds) {
                    self.fail(e);
                }
            }
            FromInit::Names => {
                if let Err(e) = self.serve_names(fds) {
                    self.fail(e);
                }
            }
            FromInit::Listener => {
                if let Err(e) = self.serve(fds.pop()) {
                    self.fail(e);
                }
            }
            FromInit::Ended { status } => self.status = Some(status),
            FromInit::Gone(spent) => self.spent = Some(spent),
        }
    }

    /// The workspace, what else counts as written, and the terminal if there is one.
    fn take_set_up(&mut self, mut fds: Vec<OwnedFd>) -> Result<(), SetupError> {
        if self.plan.streams == Streams::Terminal
            && let Some(master) = fds.pop()
        {
            self.ends.take_terminal(master)?;
        }
        let mut fds = fds.into_iter();
        let written = fds
            .next()
            .ok_or_else(|| SetupError::refused("take over the workspace", "it never came"))?;
        self.budgets.watch_disk(&written, fds.collect())?;
        self.written = Some(written);
        Ok(())
    }

    fn serve_names(&self, fds: Vec<OwnedFd>) -> Result<(), SetupError> {
        let socket = NameSocket::from_fds(fds)
            .ok_or_else(|| SetupError::refused("serve the sandbox's name socket", "none came"))?;
        self.egress.serve_names(socket)
    }

    /// Starts answering trapped calls, then lets the build's process go on.
    fn serve(&mut self, listener: Option<OwnedFd>) -> Result<(), SetupError> {
        let step = "serve the seccomp listener";
        let listener = listener.ok_or_else(|| SetupError::refused(step, "none came"))?;
        let egress: Arc<dyn Handler> = self.egress.clone();
        let skewer = self.skewer.clone().map(|s| s as Arc<dyn Handler>);
        let handlers = skewer.into_iter().chain([egress]).collect();
        // One thread is enough to begin with, and the build waits for it.
        let service = self.service.insert(Service::begin(listener, handlers)?);
        tell(self.to_build.as_ref(), &ToBuild::Served)?;
        service.reinforce()
    }

    fn hear_build(&mut self) {
        let Some(channel) = &self.to_build else {
            return;
        };
        let heard = channel.receive::<FromBuild>();
        let next = match heard {
            Ok(Some((FromBuild::Failed(error), _))) => Err(error),
            Ok(Some((FromBuild::ExecFailed { errno }, _))) => Err(SetupError::command(
                Errno::from_raw(errno),
                self.plan.command.first(),
            )),
            Ok(Some((FromBuild::Ready(report), _))) => self.go(report),
            Ok(None) | Err(_) => {
                self.to_build = None;
                Ok(())
            }
        };
        if let Err(error) = next {
            self.fail(error);
        }
    }

    /// Everything stands: checks what was measured from inside and lets the command start.
    fn go(&mut self, report: BuildReport) -> Result<(), SetupError> {
        if let Some(hole) = report.probes.iter().find(|p| !p.denied) {
            let detail = format!("{} was answered with {}", hole.attempt, hole.answer);
            return Err(SetupError::refused("close every way out", detail)
                .hint("this is a defect of belljar or of the kernel: please report it with `belljar doctor --json`"));
        }
        self.layers.extend(report.layers.iter().cloned());
        if self.egress.rehearsed() == 0 {
            layers::unseen(&mut self.layers);
        }
        self.layers.push(self.budgets.layer());
        self.layers.push(layers::clock(self.offset_s));
        self.layers.sort_by_key(|l| l.layer);
        require::enforce(self.plan, &mut self.layers)?;
        self.inside = Some(report);
        self.egress.begin_command();
        self.started_ns = now_ns(ClockId::CLOCK_REALTIME_COARSE);
        // The budget is the command's: the set-up has spent nothing of it.
        self.begun = Instant::now();
        tell(self.to_build.as_ref(), &ToBuild::Exec)
    }

    fn fail(&mut self, error: SetupError) {
        self.failure.get_or_insert(error);
        self.order_the_end();
    }

    fn asked(&mut self, stop: &Stop) {
        while let Some(asked) = stop.next() {
            match asked {
                Asked::Resize => self.ends.outputs.iter().for_each(|(_, fd)| resize(fd)),
                // The second request is not one for patience.
                Asked::Stop if self.ending.is_some() => self.order_the_end(),
                Asked::Stop => self.ask_to_end(EndedBy::Interrupt),
            }
        }
    }

    fn check_budgets(&mut self) {
        let spent = self
            .plan
            .budgets
            .wall_ms
            .is_some_and(|ms| self.begun.elapsed() >= Duration::from_millis(ms))
            && self.started_ns != 0;
        if let Some(why) = self.budgets.exceeded()
            && !matches!(self.ending, Some((EndedBy::Oom | EndedBy::Disk, _)))
        {
            // Asking takes time, and time is more memory and more disk.
            self.ending = Some((why, Instant::now()));
        }
        match self.ending {
            Some((_, at)) if Instant::now() >= at => self.order_the_end(),
            None if spent => self.ask_to_end(EndedBy::Timeout),
            Some(_) | None => {}
        }
    }

    /// SIGTERM to the build's process group, SIGKILL to everything after the grace.
    fn ask_to_end(&mut self, why: EndedBy) {
        self.ending = Some((why, Instant::now() + GRACE));
        let asked = self
            .to_init
            .as_ref()
            .map(|c| c.send(&ToInit::Signal(Signal::SIGTERM as i32)));
        if self.started_ns == 0 || !matches!(asked, Some(Ok(()))) {
            self.order_the_end();
        }
    }

    /// Kills init, and with it all that is inside.
    fn order_the_end(&mut self) {
        let target = self.init.unwrap_or(self.launcher);
        // It may have ended by itself meanwhile; its pid is not reused before the launcher is reaped.
        let _ = kill(target, Signal::SIGKILL);
        // A stopped launcher could not reap it.
        let _ = kill(self.launcher, Signal::SIGCONT);
    }

    fn finish(mut self, sink: &mut dyn Sink) -> Result<Ended, SetupError> {
        let remains = Remains(self.launcher);
        // What was said before the end is still in the sockets and pipes.
        while self.to_init.is_some() && self.spent.is_none() {
            self.hear_init();
        }
        while self.to_build.is_some() {
            self.hear_build();
        }
        for i in 0..self.ends.outputs.len() {
            self.ends.read_output(i, self.label, sink, usize::MAX);
        }
        let end_ns = now_ns(ClockId::CLOCK_REALTIME);
        if let Some(service) = self.service.take() {
            service.stop();
        }
        let wall = self.begun.elapsed();
        if let Some(error) = self.failure {
            return Err(error);
        }
        if self.started_ns == 0 {
            if let Some((EndedBy::Interrupt, _)) = self.ending {
                return Err(SetupError::interrupted());
            }
            let step = "set up the sandbox";
            if self.budgets.no_room() {
                let why = "it does not fit into the memory budget";
                return Err(SetupError::refused(step, why).hint("raise `--memory`"));
            }
            return Err(SetupError::refused(
                step,
                "its first process ended without a word",
            ));
        }
        let step = "keep the workspace";
        let written = self
            .written
            .ok_or_else(|| SetupError::refused(step, "it never came"))?;
        let log = self.egress.finish();
        // A launcher that was killed did not say.
        let used = self.spent.unwrap_or_default();
        let (exit, signal) = split(self.status);
        let by_itself = match (exit, signal) {
            // A build that did not notice left what fitted.
            (Some(0), _) if is_full(&written) => EndedBy::Disk,
            (Some(_), _) => EndedBy::Command,
            (None, Some(_)) => EndedBy::Signal,
            // Init was killed from outside: nobody knows how the command would have ended.
            (None, None) => EndedBy::Incomplete,
        };
        let spent = self
            .budgets
            .finish(self.ending.map(|(why, _)| why), exit == Some(0))?;
        let ended_by = spent.ended_by.unwrap_or(by_itself);
        let offset_ns = self.offset_s.saturating_mul(1_000_000_000);
        let shifted = |ns: i64| ns.saturating_add(offset_ns);
        let inside = self.inside.unwrap_or_else(|| BuildReport {
            layers: Vec::new(),
            clock: std::collections::BTreeMap::new(),
            probes: Vec::new(),
        });
        let report = RunReport {
            run: self.label,
            ended_by,
            status: exit,
            signal,
            workspace: String::new(),
            layers: self.layers,
            clock: ClockReport {
                moved: self.offset_s != 0,
                readers: inside.clock,
                uncovered: self.skewer.map(|s| s.report()).unwrap_or_default(),
            },
            records_lost: log.lost,
            when: RunWhen {
                window: Window {
                    start_ns: shifted(self.started_ns),
                    end_ns: shifted(end_ns),
                },
                usage: Usage {
                    wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
                    user_ms: used.user_ms,
                    system_ms: used.system_ms,
                    peak_memory_bytes: spent
                        .usage
                        .peak_memory_bytes
                        .unwrap_or(used.peak_memory_bytes),
                    throttled_ms: spent.usage.throttled_ms,
                    waited_cpu_ms: spent.usage.waited_cpu_ms,
                    waited_memory_ms: spent.usage.waited_memory_ms,
                    waited_io_ms: spent.usage.waited_io_ms,
                },
            },
        };
        Ok(Ended {
            report,
            budgets: spent.reports,
            egress: log.records,
            selftest: inside.probes,
            written,
            started_ns: self.started_ns,
            remains,
        })
    }
}

fn tell(build: Option<&Channel>, message: &ToBuild) -> Result<(), SetupError> {
    let step = "tell the build's process to go on";
    build
        .ok_or_else(|| SetupError::refused(step, "it is gone"))?
        .send(message)
        .step(step)
}

/// Whether the file system that the workspace is on has no room left.
fn is_full(written: &OwnedFd) -> bool {
    const ROOM: u64 = 64 << 10;
    nix::sys::statvfs::fstatvfs(written)
        .is_ok_and(|fs| fs.blocks_available().saturating_mul(fs.fragment_size()) < ROOM)
}

fn now_ns(clock: ClockId) -> i64 {
    clock_gettime(clock).map_or(0, |t| t.tv_sec() * 1_000_000_000 + t.tv_nsec())
}

/// Exit status and signal from a raw wait status.
fn split(status: Option<i32>) -> (Option<i32>, Option<i32>) {
    match status {
        Some(s) if libc::WIFEXITED(s) => (Some(libc::WEXITSTATUS(s)), None),
        Some(s) if libc::WIFSIGNALED(s) => (None, Some(libc::WTERMSIG(s))),
        _ => (None, None),
    }
}
