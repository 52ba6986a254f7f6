//! Which process made a call: its program, its arguments, and the chain that led to it.
//!
//! Looked up while the caller sleeps in its call, so that the facts are those of the call. What
//! was looked up once is kept as long as the task's stamp stays (see [`procfs::Stamp`]): after an
//! exec it is looked up again.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use belljar_model::{OsText, Proc};

use super::hash::{ExeId, Hasher};
use super::home;
use super::mask::mask;
use super::procfs::{self, Stamp};

/// Arguments that are kept, and bytes of each.
const MAX_ARGS: usize = 32;
const MAX_ARG: usize = 256;
/// The same of each ancestor, and ancestors.
const MAX_ANCESTOR_ARGS: usize = 8;
const MAX_ANCESTOR_ARG: usize = 96;
const MAX_CHAIN: usize = 16;
/// Bytes of a document that a command line, the chain and the executable's path may take, so that
/// a record stays within its line.
const ARGV_BUDGET: usize = 2500;
const CHAIN_BUDGET: usize = 2500;
const EXE_BUDGET: usize = 1000;
/// A chain is not followed further up.
const MAX_DEPTH: usize = 64;
/// Kept tasks; when there are more, all are forgotten.
const MAX_KEPT: usize = 4096;

/// A task as it was when it was looked up.
#[derive(Debug)]
pub(crate) struct Known {
    stamp: Stamp,
    parent: Option<Arc<Known>>,
    /// In how many process-id namespaces it has an id.
    depth: usize,
    /// Process id inside the sandbox.
    pub(crate) pid: u32,
    /// What a record says of it, without the executable's digest.
    pub(crate) proc: Proc,
    /// Which file its executable is.
    pub(crate) exe: Option<ExeId>,
}

/// Looks processes up.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    kept: Mutex<HashMap<i32, Arc<Known>>>,
    /// The caller's home folder, which is not named.
    home: Option<Vec<u8>>,
    /// Hashes executables meanwhile.
    pub(crate) hasher: Hasher,
}

impl Processes {
    /// Knows nobody yet.
    pub(crate) fn new(home: Option<&Path>) -> Self {
        Self {
            home: home.map(|h| h.as_os_str().as_bytes().to_vec()),
            ..Self::default()
        }
    }

    /// Text without the name of the caller's home folder.
    pub(crate) fn without_home(&self, text: OsText) -> OsText {
        match &self.home {
            Some(home) => home::without(text.as_bytes(), home).into(),
            None => text,
        }
    }

    /// The process of a task; `None` if it is gone.
    pub(crate) fn find(&self, task: i32) -> Option<Arc<Known>> {
        self.find_at(task, 0)
    }

