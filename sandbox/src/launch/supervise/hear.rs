//! What launcher, init and build tell the supervisor, and what it does about it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use belljar_model::{Layer, LayerReport, Streams};
use nix::errno::Errno;
use nix::time::ClockId;
use nix::unistd::Pid;

use super::{Supervisor, now_ns};
use crate::SetupError;
use crate::error::At;
use crate::launch::door::Stopped;
use crate::launch::wire::{BuildReport, Channel, FromBuild, FromInit, ToBuild};
use crate::launch::{hints, layers, require};
use crate::notify::{Handler, Service};
use crate::observe::{NameSocket, Supervised};

impl Supervisor<'_> {
    pub(super) fn hear_init(&mut self) {
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
            FromInit::Door(which) => self.listeners.take(which, fds),
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

    /// The name socket is the proxy's, where there is one.
    fn serve_names(&mut self, fds: Vec<OwnedFd>) -> Result<(), SetupError> {
        let socket = NameSocket::from_fds(fds)
            .ok_or_else(|| SetupError::refused("serve the sandbox's name socket", "none came"))?;
        if self.door.is_some() {
            self.listeners.take_names(socket);
            return Ok(());
        }
        self.egress.serve_names(socket)
    }

    /// Gives the egress proxy its listeners, and hears it from now on.
    fn open_door(&mut self) -> Result<(), SetupError> {
        let Some(door) = self.door.take() else {
            return Ok(());
        };
        let step = "open the doors of the egress proxy";
        let mut listeners = std::mem::take(&mut self.listeners);
        let peers = listeners
            .take_peers()
            .ok_or_else(|| SetupError::refused(step, "they never came"))?;
        let name_socket = listeners.name_socket();
        let ports = door.opened().ports;
        self.confinement = Some(door.confinement());
        let watched = self.watched.insert(door.open(listeners)?);
        let supervised = Supervised {
            channel: watched.channel()?.0,
            peers,
            name_socket,
        };
        self.egress.serve_door(supervised, &ports)
    }

    /// The egress proxy is gone while the run is not.
    pub(super) fn miss_proxy(&mut self) {
        let Some(watched) = self.watched.take() else {
            return;
        };
        self.fail(
            SetupError::refused("keep the egress proxy running", watched.end())
                .hint("see whether something killed it (dmesg tells of the kernel's out-of-memory killer)"),
        );
    }

    /// Ends it with the run.
    pub(super) fn close_door(&mut self) {
        let farewell = self.egress.close_door();
        let Some(watched) = self.watched.take() else {
            return;
        };
        if !farewell || watched.wait() == Stopped::Killed {
            let why = "it did not end in order";
            self.failure
                .get_or_insert_with(|| SetupError::refused("keep the egress proxy running", why));
        }
    }

    /// Starts answering trapped calls, then lets the build's process go on.
    fn serve(&mut self, listener: Option<OwnedFd>) -> Result<(), SetupError> {
        let step = "serve the seccomp listener";
        let listener = listener.ok_or_else(|| SetupError::refused(step, "none came"))?;
        // What it decides is known before anybody can ask.
        self.open_door()?;
        let egress: Arc<dyn Handler> = self.egress.clone();
        let skewer = self.skewer.clone().map(|s| s as Arc<dyn Handler>);
        let handlers = skewer.into_iter().chain([egress]).collect();
        // One thread is enough to begin with, and the build waits for it.
        let service = self.service.insert(Service::begin(listener, handlers)?);
        tell(self.to_build.as_ref(), &ToBuild::Served)?;
        service.reinforce()
    }

    pub(super) fn hear_build(&mut self) {
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
        let proxy = self.confinement.take();
        self.layers
            .extend(proxy.map(|got| LayerReport::full(Layer::EgressProxy, got)));
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
}

fn tell(build: Option<&Channel>, message: &ToBuild) -> Result<(), SetupError> {
    let step = "tell the build's process to go on";
    build
        .ok_or_else(|| SetupError::refused(step, "it is gone"))?
        .send(message)
        .step(step)
}
