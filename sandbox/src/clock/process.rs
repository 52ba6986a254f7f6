//! What `/proc` says of a thread.

use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

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

/// Where the thread's vDSO lies now, if it still has one: a program may move it.
pub(super) fn moved_vdso(tid: i32) -> Result<Option<u64>> {
    let maps = fs::read_to_string(format!("/proc/{tid}/maps"))
        .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    Ok(find_mapped_vdso(&maps))
}

fn find_mapped_vdso(maps: &str) -> Option<u64> {
    let line = maps.lines().find(|line| line.ends_with("[vdso]"))?;
    u64::from_str_radix(line.split_once('-')?.0, 16).ok()
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

/// A text in a process: a private executable mapping of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapped {
    /// Where it lies.
    pub(super) text: Range<u64>,
    /// Where the first bytes of the same file lie.
    pub(super) head: u64,
    /// The file's name, without its folder.
    pub(super) name: String,
}

/// The text that holds `address`, by what a process's `maps` says.
pub(super) fn text_around(maps: &str, address: u64) -> Option<Mapped> {
    texts(maps).find(|mapped| mapped.text.contains(&address))
}

/// The text of glibc, where it is a library.
pub(super) fn c_library(maps: &str) -> Option<Mapped> {
    texts(maps).find(|m| m.name.starts_with("libc.so.") || m.name.starts_with("libc-2."))
}

/// Texts whose files are mapped from their first bytes on.
fn texts(maps: &str) -> impl Iterator<Item = Mapped> {
    let mut head = None;
    maps.lines().filter_map(move |line| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let [start, end] = [start, end].map(|w| u64::from_str_radix(w, 16));
        let (start, end) = (start.ok()?, end.ok()?);
        let [rights, offset, device, inode] = [(); 4].map(|()| words.next());
        if offset?.bytes().all(|b| b == b'0') {
            head = Some((device, inode, start));
        }
        let (head_device, head_inode, head) = head?;
        let is_text = rights == Some("r-xp")
            && inode != Some("0")
            && (head_device, head_inode) == (device, inode);
        is_text.then(|| Mapped {
            text: start..end,
            head,
            name: line.rsplit('/').next().unwrap_or_default().to_owned(),
        })
    })
}

/// Whether the thread is the only one of its process.
pub(super) fn is_alone(tid: i32) -> bool {
    // Itself, its parent and a folder for each thread.
    fs::metadata(format!("/proc/{tid}/task")).is_ok_and(|m| m.nlink() == 3)
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
    fn a_vdso_is_found_where_it_lies() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(moved_vdso(pid), vdso_base(pid));
        let maps = "7f00-7f10 r--p 0 00:00 0 [vvar]\n7f10-7f20 r-xp 0 00:00 0      [vdso]\n";
        assert_eq!(find_mapped_vdso(maps), Some(0x7f10));
        assert_eq!(find_mapped_vdso(&maps[..30]), None);
        assert_eq!(find_mapped_vdso("x-y [vdso]"), None);
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
    fn a_text_is_found_with_the_head_of_its_file() {
        let maps = "\
            00400000-00401000 r--p 00000000 08:01 7      /bin/a b\n\
            00401000-00403000 r-xp 00001000 08:01 7      /bin/a b\n\
            00500000-00501000 r-xp 00001000 08:01 8      /lib/no-head\n\
            00600000-00601000 rwxp 00000000 00:00 0 \n\
            00700000-00702000 r-xp 00000000 08:01 9      /bin/go\n\
            00800000-00801000 r-xs 00000000 08:01 5      /shared\n\
            00900000-00901000 r--p 00000000 08:01 4      /x/libc.so.6\n\
            00901000-00902000 r-xp 00001000 08:01 4      /x/libc.so.6\n";
        assert_eq!(c_library(maps).map(|m| m.text), Some(0x90_1000..0x90_2000));
        assert_eq!(c_library(&maps[..maps.len() - 80]), None);
        let found = |at| text_around(maps, at).map(|m| (m.text, m.head));
        assert_eq!(found(0x40_1000), Some((0x40_1000..0x40_3000, 0x40_0000)));
        assert_eq!(found(0x40_2fff), Some((0x40_1000..0x40_3000, 0x40_0000)));
        assert_eq!(found(0x70_1000), Some((0x70_0000..0x70_2000, 0x70_0000)));
        for no in [
            0x40_0000,
            0x40_3000,
            0x50_0000,
            0x60_0000,
            0x80_0000,
            0,
            u64::MAX,
        ] {
            assert_eq!(found(no), None, "{no:x}");
        }
        assert_eq!(text_around(maps, 0x40_1000).unwrap().name, "a b");
        assert_eq!(text_around("", 1), None);
        assert_eq!(text_around("x y z", 1), None);
    }

    #[test]
    fn a_process_of_two_threads_is_not_alone() {
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || told.recv());
        assert!(!is_alone(i32::try_from(std::process::id()).unwrap()));
        drop(tell);
        assert!(other.join().unwrap().is_err());
        let child = std::process::Command::new("sleep").arg("9").spawn();
        let mut child = child.unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(is_alone(pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_alone(pid));
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
