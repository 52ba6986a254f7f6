//! What `/proc` says of a thread.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use nix::Result;
use nix::errno::Errno;

const AT_SYSINFO_EHDR: u64 = 33;

/// Where the thread's vDSO lies, if it has one.
pub(super) fn vdso_base(tid: i32) -> Result<Option<u64>> {
    let auxv = fs::read(format!("/proc/{tid}/auxv"))
        .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    Ok(find_vdso(&auxv))
}

fn find_vdso(auxv: &[u8]) -> Option<u64> {
    let mut words = auxv
        .chunks_exact(8)
        .filter_map(|w| w.try_into().ok().map(u64::from_ne_bytes));
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        if key == AT_SYSINFO_EHDR {
            return Some(value).filter(|&v| v != 0);
        }
    }
    None
}

/// The executable's path as the thread sees it, or what else names it.
pub(super) fn name(tid: i32) -> String {
    // A process whose memory can't be read hides its path too.
    let path = fs::read_link(format!("/proc/{tid}/exe")).map(|p| p.as_os_str().as_bytes().to_vec());
    let name = path.or_else(|_| fs::read(format!("/proc/{tid}/comm")));
    name.map_or_else(
        |_| "unknown".to_owned(),
        |n| String::from_utf8_lossy(n.trim_ascii_end()).into_owned(),
    )
}

/// The first thread of the thread's process.
pub(super) fn leader(tid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    field(&status, "Tgid:")?.parse().ok()
}

/// The clock of a timer descriptor of this process.
pub(super) fn timerfd_clock(number: i32) -> Option<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    field(&info, "clockid:")?.parse().ok()
}

/// The clock of a POSIX timer of the thread's process, where the kernel lists them.
pub(super) fn timer_clock(tid: i32, timer: u64) -> Option<u64> {
    let timers = fs::read_to_string(format!("/proc/{tid}/timers")).ok()?;
    find_timer(&timers, timer)
}

fn find_timer(timers: &str, timer: u64) -> Option<u64> {
    let at = timers.lines().position(|line| {
        line.strip_prefix("ID: ")
            .and_then(|n| n.trim().parse().ok())
            == Some(timer)
    })?;
    let own = timers
        .lines()
        .skip(at + 1)
        .take_while(|line| !line.starts_with("ID: "));
    own.filter_map(|line| line.strip_prefix("ClockID: "))
        .find_map(|c| c.trim().parse().ok())
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_vdso_a_name_and_a_leader() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(vdso_base(pid).unwrap().unwrap() % 4096, 0);
        assert!(name(pid).starts_with('/'));
        let tid = nix::unistd::gettid().as_raw();
        assert_eq!(leader(tid), Some(pid));
        assert_eq!(vdso_base(0x3fff_ffff), Err(Errno::ENOENT));
    }

    #[test]
    fn a_timer_is_found_with_its_own_clock() {
        let text = "ID: 1\nsignal: 14/0\nnotify: signal/pid.9\nClockID: 1\nID: 10\nsignal: 14/0\nnotify: signal/pid.9\nClockID: 0\nID: 3\n";
        assert_eq!(find_timer(text, 10), Some(0));
        assert_eq!(find_timer(text, 1), Some(1));
        assert_eq!(find_timer(text, 3), None);
        assert_eq!(find_timer(text, 0), None);
        assert_eq!(find_timer("", 0), None);
    }

    #[test]
    fn a_vdso_is_found_among_other_entries() {
        let auxv: Vec<u8> = [6u64, 4096, 33, 0x7000, 0, 0]
            .iter()
            .flat_map(|w| w.to_ne_bytes())
            .collect();
        assert_eq!(find_vdso(&auxv), Some(0x7000));
        assert_eq!(find_vdso(&auxv[..20]), None);
        assert_eq!(find_vdso(&[]), None);
    }
}
