//! What a run left, once every process inside is gone.

use std::os::fd::OwnedFd;

use belljar_model::{
    BudgetReport, ClockReport, EgressRecord, EndedBy, Probe, RunReport, RunWhen, Usage, Window,
};
use nix::time::ClockId;
use nix::unistd::Pid;

use super::{Supervisor, now_ns};
use crate::SetupError;
use crate::launch::streams::Sink;
use crate::launch::wire::BuildReport;
use crate::sys::process::wait4;

/// What a run left, as far as this loop knows.
pub(in crate::launch) struct Ended {
    pub(in crate::launch) report: RunReport,
    pub(in crate::launch) budgets: Vec<BudgetReport>,
    pub(in crate::launch) egress: Vec<EgressRecord>,
    pub(in crate::launch) selftest: Vec<Probe>,
    pub(in crate::launch) written: OwnedFd,
    pub(in crate::launch) started_ns: i64,
    pub(in crate::launch) remains: Remains,
}

/// A launcher that has nothing more to say. Dropping this waits for its end, after which no mount
/// of the sandbox is left. Must be dropped by the thread that started it.
#[derive(Debug)]
pub(in crate::launch) struct Remains(Pid);

impl Drop for Remains {
    fn drop(&mut self) {
        // Nothing can be done about a child that is not there.
        let _ = wait4(self.0);
    }
}

impl Supervisor<'_> {
    pub(super) fn finish(mut self, sink: &mut dyn Sink) -> Result<Ended, SetupError> {
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
        self.close_door();
        // Also where the run failed: another may follow, which needs this process with one thread.
        let log = self.egress.finish();
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

/// Whether the file system that the workspace is on has no room left.
fn is_full(written: &OwnedFd) -> bool {
    const ROOM: u64 = 64 << 10;
    nix::sys::statvfs::fstatvfs(written)
        .is_ok_and(|fs| fs.blocks_available().saturating_mul(fs.fragment_size()) < ROOM)
}

/// Exit status and signal from a raw wait status.
fn split(status: Option<i32>) -> (Option<i32>, Option<i32>) {
    match status {
        Some(s) if libc::WIFEXITED(s) => (Some(libc::WEXITSTATUS(s)), None),
        Some(s) if libc::WIFSIGNALED(s) => (None, Some(libc::WTERMSIG(s))),
        _ => (None, None),
    }
}
