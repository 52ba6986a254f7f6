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

/// The listener stands, and nothing of the self-test came out of it.
pub(super) fn unseen(layers: &mut [LayerReport]) {
    for layer in layers.iter_mut().filter(|l| l.layer == Layer::Notify) {
        layer.state = State::Missing;
        layer.why = Some("no call of the self-test was seen".to_owned());
    }
}

/// The moved clock. Whether every reader saw it is the canary's to say.
pub(super) fn clock(offset_s: i64) -> LayerReport {
    if offset_s == 0 {
        return not_asked(Layer::Clock);
    }
    LayerReport {
        required: false,
        ..LayerReport::full(Layer::Clock, "reads, waits and file times")
    }
}

/// Whether the caller's supplementary groups came along.
pub(super) fn groups(privileged: bool, count: usize) -> LayerReport {
    if privileged || count == 0 {
        return LayerReport {
            required: false,
            ..LayerReport::full(Layer::SupplementaryGroups, "none")
        };
    }
    LayerReport {
        layer: Layer::SupplementaryGroups,
        required: false,
        state: State::Missing,
        wanted: "none".to_owned(),
        got: format!("{count}, shown as nogroup"),
        why: Some("only root may drop them before a user namespace is made".to_owned()),
        fix: Some("run belljar as a user without further groups, or as root".to_owned()),
    }
}
