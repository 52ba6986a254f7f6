use belljar_model::Layer;

use super::*;

fn shown(doc: &DoctorDoc) -> String {
    anstream::adapter::strip_str(&render(doc)).to_string()
}

#[test]
fn layers_with_what_is_missing_and_the_fix() {
    let layer = |layer, state, why: &str, fix: &str| LayerReport {
        state,
        wanted: "abi 9".into(),
        why: Some(why.to_owned()).filter(|w| !w.is_empty()),
        fix: Some(fix.to_owned()).filter(|f| !f.is_empty()),
        ..LayerReport::full(layer, "abi 7")
    };
    let doc = DoctorDoc {
        schema: DoctorDoc::SCHEMA.into(),
        works: true,
        layers: vec![
            LayerReport::full(Layer::UserNamespace, "two"),
            layer(
                Layer::TimeNamespace,
                State::Missing,
                "ENOSYS",
                "use a kernel with CONFIG_TIME_NS",
            ),
            layer(Layer::Landlock, State::Partial, "the kernel is older", ""),
            layer(Layer::Cgroup, State::NotAsked, "", ""),
        ],
        failures: vec![],
    };
    insta::assert_snapshot!("works", shown(&doc));
}

#[test]
fn a_failing_step_with_its_fix() {
    let doc = DoctorDoc {
        schema: DoctorDoc::SCHEMA.into(),
        works: false,
        layers: vec![],
        failures: vec![failure(
            SetupError::new("make a user namespace", nix::errno::Errno::EPERM).hint("allow it"),
        )],
    };
    insta::assert_snapshot!("fails", shown(&doc));
}
