//! The cgroup leaf that holds the memory, cpu and pids budgets of one run.
//!
//! cgroup v2 or v1, whichever has the controllers; a budget that can't be held is an error with its
//! one fix, never a lesser limit. A run without such budgets has no leaf and pays nothing.
//! The crate cgroups-rs is not used: it brings a D-Bus client and a runtime (140 crates), ignores
//! failures to enable controllers, and knows paths where a lock and clone3(2) need descriptors.

mod find;
mod group;
mod sweep;
mod usage;
mod v1;
mod v2;
pub(super) mod view;

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use belljar_model::Budgets;
use nix::unistd::Pid;

use crate::SetupError;
use crate::launch::id::RunId;
use crate::launch::sweep::Swept;
use find::{Controller, Map};
use group::Group;
pub use sweep::sweep;
use sweep::sweep_in;
use usage::keyed;
pub use usage::{Hits, LeafUsage};

const MAKE: &str = "make a cgroup for the budgets";
const SET: &str = "set a budget";
/// Our own init stands in the leaf with the build, and is no part of the budget of tasks.
const INIT_TASKS: u64 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The leaf of one run. Dropping it kills what is left in it and removes it.
#[derive(Debug)]
pub struct Leaf {
    version: Version,
    /// One on v2; on v1 one for each hierarchy.
    groups: Vec<(Vec<Controller>, Group)>,
    /// Last, so that it goes after the groups.
    aside: Option<Arc<v2::Aside>>,
    maker: u32,
}

impl Leaf {
    /// Makes the leaf `belljar-<id>` and sets the budgets. `None` if no budget needs a cgroup.
    ///
    /// Call it before anything is forked: where nobody else is in the caller's cgroup, belljar
    /// itself moves to a group beside the leaf.
    pub fn create(budgets: &Budgets, id: RunId) -> Result<Option<Self>, SetupError> {
        let wanted = wanted(budgets)?;
        if wanted.is_empty() {
            return Ok(None);
        }
        let map = Map::read()?;
        let on_v1 = wanted.iter().filter(|c| map.v1_of(**c).is_some()).count();
        let mut leaf = match on_v1 {
            0 => Self::make_v2(&map, &wanted, id)?,
            n if n == wanted.len() => Self::make_v1(&map, &wanted, id)?,
            _ => {
                return Err(
                    SetupError::refused(MAKE, "the budgets need both cgroup v1 and v2")
                        .hint("start the host with `systemd.unified_cgroup_hierarchy=1`"),
                );
            }
        };
        leaf.set(budgets)?;
        Ok(Some(leaf))
    }

    fn make_v2(map: &Map, wanted: &[Controller], id: RunId) -> Result<Self, SetupError> {
        let Some(place) = &map.v2 else {
            return Err(SetupError::refused(
                MAKE,
                "no cgroup file system shows the caller's cgroup",
            )
            .hint("mount cgroup2 at /sys/fs/cgroup"));
        };
        let v2::Parent { folder, aside } = v2::parent(place, wanted, id)?;
        sweep_in(&folder.path, &mut Swept::default());
        let group = v2::make(folder, &id.name())?;
        Ok(Self::new(
            Version::Two,
            vec![(wanted.to_vec(), group)],
            aside,
        ))
    }

    fn make_v1(map: &Map, wanted: &[Controller], id: RunId) -> Result<Self, SetupError> {
        let mut leaf = Self::new(Version::One, Vec::new(), None);
        for (controllers, parent) in v1::parents(map, wanted)? {
            sweep_in(&parent.path, &mut Swept::default());
            leaf.groups
                .push((controllers, v1::make(parent, &id.name())?));
        }
        Ok(leaf)
    }

    fn new(
        version: Version,
        groups: Vec<(Vec<Controller>, Group)>,
        aside: Option<Arc<v2::Aside>>,
    ) -> Self {
        let maker = std::process::id();
        Self {
            version,
            groups,
            aside,
            maker,
        }
    }

    fn set(&mut self, budgets: &Budgets) -> Result<(), SetupError> {
        match self.version {
            Version::Two => self.each(|group| v2::limit(group, budgets))?,
            Version::One => {
                for (controllers, group) in &self.groups {
                    controllers
                        .iter()
                        .try_for_each(|c| v1::limit(group, *c, budgets))?;
                }
            }
        }
        Ok(())
    }

    fn group(&self, of: Controller) -> Option<&Group> {
        self.groups
            .iter()
            .find(|(for_what, _)| for_what.contains(&of))
            .map(|(_, g)| g)
    }

    fn each<E>(&self, f: impl FnMut(&Group) -> Result<(), E>) -> Result<(), E> {
        self.groups.iter().map(|(_, group)| group).try_for_each(f)
    }

