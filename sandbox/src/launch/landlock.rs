//! Landlock: what of the file tree a build may change, and whom it may signal.
//!
//! A second, independent wall behind the mounts: read and execute everywhere beneath `/`, write only
//! in the folders given, no signal to a process outside, no abstract socket from outside. TCP ports
//! are left to the network namespace, since servers on loopback are part of builds.
//!
//! Comes after the last mount and the change of root (a landlocked process may do neither), and
//! before seccomp. What the kernel is too old for is left out, and said.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, LandlockStatus,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope,
};
use nix::errno::Errno;

use crate::SetupError;

/// The newest ABI that has something for us: connecting to sockets by path (Linux 7.1). The one after
/// it adds UDP ports, which are the network namespace's.
const WANTED: ABI = ABI::V9;

/// What was enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landlocked {
    /// The ABI that all rules need.
    pub abi_wanted: u32,
    /// The ABI that this kernel has, as far as it is of use; 0 without landlock.
    pub abi_got: u32,
    /// Everything that was wanted is enforced.
    pub full: bool,
    /// What is missing, and why.
    pub why: Option<String>,
}

/// Restricts the calling thread, and through it all it will start, to write only beneath `writable`.
///
/// Each path must exist; a file gives that file alone. Renames and links between any two of them are
/// allowed. `/proc` is added for what a process writes about itself.
pub fn restrict(writable: &[&Path]) -> Result<Landlocked, SetupError> {
    let status = enforce(writable)?;
    Ok(describe(&status))
}

fn enforce(writable: &[&Path]) -> Result<RestrictionStatus, SetupError> {
    let all = AccessFs::from_all(WANTED);
    let mut rules = vec![
        beneath(Path::new("/"), AccessFs::from_read(WANTED))?,
        // comm, oom_score_adj; /proc/PID/mem, which is how gdb sets breakpoints
        beneath(Path::new("/proc"), AccessFs::WriteFile | AccessFs::Truncate)?,
    ];
    for path in writable {
        rules.push(beneath(path, all)?);
    }
    let restricted = || -> Result<RestrictionStatus, RulesetError> {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .scope(Scope::from_all(WANTED))?
            .create()?
            .add_rules(rules.into_iter().map(Ok::<_, RulesetError>))?
            .restrict_self()
    };
    restricted().map_err(|e| {
        let errno = Errno::from_raw(*landlock::Errno::from(e));
        let error = SetupError::new("restrict the build with landlock", errno);
        match errno {
            Errno::E2BIG => {
                error.hint("too many landlock layers are stacked: run belljar less deeply nested")
            }
            _ => error,
        }
    })
}

/// The right `access` beneath `path`, or to `path` if that is a file.
fn beneath(
    path: &Path,
    access: impl Into<BitFlags<AccessFs>>,
) -> Result<PathBeneath<PathFd>, SetupError> {
    let step = "open a path for landlock";
    let fd = PathFd::new(path)
        .map_err(|e| SetupError::new(step, Errno::from_raw(*landlock::Errno::from(e))).at(path))?;
    let metadata = path.metadata().map_err(|e| {
        let errno = e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        SetupError::new(step, errno).at(path)
    })?;
    let mut access = access.into();
    if !metadata.is_dir() {
        access &= AccessFs::from_file(WANTED);
    }
    Ok(PathBeneath::new(fd, access))
}

fn describe(status: &RestrictionStatus) -> Landlocked {
    let (abi_got, why) = match status.landlock {
        LandlockStatus::NotEnabled => (
            0,
            Some("landlock is built into this kernel, but not among its security modules".into()),
        ),
        LandlockStatus::NotImplemented => (0, Some("this kernel has no landlock".into())),
        LandlockStatus::Available { effective_abi, .. } => {
            let got = effective_abi.min(WANTED) as u32;
            (got, missing(got))
        }
    };
    Landlocked {
        abi_wanted: WANTED as u32,
        abi_got,
        full: status.ruleset == RulesetStatus::FullyEnforced,
        why,
    }
}

/// What an ABI below the wanted one lacks.
fn missing(abi: u32) -> Option<String> {
    if abi < 2 {
        // with it every rename between folders would fail, so nothing is enforced
        return Some("ABI 1 cannot allow renames between folders: landlock is left off".into());
    }
    let lacking: Vec<&str> = [
        (3, "truncation"),
        (5, "requests to devices"),
        (6, "signals and abstract sockets to the outside"),
        (9, "connecting to sockets by path"),
    ]
    .into_iter()
    .filter_map(|(since, what)| (abi < since).then_some(what))
    .collect();
    (!lacking.is_empty()).then(|| format!("ABI {abi} does not control {}", lacking.join(", ")))
}

#[cfg(test)]
mod tests;
