//! Wheels in pip's cache.

use std::path::Path;

use crate::plan::{HostEntry, View};

/// Where links to them stand inside.
pub(super) const INSIDE: &str = "/home/builder/.cache/wheels";

/// A link for each wheel.
pub(super) fn links(_home: &Path, _view: &dyn View) -> Vec<HostEntry> {
    Vec::new()
}
