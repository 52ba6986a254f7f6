//! What `/proc` says of a task, read from the supervisor's side.
//!
//! Every read is bounded. Nothing here checks that the task is still the one that was meant: the
//! caller confirms that afterwards.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt;

/// More of a command line is not read.
const LONGEST_COMMAND: u64 = 16 * 1024;
const LONGEST_STATUS: usize = 4096;

/// Reads `/proc/TASK/name` by one call, which for these files gives all of it that fits.
fn read_once(task: i32, name: &str, room: &mut [u8]) -> Option<usize> {
    File::open(format!("/proc/{task}/{name}"))
        .ok()?
        .read(room)
        .ok()
}

/// Facts that change when a task becomes another program, gets another parent, or is another task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Its parent, 0 if that is outside the reader's namespace.
    pub(crate) parent: i32,
    started: u64,
    /// Where its code and its arguments lie: an exec moves them.
    code: u64,
    arguments: u64,
}

/// Reads the stamp.
pub(crate) fn stamp(task: i32) -> Option<Stamp> {
    let mut room = [0; LONGEST_STATUS];
    let len = read_once(task, "stat", &mut room)?;
    parse_stamp(&room[..len])
}

fn parse_stamp(stat: &[u8]) -> Option<Stamp> {
    // The name may hold anything, the bracket that ends it included: the last one counts.
    let end = stat.iter().rposition(|b| *b == b')')?;
    let fields: Vec<_> = std::str::from_utf8(stat.get(end + 2..)?)
        .ok()?
        .split_ascii_whitespace()
        .collect();
    // proc_pid_stat(5) counts from 1, and the first here is the third.
    let field = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
    Some(Stamp {
        parent: i32::try_from(field(4)?).ok()?,
        started: field(22)?,
        code: field(26)?,
        arguments: field(48)?,
    })
}

/// Who a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// The thread's short name.
    pub(crate) name: Vec<u8>,
    /// The process id inside the innermost namespace.
    pub(crate) pid_inside: u32,
    /// In how many process-id namespaces it has an id, the reader's included.
    pub(crate) depth: usize,
}

/// Reads who a task is.
pub(crate) fn status(task: i32) -> Option<Status> {
    let mut room = [0; LONGEST_STATUS];
    let len = read_once(task, "status", &mut room)?;
    parse_status(&room[..len])
}

fn parse_status(text: &[u8]) -> Option<Status> {
    let field = |key: &[u8]| {
        let line = text.split(|b| *b == b'\n').find(|l| l.starts_with(key))?;
        Some(line[key.len()..].trim_ascii())
    };
    let ids = std::str::from_utf8(field(b"NStgid:")?).ok()?;
    let ids: Vec<u32> = ids.split_ascii_whitespace().flat_map(str::parse).collect();
    Some(Status {
        name: field(b"Name:")?.to_vec(),
        pid_inside: *ids.last()?,
        depth: ids.len(),
    })
}

/// A task's command line; whether it was cut.
pub(crate) fn command_line(task: i32) -> (Vec<Vec<u8>>, bool) {
    let mut text = Vec::new();
    if let Ok(file) = File::open(format!("/proc/{task}/cmdline")) {
        // A process that is going away has none.
        let _ = file.take(LONGEST_COMMAND).read_to_end(&mut text);
    }
    let cut = text.len() as u64 == LONGEST_COMMAND;
    let text = text.strip_suffix(b"\0").unwrap_or(&text);
    if text.is_empty() {
        return (Vec::new(), cut);
    }
    (text.split(|b| *b == 0).map(<[u8]>::to_vec).collect(), cut)
}

/// The executable's path as it is inside the task's own mount tree, and the file itself.
pub(crate) fn executable(task: i32) -> (Option<Vec<u8>>, Option<File>) {
    let link = format!("/proc/{task}/exe");
    let path = std::fs::read_link(&link)
        .ok()
        .map(|p| p.into_os_string().into_vec());
    (path, File::open(&link).ok())
}

/// What a task's descriptor is a link to, if it is a socket: the socket's number.
pub(crate) fn socket_number(task: i32, fd: u64) -> Option<u64> {
    let link = std::fs::read_link(format!("/proc/{task}/fd/{fd}")).ok()?;
    let number = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_process() {
        let me = i32::try_from(std::process::id()).unwrap();
        let status = status(me).unwrap();
        assert_eq!(status.pid_inside, std::process::id());
        assert_eq!(status.depth, 1);
        let stamp = stamp(me).unwrap();
        assert_eq!(stamp.parent, nix::unistd::getppid().as_raw());
        assert!(stamp.started > 0 && stamp.code > 0 && stamp.arguments > 0);
        let args: Vec<_> = std::env::args_os().map(OsStringExt::into_vec).collect();
        assert_eq!(command_line(me), (args, false));
        let (path, file) = executable(me);
        assert_eq!(
            path.unwrap(),
            std::env::current_exe().unwrap().into_os_string().into_vec()
        );
        assert!(file.unwrap().metadata().unwrap().len() > 0);
    }

    #[test]
    fn a_name_full_of_brackets_is_no_trap() {
        let numbers: Vec<_> = (3..60).map(|n: u32| n.to_string()).collect();
        let text = format!("7 (a) R 1 ) ( \u{e9}) {}", numbers.join(" "));
        let stamp = parse_stamp(text.as_bytes()).unwrap();
        assert_eq!(
            (stamp.parent, stamp.started, stamp.code, stamp.arguments),
            (4, 22, 26, 48)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = (parse_stamp(&text), parse_status(&text));
        }
    }
}
