//! What holds the budgets of a run, and which of them ended it.

use belljar_model::{BudgetReport, Budgets, EndedBy, Layer, LayerReport};

use super::layers::not_asked;
use crate::SetupError;

/// The budgets of one run.
pub(super) struct Budgeter {
    asked: Budgets,
}

impl Budgeter {
    pub(super) fn new(asked: Budgets) -> Result<Self, SetupError> {
        if asked.need_cgroup() || asked.disk_bytes.is_some() {
            return Err(SetupError::refused(
                "hold the budgets",
                "this build of belljar can't",
            ));
        }
        Ok(Self { asked })
    }

    /// The cgroup's layer.
    pub(super) fn layer(&self) -> LayerReport {
        not_asked(Layer::Cgroup)
    }

    /// What held each budget. `ending` is why belljar itself ended the run.
    pub(super) fn finish(&self, ending: Option<EndedBy>) -> Vec<BudgetReport> {
        let timeout = self.asked.wall_ms.map(|asked| BudgetReport {
            name: "timeout".into(),
            asked,
            held_by: "timer".into(),
            hit: ending == Some(EndedBy::Timeout),
        });
        timeout.into_iter().collect()
    }
}
