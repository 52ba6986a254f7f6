//! What init puts into its namespaces: names, loopback, clocks, limits.

use std::fs;

use belljar_model::{Layer, LayerReport, State};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::sethostname;

use super::Job;
use crate::SetupError;
use crate::error::At;
use crate::launch::boot;
use crate::launch::layers::{groups, missing};
use crate::sys::link::loopback_up;
use crate::sys::process::set_domain_name;

/// The host name inside, everywhere.
const HOST_NAME: &str = "belljar";

/// Names and loopback: what the namespaces hold whatever is run in them.
pub(super) fn namespaces() -> Result<Vec<LayerReport>, SetupError> {
    sethostname(HOST_NAME).step("set the host name")?;
    set_domain_name("(none)").step("set the domain name")?;
    loopback_up().step("bring the loopback device up")?;
    Ok(vec![
        LayerReport::full(Layer::UserNamespace, "two, the build's owns nothing"),
        LayerReport::full(Layer::MountNamespace, "own"),
        LayerReport::full(Layer::PidNamespace, "own"),
        LayerReport::full(Layer::NetNamespace, "own, loopback only"),
        LayerReport::full(Layer::IpcNamespace, "own"),
        LayerReport::full(Layer::UtsNamespace, "own"),
    ])
}

/// Clocks and limits, for which the new `/proc` and `/sys` have to be there.
pub(super) fn limits(job: &Job) -> Result<Vec<LayerReport>, SetupError> {
    let cgroup = match unshare(CloneFlags::CLONE_NEWCGROUP) {
        Ok(()) => match crate::launch::cgroup::view::show(&job.orders.budgets) {
            Ok(()) => LayerReport::full(Layer::CgroupNamespace, "own"),
            Err(e) => LayerReport {
                state: State::Partial,
                wanted: "own, shown".into(),
                why: Some(e.to_string()),
                ..LayerReport::full(Layer::CgroupNamespace, "own, not shown")
            },
        },
        Err(e) => missing(
            Layer::CgroupNamespace,
            "own",
            format!("unshare: {e:?}"),
            None,
        ),
    };
    // One further user namespace, the build's; none below that.
    fs::write("/proc/sys/user/max_user_namespaces", "1").step("forbid further user namespaces")?;
    let time = match boot::time_namespace(job.orders.offset_s) {
        Ok(()) => LayerReport::full(Layer::TimeNamespace, "own"),
        Err(e) => missing(
            Layer::TimeNamespace,
            "own",
            e.to_string(),
            Some("use a kernel with CONFIG_TIME_NS"),
        ),
    };
    let further = nix::unistd::getgroups().step("count the supplementary groups")?;
    let own = nix::unistd::getegid();
    let further = further.iter().filter(|g| **g != own).count();
    Ok(vec![
        cgroup,
        time,
        groups(job.mapping.privileged, further),
        job.scheduling.clone(),
    ])
}
