//! Why bytes differ.
//!
//! A wrong cause is worse than none: what is not shown by the bytes themselves is `unknown`, and
//! that is said.

use std::io;

use belljar_model::{Cause, Confidence, Difference, OsText};

use crate::Clock;
use crate::bytes::Hunk;

/// Explains one file's regions as they come.
pub(crate) struct Explainer {
    first: Option<String>,
}

impl Explainer {
    pub(crate) fn new(_path: &OsText, _a: Option<Clock>, _b: Option<Clock>) -> Self {
        Self { first: None }
    }

    pub(crate) fn hunk(&mut self, hunk: &Hunk<'_>) {
        if self.first.is_none() {
            self.first = Some(format!("the first at offset 0x{:x}", hunk.offset_a));
        }
    }

    pub(crate) fn causes(self, _total: u64) -> Vec<Cause> {
        vec![unknown(self.first.unwrap_or_default(), None)]
    }
}

/// What a link's target says.
pub(crate) fn text(_a: &[u8], _b: &[u8], _ca: Option<Clock>, _cb: Option<Clock>) -> Vec<Cause> {
    Vec::new()
}

/// What names that only one run made say.
pub(crate) fn names(_items: &mut [Difference], _a: Option<Clock>, _b: Option<Clock>) {}

/// The content could not be read, so nothing can be said of it.
pub(crate) fn unreadable(e: &io::Error) -> Cause {
    unknown(format!("the content could not be read: {e}"), None)
}

fn unknown(evidence: String, offset: Option<u64>) -> Cause {
    Cause {
        slug: "unknown".to_owned(),
        variation: None,
        confidence: Confidence::Unknown,
        evidence,
        offset,
        process: None,
        fix: String::new(),
    }
}
