//! When the machine was started, as the sandbox tells it: `uptime`, the start times of processes and
//! `btime` of `/proc/stat` agree with the wall clock inside.
//!
//! The boot clock moves with the wall clock, in a time namespace. The kernel takes its offset off
//! `btime` then, since it knows nothing of a moved wall clock, so `/proc/stat` is a file of our own:
//! the same processors, no load of the host, and the right `btime`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use nix::time::{ClockId, clock_gettime};

use super::root;
use crate::SetupError;
use crate::error::At;

const STAT: &str = "/proc/stat";

/// The boot clock moves with the wall clock; the monotonic clock stays (time_namespaces(7)).
pub(super) fn time_namespace(offset_s: i64) -> Result<(), SetupError> {
    const CLONE_NEWTIME: i32 = 0x80;
    unshare(CloneFlags::from_bits_retain(CLONE_NEWTIME)).step("make a time namespace")?;
    let real = clock_gettime(ClockId::CLOCK_BOOTTIME).step("read the boot clock")?;
    // The kernel refuses offsets that would put the clock before zero.
    let boot = offset_s.max(-real.tv_sec());
    fs::write("/proc/self/timens_offsets", format!("boottime {boot} 0\n"))
        .step("move the boot clock")
}

/// Puts the file over `/proc/stat`. Call it where the time namespace is made, but not entered.
pub(super) fn tell(offset_s: i64) -> Result<(), SetupError> {
    let host = fs::read_to_string(STAT).step_at("read", STAT)?;
    // Without time namespaces nothing was moved.
    let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    let moved = offset_s.saturating_sub(boot_offset(&offsets));
    root::cover(Path::new(STAT), stat(&host, moved))
}

fn boot_offset(offsets: &str) -> i64 {
    let line = offsets.lines().find_map(|l| l.strip_prefix("boottime"));
    line.and_then(|l| l.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The host's text with every count 0 and `btime` moved.
fn stat(host: &str, moved: i64) -> String {
    let mut text = String::new();
    for line in host.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else { continue };
        text.push_str(name);
        match name {
            "btime" => {
                let seconds = words.next().and_then(|w| w.parse::<i64>().ok());
                let _ = write!(
                    text,
                    " {}",
                    seconds.unwrap_or(0).saturating_add(moved).max(0)
                );
            }
            "procs_running" => text.push_str(" 1"),
            // One count an interrupt of the host.
            "intr" => text.push_str(" 0"),
            _ => words.for_each(|_| text.push_str(" 0")),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_load_of_the_host_is_not_told_and_the_start_is_moved() {
        let host = "cpu  10 20 30\ncpu0 1 2 3\nintr 99 1 0 7\nctxt 5\nbtime 1700000000\nprocesses 9\nprocs_running 3\n";
        assert_eq!(
            stat(host, -86_400),
            "cpu 0 0 0\ncpu0 0 0 0\nintr 0\nctxt 0\nbtime 1699913600\nprocesses 0\nprocs_running 1\n"
        );
        assert_eq!(stat("btime 5\n", -9), "btime 0\n");
    }

    #[test]
    fn the_offset_of_the_boot_clock_is_found() {
        assert_eq!(
            boot_offset("monotonic          0         0\nboottime    34560000         0\n"),
            34_560_000
        );
        assert_eq!(boot_offset("monotonic 0 0\nboottime -7 0\n"), -7);
        assert_eq!(boot_offset(""), 0);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(host in "[a-z0-9 \n]{0,200}", moved: i64) {
            let _ = stat(&host, moved);
            let _ = boot_offset(&host);
        }
    }
}