    /// `cgroup2` or `cgroup1`, as the evidence has it.
    pub fn held_by(&self) -> &'static str {
        match self.version {
            Version::One => "cgroup1",
            Version::Two => "cgroup2",
        }
    }

    /// The folder to give to clone3(2) with `CLONE_INTO_CGROUP`; v2 only.
    pub fn clone_fd(&self) -> Option<BorrowedFd<'_>> {
        match (self.version, &self.groups[..]) {
            (Version::Two, [(_, group)]) => Some(group.fd()),
            _ => None,
        }
    }

    /// Moves a process of the caller's, which has one thread and no children yet, into the leaf.
    pub fn join(&self, pid: Pid) -> Result<(), SetupError> {
        self.each(|group| group.join(pid))
            .map_err(|e| SetupError::new("move the build into its cgroup", e))
    }

    /// SIGKILL for everything in the leaf, at once or one by one.
    pub fn kill(&self) -> Result<(), SetupError> {
        self.each(Group::kill)
            .map_err(|e| SetupError::new("kill what is left of the build", e))
    }

    /// Whether a process is in it.
    pub fn populated(&self) -> Result<bool, SetupError> {
        let mut any = false;
        self.each(|group| group.populated().map(|p| any |= p))
            .map_err(|e| SetupError::new("look into the cgroup of the build", e))?;
        Ok(any)
    }

    /// What its processes used; ask before [`Leaf::remove`].
    pub fn usage(&self) -> LeafUsage {
        let group = |of| self.group(of).map(|g| &**g);
        match self.version {
            Version::One => LeafUsage::v1(group(Controller::Memory), group(Controller::Cpu)),
            Version::Two => self
                .groups
                .first()
                .map(|(_, g)| LeafUsage::v2(g))
                .unwrap_or_default(),
        }
    }

    /// Which budgets were hit, by the kernel's own counters.
    pub fn hits(&self) -> Result<Hits, SetupError> {
        let read = |of, file: &str| {
            self.group(of)
                .map(|group| group.read(file))
                .transpose()
                .map_err(|e| SetupError::new("read the counters of the budgets", e).at(file))
        };
        let oom = match (self.version, self.group(Controller::Memory)) {
            (Version::One, Some(group)) => {
                read(Controller::Memory, "memory.oom_control")?.map(|text| v1::oom(group, &text))
            }
            _ => read(Controller::Memory, "memory.events")?.map(|text| v2::oom(&text)),
        };
        let pids = read(Controller::Pids, "pids.events")?.and_then(|text| keyed(&text, "max"));
        let cpu = read(Controller::Cpu, "cpu.stat")?;
        Ok(Hits {
            oom: oom.unwrap_or(0),
            pids: pids.unwrap_or(0),
            throttled: cpu
                .and_then(|text| keyed(&text, "nr_throttled"))
                .unwrap_or(0),
        })
    }

    /// Removes it once its last process is gone, and says so if one stays.
    pub fn remove(mut self) -> Result<(), SetupError> {
        self.maker = 0;
        self.each(Group::remove)
            .map_err(|e| SetupError::new("remove the cgroup of the build", e))
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // A forked copy of this value is not the run.
        if self.maker == std::process::id() {
            let _ = self.each(Group::kill);
            let _ = self.each(Group::remove);
        } else if self.maker != 0 {
            // Nor is it the one that stepped aside.
            std::mem::forget(self.aside.take());
        }
    }
}

/// The controllers that the budgets need.
fn wanted(budgets: &Budgets) -> Result<Vec<Controller>, SetupError> {
    let asked = [
        (Controller::Cpu, budgets.cpu_milli.map(u64::from)),
        (Controller::Memory, budgets.memory_bytes),
        (Controller::Pids, budgets.pids.map(u64::from)),
    ];
    if let Some((controller, _)) = asked.iter().find(|(_, asked)| *asked == Some(0)) {
        let why = format!(
            "a {} budget of 0 leaves nothing to run in",
            controller.name()
        );
        return Err(SetupError::refused(SET, why));
    }
    Ok(asked
        .into_iter()
        .filter(|(_, asked)| asked.is_some())
        .map(|(c, _)| c)
        .collect())
}

/// A cpu budget as the kernel has it: so much time in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CpuMax {
    quota_us: u64,
    period_us: u64,
}

impl CpuMax {
    /// The kernel takes no quota below a millisecond and no period above a second.
    fn of(milli: u32) -> Self {
        let period_us = if milli < 10 { 1_000_000 } else { 100_000 };
        Self {
            quota_us: u64::from(milli) * period_us / 1_000,
            period_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_budget_no_leaf_and_none_of_nothing() {
        let id = RunId::new().unwrap();
        let disk = Budgets {
            disk_bytes: Some(1),
            wall_ms: Some(1),
            ..Budgets::default()
        };
        assert!(Leaf::create(&disk, id).unwrap().is_none());
        let zero = Budgets {
            pids: Some(0),
            ..Budgets::default()
        };
        let refused = Leaf::create(&zero, id).unwrap_err().to_string();
        assert!(refused.contains("a pids budget of 0"), "{refused}");
    }

    proptest! {
        #[test]
        fn a_cpu_budget_is_exact_and_one_that_the_kernel_takes(milli in 1u32..1_000_000) {
            let cpu = CpuMax::of(milli);
            prop_assert_eq!(cpu.quota_us * 1_000, u64::from(milli) * cpu.period_us);
            prop_assert!(cpu.quota_us >= 1_000 && cpu.period_us <= 1_000_000);
        }
        #[test]
        fn leaf_names_are_known_again(aside: bool) {
            let id = RunId::new().unwrap();
            let name = if aside { format!("{}.aside", id.name()) } else { id.name() };
            prop_assert_eq!(v2::id_of_name(name.as_bytes()), Some(id));
        }
    }
}
