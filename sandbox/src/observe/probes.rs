//! The self-test: tries every way out from inside the finished walls, before the command starts.
//!
//! Runs in the build's own process, single-threaded, under every wall; the filter that observes,
//! which is none, comes after all but the last of them. Nothing waits: sockets are
//! non-blocking, and "in progress" is a hole. Addresses are those set aside for documentation;
//! those that a real network might answer (link-local, metadata, multicast, broadcast) are tried
//! only once the network namespace has shown that it holds nothing but loopback. The self-test
//! says what it found; what a hole means is for the caller to say.

mod doors;
mod outward;
mod walls;

use belljar_model::{Label, Probe};
use nix::Result;
use nix::errno::Errno;

use super::Opened;
use outward::{How, IF_EMPTY, OUTWARD, is_unreachable, reach};
use walls::{WALLS, is_wall};

/// Tries everything.
pub(super) fn all(run: Label) -> Vec<Probe> {
    let empty = only_loopback();
    let mut probes = vec![Probe {
        run,
        attempt: "an interface other than loopback".into(),
        denied: empty,
        answer: if empty { "none" } else { "there is one" }.into(),
    }];
    probes.extend(OUTWARD.iter().map(|(how, to)| outward(run, *how, to)));
    probes.extend(IF_EMPTY.iter().map(|(how, to)| {
        if empty {
            return outward(run, *how, to);
        }
        Probe {
            run,
            attempt: how.attempt(to),
            denied: false,
            answer: "not tried: the network namespace is not empty".into(),
        }
    }));
    probes.extend(WALLS.iter().map(|(attempt, try_it)| {
        let answer = try_it();
        probe(run, (*attempt).into(), answer, is_wall)
    }));
    probes
}

/// What can only be tried once every filter stands and the descriptor table is the build's own;
/// the call that goes through the listener shows that it is served.
pub(super) fn last(run: Label, doors: Option<&Opened>) -> Vec<Probe> {
    let kept = probe(
        run,
        "a descriptor kept over exec".into(),
        kept_descriptor(),
        is_wall,
    );
    let mut probes = vec![outward(run, How::TcpConnect, "192.0.2.254:443"), kept];
    probes.extend(
        doors
            .into_iter()
            .flat_map(|opened| doors::all(run, &opened.ports, opened.learns)),
    );
    probes
}

fn probe(run: Label, attempt: String, result: Result<()>, denies: fn(Errno) -> bool) -> Probe {
    Probe {
        run,
        attempt,
        denied: result.is_err_and(denies),
        answer: result.map_or_else(|e| format!("{e:?}"), |()| "it worked".into()),
    }
}

fn outward(run: Label, how: How, to: &str) -> Probe {
    probe(run, how.attempt(to), reach(how, to), is_unreachable)
}

/// Whether the network namespace has no interface but `lo`; false where that can't be read.
fn only_loopback() -> bool {
    let Ok(table) = std::fs::read_to_string("/proc/thread-self/net/dev") else {
        return false;
    };
    // Two lines of headings, then one an interface: `  lo: 0 0 ...`.
    let mut names = table.lines().skip(2).filter_map(|l| l.split_once(':'));
    names.all(|(name, _)| name.trim() == "lo")
}

/// Looks for a descriptor, other than the three streams, that the command would get.
fn kept_descriptor() -> Result<()> {
    let unreadable = |e: std::io::Error| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    for entry in std::fs::read_dir("/proc/self/fd").map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let Ok(number @ 3..) = name.to_string_lossy().parse() else {
            continue;
        };
        match crate::sys::process::closes_on_exec(number) {
            Ok(false) => return Ok(()),
            // Closed meanwhile: the listing's own.
            Ok(true) | Err(Errno::EBADF) => {}
            Err(e) => return Err(e),
        }
    }
    Err(Errno::ENOENT)
}

#[cfg(test)]
mod tier_userns;
