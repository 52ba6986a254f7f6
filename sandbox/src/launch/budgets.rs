//! What holds the budgets of a run, and which of them ended it.

use belljar_model::{BudgetReport, Budgets, EndedBy, Layer, LayerReport};

use super::cgroup::Leaf;
use super::layers::not_asked;
use crate::SetupError;

/// The budgets of one run.
pub(super) struct Budgeter {
    asked: Budgets,
    leaf: Option<Leaf>,
}

/// What is known at the end.
pub(super) struct Spent {
    /// The budget that ended the run, by the kernel's own counters or by belljar's clock.
    pub(super) ended_by: Option<EndedBy>,
    pub(super) peak_memory_bytes: Option<u64>,
    pub(super) reports: Vec<BudgetReport>,
}

impl Budgeter {
    pub(super) fn new(asked: Budgets, leaf: Option<Leaf>) -> Self {
        Self { asked, leaf }
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
        let (mut ended_by, mut peak_memory_bytes) = (ending, None);
        if let Some(leaf) = self.leaf {
            let hits = leaf.hits()?;
            let hit = hits
                .ended_by()
                .filter(|why| !(passed && *why == EndedBy::Pids));
            ended_by = ended_by.or(hit);
            peak_memory_bytes = leaf.usage().peak_memory_bytes;
            reports = hits.reports(&self.asked, leaf.held_by());
            leaf.remove()?;
        }
        reports.extend(self.asked.disk_bytes.map(|asked| BudgetReport {
            name: "disk".into(),
            asked,
            held_by: "watched".into(),
            hit: ending == Some(EndedBy::Disk),
        }));
        reports.extend(self.asked.wall_ms.map(|asked| BudgetReport {
            name: "timeout".into(),
            asked,
            held_by: "timer".into(),
            hit: ending == Some(EndedBy::Timeout),
        }));
        Ok(Spent {
            ended_by,
            peak_memory_bytes,
            reports,
        })
    }
}
