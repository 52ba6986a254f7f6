//! What the kernel counted for a leaf: use, pressure, and limits that were hit.

use belljar_model::{BudgetReport, Budgets, EndedBy};

use super::group::Folder;

/// What the processes of a leaf used. Absent where this kernel or this hierarchy keeps no count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeafUsage {
    /// The most memory at one time, page cache and tmpfs included, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Time that was ready to run and had to wait for the next period of the cpu budget.
    pub throttled_ms: Option<u64>,
    /// Time in which at least one task waited for a processor.
    pub waited_cpu_ms: Option<u64>,
    /// Time in which at least one task waited for memory.
    pub waited_memory_ms: Option<u64>,
    /// Time in which at least one task waited for a disk.
    pub waited_io_ms: Option<u64>,
}

impl LeafUsage {
    pub(super) fn v2(leaf: &Folder) -> Self {
        let cpu = leaf.read("cpu.stat").unwrap_or_default();
        let waited = |file| leaf.read(file).ok().as_deref().and_then(some_total_ms);
        Self {
            peak_memory_bytes: number(leaf, "memory.peak"),
            throttled_ms: keyed(&cpu, "throttled_usec").map(|us| us / 1_000),
            waited_cpu_ms: waited("cpu.pressure"),
            waited_memory_ms: waited("memory.pressure"),
            waited_io_ms: waited("io.pressure"),
        }
    }

    pub(super) fn v1(memory: Option<&Folder>, cpu: Option<&Folder>) -> Self {
        let stat = cpu
            .and_then(|f| f.read("cpu.stat").ok())
            .unwrap_or_default();
        Self {
            peak_memory_bytes: memory.and_then(|f| number(f, "memory.max_usage_in_bytes")),
            throttled_ms: keyed(&stat, "throttled_time").map(|ns| ns / 1_000_000),
            ..Self::default()
        }
    }
}

/// How often limits were hit, by the kernel's own counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hits {
    /// Processes that the OOM killer ended because of the memory budget.
    pub oom: u64,
    /// Forks that failed because of the pids budget.
    pub pids: u64,
    /// Periods in which the cpu budget was used up: slower, and never the end of a run.
    pub throttled: u64,
}

impl Hits {
    /// The budget that ended the run, if one did.
    pub fn ended_by(&self) -> Option<EndedBy> {
        match self {
            Self { oom: 1.., .. } => Some(EndedBy::Oom),
            Self { pids: 1.., .. } => Some(EndedBy::Pids),
            _ => None,
        }
    }

    /// The budgets that a cgroup holds, for the evidence.
    pub fn reports(&self, budgets: &Budgets, held_by: &str) -> Vec<BudgetReport> {
        let asked = [
            ("memory", budgets.memory_bytes, self.oom > 0),
            ("cpus", budgets.cpu_milli.map(u64::from), false),
            (
                "pids",
                budgets.pids.map(u64::from),
                self.oom == 0 && self.pids > 0,
            ),
        ];
        asked
            .into_iter()
            .filter_map(|(name, asked, hit)| {
                Some(BudgetReport {
                    name: name.to_owned(),
                    asked: asked?,
                    held_by: held_by.to_owned(),
                    hit,
                })
            })
            .collect()
    }
}

/// The number in a file that holds one.
pub(super) fn number(folder: &Folder, file: &str) -> Option<u64> {
    folder.read(file).ok()?.trim().parse().ok()
}

/// The number after `key` in a file of lines `key number`.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .and_then(|n| n.trim().parse().ok())
}

/// The total of the `some` line of a pressure file, which counts microseconds.
fn some_total_ms(text: &str) -> Option<u64> {
    let some = text.lines().find_map(|l| l.strip_prefix("some "))?;
    let total = some.split(' ').find_map(|f| f.strip_prefix("total="))?;
    total.parse::<u64>().ok().map(|us| us / 1_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kernels_own_formats() {
        let events = "low 0\nhigh 0\nmax 31\noom 2\noom_kill 1\noom_group_kill 0\n";
        assert_eq!(keyed(events, "oom"), Some(2));
        assert_eq!(keyed(events, "oom_kill"), Some(1));
        assert_eq!(keyed(events, "oom_"), None);
        let pressure = "some avg10=0.12 avg60=0.00 avg300=0.00 total=5123000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(some_total_ms(pressure), Some(5_123));
    }

    #[test]
    fn memory_comes_before_pids_and_the_cpu_budget_ends_nothing() {
        let hits = |oom, pids, throttled| Hits {
            oom,
            pids,
            throttled,
        };
        assert_eq!(hits(1, 1, 1).ended_by(), Some(EndedBy::Oom));
        assert_eq!(hits(0, 3, 0).ended_by(), Some(EndedBy::Pids));
        assert_eq!(hits(0, 0, 9).ended_by(), None);
        let budgets = Budgets {
            memory_bytes: Some(1),
            pids: Some(2),
            ..Budgets::default()
        };
        let reports = hits(0, 3, 0).reports(&budgets, "cgroup2");
        let shown: Vec<_> = reports
            .iter()
            .map(|r| (r.name.as_str(), r.asked, r.hit))
            .collect();
        assert_eq!(shown, [("memory", 1, false), ("pids", 2, true)]);
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text: String, key: String) {
            let _ = (keyed(&text, &key), some_total_ms(&text));
        }
        #[test]
        fn a_number_that_was_written_is_found(n: u64, other: u64) {
            let text = format!("a_b {other}\na {n}\n");
            prop_assert_eq!(keyed(&text, "a"), Some(n));
        }
    }
}
