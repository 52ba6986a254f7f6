//! What holds the budgets of a run, and which of them ended it.

use std::os::fd::OwnedFd;

use belljar_model::{BudgetReport, Budgets, EndedBy, Layer, LayerReport};

use super::cgroup::{Hit, Leaf};
use super::disk::DiskWatch;
use super::layers::not_asked;

/// The budgets of one run.
pub(super) struct Budgeter {
    asked: Budgets,
    leaf: Option<Leaf>,
    disk: Option<DiskWatch>,
}

/// What is known at the end.
pub(super) struct Verdict {
    pub(super) ended_by: Option<EndedBy>,
    pub(super) peak_memory: Option<u64>,
    pub(super) reports: Vec<BudgetReport>,
}

impl Budgeter {
    pub(super) fn new(asked: Budgets, leaf: Option<Leaf>) -> Self {
        Self { asked, leaf, disk: None }
    }

    /// Whether the workspace holds more than the disk budget; looks now and then.
    pub(super) fn disk_is_over(&mut self, written: Option<&OwnedFd>) -> bool {
        let (Some(limit), Some(written)) = (self.asked.disk_bytes, written) else { return false };
        if self.disk.is_none() {
            self.disk = DiskWatch::new(written, limit).ok();
        }
        self.disk.as_mut().is_some_and(|watch| watch.poll().is_some())
    }

    /// The cgroup's layer.
    pub(super) fn layer(&self) -> LayerReport {
        match &self.leaf {
            Some(leaf) => LayerReport::full(Layer::Cgroup, leaf.held_by()),
            None => not_asked(Layer::Cgroup),
        }
    }

    /// Asks the kernel's counters what was hit. `ending` is why belljar itself ended the run.
    pub(super) fn finish(&self, ending: Option<EndedBy>) -> Verdict {
        let hits = self.leaf.as_ref().map(Leaf::hits).unwrap_or_default();
        let hit = |kind: Hit| hits.contains(&kind);
        let ended_by = ending
            .or(hit(Hit::Memory).then_some(EndedBy::Oom))
            .or(hit(Hit::Pids).then_some(EndedBy::Pids));
        let held = self.leaf.as_ref().map_or("", Leaf::held_by);
        let a = &self.asked;
        let rows = [
            ("memory", a.memory_bytes, held, hit(Hit::Memory)),
            ("cpus", a.cpu_milli.map(u64::from), held, hit(Hit::Cpu)),
            ("pids", a.pids.map(u64::from), held, hit(Hit::Pids)),
            ("disk", a.disk_bytes, "watched", ending == Some(EndedBy::Disk)),
            ("timeout", a.wall_ms, "timer", ending == Some(EndedBy::Timeout)),
        ];
        let reports = rows.into_iter().filter_map(|(name, asked, held_by, hit)| {
            let asked = asked?;
            Some(BudgetReport { name: name.into(), asked, held_by: held_by.into(), hit })
        });
        let peak_memory = self.leaf.as_ref().and_then(|l| l.usage().peak_memory_bytes);
        Verdict { ended_by, peak_memory, reports: reports.collect() }
    }
}
