//! The launcher: a small, single-threaded process between supervisor and init. It makes the
//! namespaces, writes their id maps, and stays to reap init, after which every process inside is
//! gone. It says so before it ends, since its end also takes the sandbox's mounts down, for which
//! nobody has to wait.
//!
//! It is started before there is a plan. An ordinary user's init comes to life at once, and is far
//! on by the time the orders come.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, Signal, kill};

use super::cgroup::Leaf;
use super::hints;
use super::ids::{Mapping, namespace_of, write_maps};
use super::init::{self, Known, Start};
use super::orders::Orders;
use super::trees::Trees;
use super::wire::{Channel, FromInit, Given, Spent};
use super::workspace;
use crate::SetupError;
use crate::error::At;
use crate::sys::process::{
    Cloned, clone_into_cgroup, clone_process, die_with_parent, exit_now, wait4,
};

/// The ends of the supervisor's channels that are held on the inner side.
pub(super) struct Inner {
    /// The launcher's: orders come by it.
    pub(super) orders: Channel,
    /// Shared by launcher and init.
    pub(super) channel: Channel,
    /// The build's.
    pub(super) build: Channel,
}

const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

/// Runs the launcher to its end; does not return.
pub(super) fn run(mapping: Mapping, leaf: Option<&Leaf>, inner: Inner) -> ! {
    let report = inner.channel.0.try_clone().map(Channel);
    let code = match launch(mapping, leaf, inner) {
        Ok(()) => 0,
        Err(error) => {
            let _ = report.map(|channel| channel.send(&FromInit::Failed(error)));
            1
        }
    };
    exit_now(code)
}

fn launch(mapping: Mapping, leaf: Option<&Leaf>, inner: Inner) -> Result<(), SetupError> {
    die_with_parent().step("tie the launcher to the supervisor's life")?;
    // Its own session: a Ctrl-C at the terminal is the supervisor's to handle, and so is whatever
    // else asks belljar to end.
    nix::unistd::setsid().step("leave the caller's session")?;
    SigSet::all()
        .thread_block()
        .step("leave signals to the supervisor")?;
    if mapping.privileged {
        // Impossible once the user namespace is made.
        nix::unistd::setgroups(&[]).step("drop the supplementary groups")?;
    }
    // While the caller's rights are whole.
    let scheduling = super::scheduling::set_fixed();
    // Root's mounts are taken from out here, and who has a budget is born in its cgroup: then init
    // starts with its orders in hand.
    let known = (mapping.privileged || leaf.is_some())
        .then(|| known(&inner.orders, mapping))
        .transpose()?;
    let orders = known.as_ref().map(|known| known.orders.clone());
    let (ready, go) = nix::unistd::pipe2(OFlag::O_CLOEXEC).step("make a pipe")?;
    let (to_init, from_launcher) = Channel::pair().step("make a channel")?;
    let start = Start {
        mapping,
        channel: Channel(inner.channel.0.try_clone().step("copy a descriptor")?),
        build: inner.build,
        ready,
        scheduling,
        orders: from_launcher,
        known,
    };
    // Born in its cgroup where the kernel can; else it joins, below, while it waits for its maps.
    let born = leaf
        .and_then(Leaf::clone_fd)
        .and_then(|leaf| clone_into_cgroup(NAMESPACES, leaf).ok());
    let joins = leaf.filter(|_| born.is_none());
    let pid = match born.map_or_else(|| clone_process(NAMESPACES), Ok) {
        Ok(Cloned::Child) => {
            drop((go, to_init, inner.orders, inner.channel));
            init::run(start)
        }
        Ok(Cloned::Parent(pid)) => pid,
        Err(e) => return Err(hints::for_namespaces(e)),
    };
    inner
        .channel
        .send(&FromInit::Started { pid: pid.as_raw() })
        .step("report to the supervisor")?;
    if let Some(leaf) = joins {
        leaf.join(pid)?;
    }
    // In the outer namespace the builder has the ids of the root folder's owner, so that the same
    // map serves the mounts; only the build's own namespace calls it 1000.
    write_maps(pid, mapping.owner, mapping.outside).map_err(hints::for_maps)?;
    if let Some(known) = &start.known
        && let Some(trees) = &known.trees
    {
        trees.map_owners(&known.orders, mapping, &namespace_of(pid)?)?;
    }
    // Only init and the build may hold the inner ends, so that their deaths show as EOF.
    drop(start);
    // Kept alive past init's end; where it can't be had, init takes the mounts down as it ends.
    let _mounts = fs::File::open(format!("/proc/{pid}/ns/mnt"));
    nix::unistd::write(&go, b"m").step("tell init of the id maps")?;
    let prepared = orders
        .map_or_else(|| pass_on(&inner.orders, &to_init), Ok)
        // While init puts the root together.
        .and_then(|orders| workspace::prepare(&orders, mapping));
    if prepared.is_err() {
        // Before init can say that the launcher is gone.
        kill(pid, Signal::SIGKILL).step("end init")?;
        wait4(pid).step("wait for init")?;
    }
    prepared?;
    nix::unistd::write(&go, b"s").step("tell init of the scratch folder")?;
    // `go` stays open: its end tells init that this process is gone.
    let (_, usage) = wait4(pid).step("wait for init")?;
    inner
        .channel
        .send(&FromInit::Gone(Spent {
            user_ms: millis(usage.ru_utime),
            system_ms: millis(usage.ru_stime),
            peak_memory_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        }))
        .step("report the end to the supervisor")
}

/// Waits for the orders, and does for init what only the launcher can.
fn known(channel: &Channel, mapping: Mapping) -> Result<Known, SetupError> {
    let (file, streams) = receive(channel)?;
    let orders = Orders::read(file)?;
    let trees = mapping.privileged.then(|| Trees::take(&orders));
    Ok(Known {
        trees: trees.transpose()?,
        orders,
        streams: init::streams(streams)?,
    })
}

/// Waits for the orders and hands them on.
fn pass_on(channel: &Channel, to_init: &Channel) -> Result<Orders, SetupError> {
    let (file, streams) = receive(channel)?;
    let fds: Vec<_> = [&file]
        .into_iter()
        .chain(&streams)
        .map(AsFd::as_fd)
        .collect();
    to_init
        .send_with(&Given, &fds)
        .step("hand the orders to init")?;
    Orders::read(file)
}

/// The file with the orders, and the build's streams.
pub(super) fn receive(channel: &Channel) -> Result<(OwnedFd, Vec<OwnedFd>), SetupError> {
    let step = "wait for the orders";
    match channel.receive::<Given>().step(step)? {
        Some((Given, mut fds)) if !fds.is_empty() => Ok((fds.remove(0), fds)),
        _ => Err(SetupError::refused(step, "who gives them is gone")),
    }
}

fn millis(t: libc::timeval) -> u64 {
    u64::try_from(t.tv_sec * 1000 + t.tv_usec / 1000).unwrap_or(0)
}
