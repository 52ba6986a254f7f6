//! Small makers of layer reports, so that each step says what it got in the same words.

use belljar_model::{Layer, LayerReport, State};

/// A layer that is preferred and missing.
pub(super) fn missing(
    layer: Layer,
    wanted: &str,
    why: impl Into<String>,
    fix: Option<&str>,
) -> LayerReport {
    LayerReport {
        layer,
        required: layer.required_by_default(),
        state: State::Missing,
        wanted: wanted.to_owned(),
        got: "none".to_owned(),
        why: Some(why.into()),
        fix: fix.map(str::to_owned),
    }
}

/// A layer that nobody asked for in this run.
pub(super) fn not_asked(layer: Layer) -> LayerReport {
    LayerReport {
        layer,
        required: false,
        state: State::NotAsked,
        wanted: "none".to_owned(),
        got: "none".to_owned(),
        why: None,
        fix: None,
    }
}
