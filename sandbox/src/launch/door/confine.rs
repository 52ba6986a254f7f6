//! The walls of the egress proxy, put up once it has read what it needs of the host. Whatever is
//! missing ends it: an open proxy is no proxy.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, LandlockStatus, Ruleset,
    RulesetAttr as _, RulesetError, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Pid, Uid, getppid, setgroups, setresgid, setresuid};

use crate::SetupError;
use crate::error::At;
use crate::launch::{caps, hints, seccomp};
use crate::sys::process::die_with_parent;

/// Nobody: owns nothing.
const NOBODY: u32 = 65_534;
/// Two for each connection, four for the pipes of a tunnel.
const DESCRIPTORS: u64 = 65_536;
const WANTED: ABI = ABI::V9;

/// Puts all of them up; the landlock ABI that was got.
pub(super) fn confine(dials: bool, records: bool, parent: Pid) -> Result<u32, SetupError> {
    limits(records)?;
    let privileged = nix::unistd::geteuid().is_root();
    if privileged {
        become_nobody()?;
    }
    let mut flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    if !dials {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    // No id is mapped: whoever it was, nothing belongs to it here.
    unshare(flags).map_err(|errno| {
        let error = hints::for_namespaces(errno);
        SetupError {
            step: "make the egress proxy's own namespaces".into(),
            ..error
        }
    })?;
    caps::drop_all()?;
    // The change of ids cleared it.
    die_with_parent().step("tie the egress proxy to the supervisor's life")?;
    if getppid() != parent {
        return Err(SetupError::refused(
            "tie the egress proxy to the supervisor's life",
            "the supervisor is gone",
        ));
    }
    nix::sys::prctl::set_dumpable(false).step("close the egress proxy to others")?;
    let landlock = landlock()?;
    seccomp::install_proxy(dials).map_err(|errno| {
        SetupError::new("confine the egress proxy with seccomp", errno)
            .hint("belljar needs CONFIG_SECCOMP_FILTER to open a way out")
    })?;
    Ok(landlock)
}

/// Enough descriptors; before anything counts on them.
pub(super) fn room() -> Result<(), SetupError> {
    let step = "set the limits of the egress proxy";
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).step(step)?;
    // Root alone may raise the hard one; what there is serves fewer connections.
    if setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS.max(hard)).is_err() {
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(DESCRIPTORS), hard).step(step)?;
    }
    Ok(())
}

/// No core, and no file but the recording.
fn limits(records: bool) -> Result<(), SetupError> {
    let step = "set the limits of the egress proxy";
    setrlimit(Resource::RLIMIT_CORE, 0, 0).step(step)?;
    if !records {
        setrlimit(Resource::RLIMIT_FSIZE, 0, 0).step(step)?;
    }
    Ok(())
}

/// As root: nobody's ids. Where there are none (a user namespace that maps root alone), being root
/// there is no more than the caller is outside, and the namespace below takes that away.
fn become_nobody() -> Result<(), SetupError> {
    let step = "drop root's rights from the egress proxy";
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    match setgroups(&[]).and_then(|()| setresgid(gid, gid, gid)) {
        Err(Errno::EINVAL | Errno::EPERM) if !maps_nobody() => return Ok(()),
        other => other.step(step)?,
    }
    match setresuid(uid, uid, uid) {
        Err(Errno::EINVAL) if !maps_nobody() => Ok(()),
        other => other.step(step),
    }
}

/// Whether nobody's ids are there.
fn maps_nobody() -> bool {
    let within = |line: &str| {
        let mut words = line.split_ascii_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) =
            (words.next(), words.next(), words.next())
        else {
            return true;
        };
        (first..first.saturating_add(count)).contains(&u64::from(NOBODY))
    };
    ["/proc/self/uid_map", "/proc/self/gid_map"]
        .iter()
        .all(|p| std::fs::read_to_string(p).map_or(true, |text| text.lines().any(within)))
}

/// No right to any file, no TCP port to listen on, nobody to signal.
fn landlock() -> Result<u32, SetupError> {
    let step = "confine the egress proxy with landlock";
    let restrict = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(WANTED))?
            .handle_access(AccessNet::BindTcp)?
            .scope(Scope::from_all(WANTED))?
            .create()?
            .restrict_self()
    };
    let status = restrict().map_err(|e: RulesetError| {
        SetupError::new(step, Errno::from_raw(*landlock::Errno::from(e)))
    })?;
    let hint = "boot a kernel with landlock (lsm=landlock,...), or leave out `--allow`";
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. }
            if status.ruleset != RulesetStatus::NotEnforced =>
        {
            Ok(effective_abi.min(WANTED) as u32)
        }
        _ => Err(SetupError::refused(step, "this kernel does not enforce it").hint(hint)),
    }
}
