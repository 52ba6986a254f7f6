//! The launcher: a small, single-threaded process between supervisor and init. It makes the
//! namespaces, writes their id maps, and stays to reap init, after which every process inside is
//! gone. It says so before it ends, since its end also takes the sandbox's mounts down, for which
//! nobody has to wait.

use std::fs;
use std::path::Path;

use belljar_model::{Label, Plan};
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};

use super::build::BuildSide;
use super::cgroup::Leaf;
use super::hints;
use super::ids::{Mapping, namespace_of, write_maps};
use super::init::{self, Job};
use super::trees::Trees;
use super::wire::{Channel, FromInit, Spent};
use super::workspace;
use crate::SetupError;
use crate::capture::Rung;
use crate::error::At;
use crate::plan::Host;
use crate::sys::process::{
    Cloned, clone_into_cgroup, clone_process, die_with_parent, exit_now, wait4,
};

/// What a run needs on the inner side of the fork.
pub(super) struct Brief<'a> {
    pub(super) plan: &'a Plan,
    pub(super) host: &'a Host,
    pub(super) label: Label,
    pub(super) mapping: Mapping,
    pub(super) rung: Rung,
    pub(super) scratch: &'a Path,
    pub(super) leaf: Option<&'a Leaf>,
    pub(super) offset_s: i64,
}

const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

/// Runs the launcher to its end; does not return.
pub(super) fn run(brief: &Brief<'_>, channel: &Channel, build: BuildSide) -> ! {
    let code = match launch(brief, channel, build) {
        Ok(()) => 0,
        Err(error) => {
            let _ = channel.send(&FromInit::Failed(error));
            1
        }
    };
    exit_now(code)
}

fn launch(brief: &Brief<'_>, channel: &Channel, build: BuildSide) -> Result<(), SetupError> {
    die_with_parent().step("tie the launcher to the supervisor's life")?;
    // Its own session: a Ctrl-C at the terminal is the supervisor's to handle.
    nix::unistd::setsid().step("leave the caller's session")?;
    if brief.mapping.privileged {
        // Impossible once the user namespace is made.
        nix::unistd::setgroups(&[]).step("drop the supplementary groups")?;
    }
    // While the caller's rights are whole.
    let scheduling = super::scheduling::set_fixed();
    let trees = brief
        .mapping
        .privileged
        .then(|| Trees::take(brief.host, brief.scratch))
        .transpose()?;
    let (ready, go) = nix::unistd::pipe2(OFlag::O_CLOEXEC).step("make a pipe")?;
    let job = Job {
        plan: brief.plan,
        host: brief.host,
        label: brief.label,
        rung: brief.rung,
        privileged: brief.mapping.privileged,
        trees,
        scratch: brief.scratch,
        offset_s: brief.offset_s,
        channel: Channel(channel.0.try_clone().step("copy a descriptor")?),
        build,
        ready,
        scheduling,
    };
    // Born in its cgroup where the kernel can; else it joins, below, while it waits for its maps.
    let born = brief
        .leaf
        .and_then(Leaf::clone_fd)
        .and_then(|leaf| clone_into_cgroup(NAMESPACES, leaf).ok());
    let joins = brief.leaf.filter(|_| born.is_none());
    let pid = match born.map_or_else(|| clone_process(NAMESPACES), Ok) {
        Ok(Cloned::Child) => {
            drop(go);
            init::run(job)
        }
        Ok(Cloned::Parent(pid)) => pid,
        Err(e) => return Err(hints::for_namespaces(e)),
    };
    channel
        .send(&FromInit::Started { pid: pid.as_raw() })
        .step("report to the supervisor")?;
    if let Some(leaf) = joins {
        leaf.join(pid)?;
    }
    // In the outer namespace the builder has the ids of the root folder's owner, so that the same
    // map serves the mounts; only the build's own namespace calls it 1000.
    write_maps(pid, brief.host.owner, brief.mapping.outside).map_err(hints::for_maps)?;
    if let Some(trees) = &job.trees {
        trees.map_owners(brief.host, brief.mapping, &namespace_of(pid)?)?;
    }
    // Only init and the build may hold the inner ends, so that their deaths show as EOF.
    drop(job);
    // Kept alive past init's end; where it can't be had, init takes the mounts down as it ends.
    let _mounts = fs::File::open(format!("/proc/{pid}/ns/mnt"));
    nix::unistd::write(&go, b"m").step("tell init of the id maps")?;
    // While init puts the root together.
    let prepared = workspace::prepare(brief.rung, brief.host, brief.scratch, brief.mapping);
    if prepared.is_err() {
        // Before init can say that the launcher is gone.
        kill(pid, Signal::SIGKILL).step("end init")?;
        wait4(pid).step("wait for init")?;
    }
    prepared?;
    nix::unistd::write(&go, b"s").step("tell init of the scratch folder")?;
    // `go` stays open: its end tells init that this process is gone.
    let (_, usage) = wait4(pid).step("wait for init")?;
    channel
        .send(&FromInit::Gone(Spent {
            user_ms: millis(usage.ru_utime),
            system_ms: millis(usage.ru_stime),
            peak_memory_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        }))
        .step("report the end to the supervisor")
}

fn millis(t: libc::timeval) -> u64 {
    u64::try_from(t.tv_sec * 1000 + t.tv_usec / 1000).unwrap_or(0)
}
