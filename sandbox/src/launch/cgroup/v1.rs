//! cgroup v1: one group for each controller that a budget needs, below the caller's own.
//!
//! v1 has no delegation, so this is for root, or for a user to whom root gave a cgroup's folder.

use belljar_model::Budgets;
use nix::errno::Errno;

use super::find::{Controller, Map};
use super::group::{Folder, Group};
use super::usage::{keyed, number};
use super::{CpuMax, INIT_TASKS, MAKE, SET};
use crate::SetupError;

const FIX: &str = "cgroup v1 has no delegation: run belljar as root, or start the host with cgroup v2 \
    (kernel option `systemd.unified_cgroup_hierarchy=1`) and belljar with \
    `systemd-run --user --scope -p Delegate=yes belljar ...`";

/// The cgroups in which a leaf's groups are made, each with the budgets that it is for.
pub(super) fn parents(
    map: &Map,
    wanted: &[Controller],
) -> Result<Vec<(Vec<Controller>, Folder)>, SetupError> {
    let step = "find the cgroup v1 hierarchy of a budget";
    let mut parents: Vec<(Vec<Controller>, Folder)> = Vec::new();
    for &controller in wanted {
        let Some((_, Some(place))) = map.v1_of(controller) else {
            let why = format!("the {} controller is not mounted", controller.name());
            return Err(SetupError::refused(step, why)
                .hint("mount the cgroup hierarchies below /sys/fs/cgroup"));
        };
        // Some hosts mount controllers together.
        if let Some((for_what, _)) = parents.iter_mut().find(|(_, f)| f.path == place.own) {
            for_what.push(controller);
            continue;
        }
        let folder = Folder::open(&place.own)
            .map_err(|e| SetupError::new(step, e).at(place.own.as_path()).hint(FIX))?;
        parents.push((vec![controller], folder));
    }
    Ok(parents)
}

/// Makes the group of one controller.
pub(super) fn make(parent: Folder, name: &str) -> Result<Group, SetupError> {
    let path = parent.path.clone();
    Group::make(parent, name).map_err(|e| SetupError::new(MAKE, e).at(path.as_path()).hint(FIX))
}

/// Sets the budget of `controller`.
pub(super) fn limit(
    group: &Group,
    controller: Controller,
    budgets: &Budgets,
) -> Result<(), SetupError> {
    let set = |file: &str, value: String| {
        group
            .write(file, &value)
            .map_err(|e| SetupError::new(SET, e).at(file))
    };
    match controller {
        Controller::Memory => {
            let Some(bytes) = budgets.memory_bytes else {
                return Ok(());
            };
            set("memory.limit_in_bytes", bytes.to_string())?;
            if group.has("memory.memsw.limit_in_bytes") {
                // Memory and swap together, so no swap. It may not be the lower of the two: second.
                return set("memory.memsw.limit_in_bytes", bytes.to_string());
            }
            // The kernel does not count swap: then this group uses none.
            match group.write("memory.swappiness", "0") {
                Ok(()) | Err(Errno::ENOENT) => Ok(()),
                Err(e) => Err(SetupError::new(SET, e).at("memory.swappiness")),
            }
        }
        Controller::Cpu => {
            let Some(cpu) = budgets.cpu_milli.map(CpuMax::of) else {
                return Ok(());
            };
            set("cpu.cfs_period_us", cpu.period_us.to_string())?;
            set("cpu.cfs_quota_us", cpu.quota_us.to_string())
        }
        Controller::Pids => {
            let Some(pids) = budgets.pids else {
                return Ok(());
            };
            set("pids.max", (u64::from(pids) + INIT_TASKS).to_string())
        }
    }
}

/// Less than the kernel takes ahead for one processor and one allocation.
const SLACK: u64 = 1 << 20;

/// Processes that were killed for the memory budget. The kernel's counter holds those that fell to
/// a shortage elsewhere too, so the group must have been full; `memory.failcnt` would say it, but
/// kernels of today leave it at 0.
pub(super) fn oom(group: &Group, oom_control: &str) -> u64 {
    let limit = number(group, "memory.limit_in_bytes").unwrap_or(u64::MAX);
    let full = [
        "memory.max_usage_in_bytes",
        "memory.memsw.max_usage_in_bytes",
    ]
    .into_iter()
    .any(|file| number(group, file).is_some_and(|peak| peak.saturating_add(SLACK) >= limit));
    keyed(oom_control, "oom_kill").filter(|_| full).unwrap_or(0)
}
