//! What holds the budgets of a run, and which of them ended it.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use belljar_model::{BudgetReport, Budgets, EndedBy, Layer, LayerReport};
use nix::sys::stat::fstat;

use super::cgroup::{Leaf, LeafUsage};
use super::disk::{DiskWatch, Watched, measure};
use super::layers::not_asked;
use crate::SetupError;
use crate::error::At;

/// The kernel's counters are read this often, at most.
const LOOK: Duration = Duration::from_millis(100);

/// The budgets of one run.
pub(super) struct Budgeter {
    asked: Budgets,
    leaf: Option<Leaf>,
    disk: Option<DiskWatch>,
    looked: Instant,
}

/// What is known at the end.
pub(super) struct Spent {
    /// The budget that ended the run, by the kernel's own counters or by belljar's clock.
    pub(super) ended_by: Option<EndedBy>,
    /// What the cgroup counted.
    pub(super) usage: LeafUsage,
    pub(super) reports: Vec<BudgetReport>,
}

impl Budgeter {
    pub(super) fn new(asked: Budgets, leaf: Option<Leaf>) -> Self {
        Self {
            asked,
            leaf,
            disk: None,
            looked: Instant::now(),
        }
    }

    /// Starts to measure what is written to the workspace and to file systems in memory, if there
    /// is a budget for it.
    pub(super) fn watch_disk(
        &mut self,
        written: &OwnedFd,
        temporary: Vec<OwnedFd>,
    ) -> Result<(), SetupError> {
        let Some(limit) = self.asked.disk_bytes else {
            return Ok(());
        };
        let step = "watch the disk budget";
        let device = fstat(written).step(step)?.st_dev;
        let in_memory = temporary
            .iter()
            .any(|fd| fstat(fd).is_ok_and(|s| s.st_dev == device));
        let upper = (!in_memory).then(|| written.try_clone()).transpose();
        let watched = Watched {
            upper: upper.step(step)?,
            before: measure(written),
            temporary,
        };
        self.disk = Some(DiskWatch::start(watched, limit)?);
        Ok(())
    }

    /// Readable when [`Budgeter::exceeded`] is worth a call before its next turn.
    pub(super) fn waker(&self) -> Option<BorrowedFd<'_>> {
        self.disk.as_ref().map(DiskWatch::fd)
    }

    /// Whether the sandbox itself found no room in the memory budget.
    pub(super) fn no_room(&self) -> bool {
        let hits = self.leaf.as_ref().and_then(|leaf| leaf.hits().ok());
        hits.is_some_and(|hits| hits.oom > 0)
    }

    /// The budget that must end the run now. Forks that were refused are no such reason: the
    /// build has its answer, and may do with fewer.
    pub(super) fn exceeded(&mut self) -> Option<EndedBy> {
        if self.disk.as_ref().is_some_and(|d| d.poll().is_some()) {
            return Some(EndedBy::Disk);
        }
        let leaf = self
            .leaf
            .as_ref()
            .filter(|_| self.looked.elapsed() >= LOOK)?;
        self.looked = Instant::now();
        let hits = leaf.hits().ok()?;
        hits.ended_by().filter(|why| *why == EndedBy::Oom)
    }

    /// The cgroup's layer.
    pub(super) fn layer(&self) -> LayerReport {
        match &self.leaf {
            Some(leaf) => LayerReport {
                required: true,
                ..LayerReport::full(Layer::Cgroup, leaf.held_by())
            },
            None => not_asked(Layer::Cgroup),
        }
    }

    /// Reads the counters. `ending` is why belljar itself ended the run; `passed`, whether the
    /// command ended well: then a fork that the limit refused was no reason to end.
    pub(super) fn finish(self, ending: Option<EndedBy>, passed: bool) -> Result<Spent, SetupError> {
        let mut reports = Vec::new();
        let (mut ended_by, mut usage) = (ending, LeafUsage::default());
        if let Some(leaf) = self.leaf {
            let hits = leaf.hits()?;
            let hit = hits
                .ended_by()
                .filter(|why| !(passed && *why == EndedBy::Pids));
            ended_by = ended_by.or(hit);
            usage = leaf.usage();
            reports = hits.reports(&self.asked, leaf.held_by());
            // Nothing should be left; what is, goes.
            leaf.kill()?;
            leaf.remove()?;
        }
        // A build that ended by itself between two looks has used what it has used.
        if self.disk.and_then(DiskWatch::finish).is_some() {
            ended_by = ended_by.or(Some(EndedBy::Disk));
        }
        let others = [
            ("disk", self.asked.disk_bytes, "watched", EndedBy::Disk),
            ("timeout", self.asked.wall_ms, "timer", EndedBy::Timeout),
        ];
        reports.extend(
            others
                .into_iter()
                .filter_map(|(name, asked, held_by, hit)| {
                    Some(BudgetReport {
                        name: name.into(),
                        asked: asked?,
                        held_by: held_by.into(),
                        hit: ended_by == Some(hit),
                    })
                }),
        );
        Ok(Spent {
            ended_by,
            usage,
            reports,
        })
    }
}
