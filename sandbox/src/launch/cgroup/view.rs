//! The leaf as the build sees it: read-only below `/sys/fs/cgroup`, where runtimes look for their
//! budget. Runs in init, once it has a cgroup namespace of its own, whose root the leaf is.

use std::fs;

use belljar_model::Budgets;

use super::wanted;
use crate::SetupError;
use crate::error::At;
use crate::launch::root::{attach, folder, new_fs};

const ATTRS: u64 = libc::MOUNT_ATTR_RDONLY
    | libc::MOUNT_ATTR_NOSUID
    | libc::MOUNT_ATTR_NODEV
    | libc::MOUNT_ATTR_NOEXEC;

/// Where the mounts of the host's usual layout are.
const PLACE: &str = "/sys/fs/cgroup";

/// Mounts what holds these budgets; without any, nothing.
pub(in crate::launch) fn show(budgets: &Budgets) -> Result<(), SetupError> {
    let wanted = wanted(budgets)?;
    if wanted.is_empty() {
        return Ok(());
    }
    let path = "/proc/self/cgroup";
    let member = fs::read_to_string(path).step_at("read the own cgroup", path)?;
    let v1: Vec<&str> = v1_sets(&member)
        .filter(|set| wanted.iter().any(|c| set.split(',').any(|n| n == c.name())))
        .collect();
    if v1.is_empty() {
        return attach(&new_fs("cgroup2", &[], ATTRS)?, PLACE);
    }
    for set in v1 {
        let place = format!("{PLACE}/{set}");
        folder(place.as_ref())?;
        let options: Vec<_> = set.split(',').map(|name| (name, "")).collect();
        attach(&new_fs("cgroup", &options, ATTRS)?, &place)?;
    }
    Ok(())
}

/// The sets of controllers of the v1 hierarchies, from the text of `/proc/self/cgroup`.
fn v1_sets(member: &str) -> impl Iterator<Item = &str> {
    member
        .lines()
        .filter_map(|line| line.split(':').nth(1))
        .filter(|set| !set.is_empty() && !set.starts_with("name="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_version_1_are_told_from_the_unified_and_named_ones() {
        let sets: Vec<_> =
            v1_sets("5:cpu,cpuacct:/\n4:memory:/\n1:name=systemd:/\n0::/\n").collect();
        assert_eq!(sets, ["cpu,cpuacct", "memory"]);
        assert_eq!(v1_sets("0::/\n").count(), 0);
    }
}
