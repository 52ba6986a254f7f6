//! The moved clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::SetupError;
use crate::notify::{Answer, Call, Handler, Target};

/// The clocks before the filters.
#[derive(Debug, Clone, Copy)]
pub struct CanaryBase;

impl CanaryBase {
    /// Reads them.
    pub fn take() -> Self {
        Self
    }
}

/// Which readers saw the expected clock.
pub fn canary(_offset_s: i64, _base: CanaryBase) -> BTreeMap<String, bool> {
    BTreeMap::new()
}

/// Moves the clock. Until it lands a moved clock is refused.
#[derive(Debug)]
pub struct Skewer;

impl Skewer {
    /// Refuses.
    pub fn prepare(_offset_s: i64) -> Result<Arc<Self>, SetupError> {
        Err(SetupError::refused(
            "move the clock",
            "this build of belljar can't",
        ))
    }
    /// Programs that were not covered.
    pub fn report(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Handler for Skewer {
    fn wants(&self, _nr: i32) -> bool {
        false
    }
    fn handle(&self, _call: &Call, _target: &Target<'_>) -> Answer {
        Answer::Continue
    }
}