    fn find_at(&self, task: i32, level: usize) -> Option<Arc<Known>> {
        let stamp = procfs::stamp(task)?;
        let kept = self.lock().get(&task).cloned();
        let parent = match &kept {
            // Init was looked up for nothing but the end of the chain.
            Some(known) if known.stamp == stamp && known.pid == 1 => return kept,
            _ if stamp.parent > 0 && level < MAX_DEPTH => self.find_at(stamp.parent, level + 1),
            _ => None,
        };
        if let Some(known) = kept
            && known.stamp == stamp
            && same(known.parent.as_ref(), parent.as_ref())
        {
            return Some(known);
        }
        let known = Arc::new(self.look_up(task, stamp, parent)?);
        let mut kept = self.lock();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(task, Arc::clone(&known));
        Some(known)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Arc<Known>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_up(&self, task: i32, stamp: Stamp, parent: Option<Arc<Known>>) -> Option<Known> {
        let status = procfs::status(task)?;
        if status.pid_inside == 1 && status.depth > 1 {
            return Some(Known {
                stamp,
                parent: None,
                depth: status.depth,
                pid: 1,
                proc: unknown(),
                exe: None,
            });
        }
        let (mut line, cut) = procfs::command_line(task);
        if let Some(home) = &self.home {
            for arg in &mut line {
                *arg = home::without(arg, home);
            }
        }
        let (argv, shortened) = shorten(&line, MAX_ARGS, ARGV_BUDGET);
        let (path, file) = procfs::executable(task);
        // The build's first process is the one that init started: nothing above it is the build's.
        let parent = parent.filter(|p| p.pid != 1 && p.depth == status.depth);
        let (chain, chain_cut) = parent.as_deref().map(chain).unwrap_or_default();
        Some(Known {
            exe: file.and_then(|f| self.hasher.add(f)),
            proc: Proc {
                comm: status.name.into(),
                exe: path.map_or_else(
                    || "unknown".into(),
                    |p| fit(self.without_home(p.into()).as_bytes(), EXE_BUDGET).0,
                ),
                exe_sha256: None,
                argv,
                argv_cut: cut || shortened || chain_cut,
                chain,
                attrib: "notify".into(),
            },
            pid: status.pid_inside,
            depth: status.depth,
            stamp,
            parent,
        })
    }
}

fn same(a: Option<&Arc<Known>>, b: Option<&Arc<Known>>) -> bool {
    let b = b.filter(|p| p.pid != 1);
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// What is said of a process that could not be found.
pub(crate) fn unknown() -> Proc {
    Proc {
        comm: "unknown".into(),
        exe: "unknown".into(),
        exe_sha256: None,
        argv: Vec::new(),
        argv_cut: false,
        chain: Vec::new(),
        attrib: "unknown".into(),
    }
}

/// The chain of a process whose parent is `parent`; whether an ancestor is missing.
fn chain(parent: &Known) -> (Vec<Vec<OsText>>, bool) {
    let args = parent.proc.argv.iter().take(MAX_ANCESTOR_ARGS);
    let own = args.map(|a| a.as_bytes()[..a.as_bytes().len().min(MAX_ANCESTOR_ARG)].into());
    let mut chain = vec![own.collect::<Vec<_>>()];
    chain.extend(parent.proc.chain.iter().cloned());
    let all = chain.len();
    chain.truncate(MAX_CHAIN);
    let mut left = CHAIN_BUDGET;
    chain.retain(|argv| {
        let cost = argv.iter().map(size).sum::<usize>() + 4;
        left = left.saturating_sub(cost);
        left > 0
    });
    let cut = chain.len() < all;
    (chain, cut)
}

/// Masks a command line and cuts it; whether anything was cut.
fn shorten(line: &[Vec<u8>], max: usize, budget: usize) -> (Vec<OsText>, bool) {
    let line: Vec<_> = line.iter().map(Vec::as_slice).collect();
    let masked = mask(&line);
    let mut cut = masked.len() > max;
    let mut left = budget;
    let mut out = Vec::new();
    for arg in masked.into_iter().take(max) {
        let (arg, shortened) = fit(&arg[..arg.len().min(MAX_ARG)], left);
        cut |= shortened || arg.as_bytes().len() == MAX_ARG;
        left = left.saturating_sub(size(&arg));
        if left == 0 {
            return (out, true);
        }
        out.push(arg);
    }
    (out, cut)
}

/// The longest start of `bytes` that takes at most `budget` bytes of a document.
fn fit(bytes: &[u8], budget: usize) -> (OsText, bool) {
    let whole = OsText::from(bytes);
    if size(&whole) <= budget {
        return (whole, false);
    }
    // No byte takes more than five: `\\x00`.
    (bytes[..bytes.len().min(budget / 5)].into(), true)
}

/// Bytes that it takes in a document, its quotes and a comma included.
fn size(text: &OsText) -> usize {
    serde_json::to_string(text).map_or(0, |s| s.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use belljar_model::EgressRecord;
    use proptest::prelude::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_program_its_arguments_and_its_chain() {
        let found = Processes::default();
        let mut sh = Command::new("sh")
            .args(["-c", "sleep 60 & echo $!; read x; kill $!", "--token=abc"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = sh.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
        let sleep: i32 = line.trim().parse().unwrap();
        // Forked, and maybe not yet what it will be.
        while found.find(sleep).unwrap().proc.argv[0] != "sleep".into() {
            std::thread::yield_now();
        }
        let known = found.find(sleep).unwrap();
        assert!(Arc::ptr_eq(&known, &found.find(sleep).unwrap()), "kept");
        assert_eq!(known.proc.argv, ["sleep".into(), "60".into()]);
        assert_eq!(known.proc.comm, "sleep".into());
        assert_eq!(known.pid, u32::try_from(sleep).unwrap());
        assert!(
            known.proc.exe.to_string().ends_with("sleep")
                || known.proc.exe.to_string().contains("busybox")
        );
        let parent = &known.proc.chain[0];
        assert_eq!(parent[0], "sh".into());
        assert_eq!(parent[3], "--token=***".into());
        assert!(known.proc.chain.len() > 1, "the test itself is above");
        drop(sh.stdin.take());
        sh.wait().unwrap();
        assert!(found.find(i32::try_from(sh.id()).unwrap()).is_none());
    }

    #[test]
    fn an_exec_is_noticed() {
        let found = Processes::default();
        let mut sh = Command::new("sh")
            .args(["-c", "echo; read x; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(sh.id()).unwrap();
        let mut out = std::io::BufReader::new(sh.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut String::new()).unwrap();
        assert_eq!(found.find(pid).unwrap().proc.argv[0], "sh".into());
        let mut input = sh.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, b"go\nx\n").unwrap();
        std::io::BufRead::read_line(&mut out, &mut String::new()).unwrap();
        assert_eq!(found.find(pid).unwrap().proc.argv, ["cat".into()]);
        drop(input);
        sh.wait().unwrap();
    }

    fn parent_of(argv: Vec<OsText>, chain: Vec<Vec<OsText>>) -> Known {
        let proc = Proc {
            argv,
            chain,
            ..unknown()
        };
        let stamp = procfs::stamp(i32::try_from(std::process::id()).unwrap()).unwrap();
        Known {
            stamp,
            parent: None,
            depth: 1,
            pid: 2,
            proc,
            exe: None,
        }
    }

    proptest! {
        #[test]
        fn nothing_grows_past_its_budget(
            lines in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..50), 1..20),
            exe in prop::collection::vec(1u8..255, 0..4096),
        ) {
            let mut above: Vec<Vec<OsText>> = Vec::new();
            let mut argv = Vec::new();
            for line in &lines {
                (argv, _) = shorten(line, MAX_ARGS, ARGV_BUDGET);
                prop_assert!(argv.iter().map(size).sum::<usize>() <= ARGV_BUDGET);
                (above, _) = chain(&parent_of(argv.clone(), above));
            }
            let proc = Proc { argv, chain: above, exe: fit(&exe, EXE_BUDGET).0, ..unknown() };
            let text = serde_json::to_string(&proc).unwrap();
            // With the longest host (a DNS name of control characters) and the rest of a record.
            prop_assert!(text.len() + 255 * 5 + 900 < EgressRecord::MAX_LINE, "{}", text.len());
        }
    }
}
