//! The supervisor's loop over one run: waits, forwards and times. What it hears is in `hear`, how it
//! ends a run in `end`, what a run left in `outcome`.

mod end;
mod hear;
mod outcome;

pub(super) use outcome::{Ended, Remains};

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use belljar_model::{EndedBy, Label, LayerReport, Plan};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use super::Door;
use super::budgets::Budgeter;
use super::cgroup::Leaf;
use super::door::{Listeners, Watched};
use super::stop::Stop;
use super::streams::{Ends, Sink};
use super::wire::{BuildReport, Channel, Spent};
use crate::SetupError;
use crate::clock::Skewer;
use crate::error::At;
use crate::notify::Service;
use crate::observe::Egress;
use crate::sys::process::pidfd_open;

/// How often the sink hears that a run goes on.
const TICK: Duration = Duration::from_millis(200);

/// Pieces read from one stream before everything else is looked after.
const READS: usize = 16;

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
    /// The egress proxy, until it serves; where the set-up fails before, another may have it.
    door: &'a mut Option<Door>,
    listeners: Listeners,
    watched: Option<Watched>,
    /// How it is confined.
    confinement: Option<String>,
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
        start_s: i64,
        launcher: Pid,
        leaf: Option<Leaf>,
        to_init: Channel,
        to_build: Channel,
        ends: Ends,
        egress: Arc<Egress>,
        door: &'a mut Option<Door>,
    ) -> Result<Self, SetupError> {
        let skewer = (offset_s != 0)
            .then(|| Skewer::prepare(offset_s, start_s))
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
            door,
            listeners: Listeners::default(),
            watched: None,
            confinement: None,
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
        let proxy = self
            .watched
            .as_ref()
            .map(|w| add(w.gone(), PollFlags::POLLIN));
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
        if hit(proxy) {
            self.miss_proxy();
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
}

fn now_ns(clock: ClockId) -> i64 {
    clock_gettime(clock).map_or(0, |t| t.tv_sec() * 1_000_000_000 + t.tv_nsec())
}
