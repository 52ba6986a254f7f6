//! Init: pid 1 inside. Builds the walls that belong to the outer user namespace, starts the
//! build, then reaps and forwards signals, holding nothing but its socket.

mod namespaces;
mod serve;

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use belljar_model::{LayerReport, Streams};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use super::boot;
use super::build::{self, BuildSide};
use super::door;
use super::ids::Mapping;
use super::orders::Orders;
use super::root;
use super::trees::Trees;
use super::wire::{Channel, FromInit};
use super::workspace;
use crate::SetupError;
use crate::error::At;
use crate::observe::NameSocket;
use crate::sys::process::{Cloned, clone_process, die_with_parent, exit_now};

/// What the command line of pid 1 says, everywhere.
const INIT_NAME: &str = "belljar-init";

/// What init is started with.
pub(super) struct Start {
    pub(super) mapping: Mapping,
    /// To the supervisor.
    pub(super) channel: Channel,
    /// The build's, to the supervisor.
    pub(super) build: Channel,
    /// Takes a byte once the id maps are written, and one once the scratch folder is prepared.
    pub(super) ready: OwnedFd,
    /// What the launcher could do about the caller's rank among processes.
    pub(super) scheduling: LayerReport,
    /// The orders come by this, unless they are known.
    pub(super) orders: Channel,
    pub(super) known: Option<Known>,
}

/// What the launcher knew before it started init.
pub(super) struct Known {
    pub(super) orders: Orders,
    pub(super) streams: Option<[OwnedFd; 3]>,
    /// Taken by a privileged launcher; else init takes them itself.
    pub(super) trees: Option<Trees>,
}

/// What init and build work by.
pub(super) struct Job {
    pub(super) orders: Orders,
    pub(super) mapping: Mapping,
    pub(super) channel: Channel,
    pub(super) build: BuildSide,
    ready: OwnedFd,
    scheduling: LayerReport,
}

/// Runs init to its end; does not return.
pub(super) fn run(start: Start) -> ! {
    let report = start.channel.0.try_clone().map(Channel);
    let code = match set_up(start) {
        Ok((job, ready)) => {
            drop(report);
            serve::serve(job, &ready)
        }
        Err(error) => {
            let _ = report.map(|channel| channel.send(&FromInit::Failed(error)));
            1
        }
    };
    exit_now(code)
}

/// The build's streams, as they came with the orders.
pub(super) fn streams(fds: Vec<OwnedFd>) -> Result<Option<[OwnedFd; 3]>, SetupError> {
    if fds.is_empty() {
        return Ok(None);
    }
    let three = fds.try_into();
    three
        .map(Some)
        .map_err(|_| SetupError::refused("take over the build's streams", "they are not three"))
}

struct Ready {
    build: Pid,
    signals: SignalFd,
    /// What the build's process tells init: its listener's number, then that its table is its own.
    told: OwnedFd,
}

fn set_up(start: Start) -> Result<(Job, Ready), SetupError> {
    become_builder(&start)?;
    let mut layers = namespaces::namespaces()?;
    let names = NameSocket::open().map_err(|e| {
        let errno = e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        SetupError::new("open the sandbox's name socket", errno)
    })?;
    start
        .channel
        .send_with(&FromInit::Names, &names.as_fds())
        .step("hand the name socket to the supervisor")?;
    drop(names);

    let (mut job, trees) = take_orders(start)?;
    if let Some(opened) = &job.orders.doors {
        door::open_listeners(&opened.ports, &job.channel)?;
    }
    let taken = match trees {
        Some(trees) => trees,
        None => Trees::take(&job.orders)?,
    };
    let disk = job.orders.budgets.disk_bytes;
    root::enter_new_root()?;
    // First, since entries may stand in them.
    root::temporary(disk)?;
    root::populate(&job.orders.entries, &taken)?;
    root::devices(&taken)?;
    root::proc()?;
    forget_command_line()?;
    root::sys(&taken)?;
    root::leave_old_root()?;
    let step = "wait for the scratch folder";
    wait_for_launcher(&job.ready, step)?;
    still_held(&job.ready, step)?;
    let written = workspace::mount(&job.orders, &taken)?;
    layers.extend(namespaces::limits(&job)?);
    layers.sort_by_key(|l| l.layer);

    let terminal = match job.orders.streams {
        Streams::Terminal => Some(open_terminal()?),
        Streams::Pipes | Streams::PipesWithStdin => None,
    };
    // What the supervisor measures against the disk budget.
    let temporary = match disk {
        Some(_) => root::open_temporary(written.memory)?,
        None => Vec::new(),
    };
    let mut fds = vec![written.upper.as_fd()];
    fds.extend(temporary.iter().map(OwnedFd::as_fd));
    fds.extend(terminal.as_ref().map(|(master, _)| master.as_fd()));
    job.channel
        .send_with(&FromInit::SetUp { layers }, &fds)
        .step("report to the supervisor")?;
    drop(temporary);
    drop(written.upper);
    let terminal = terminal.map(|(_, slave)| slave);
    let ready = start_build(&mut job, terminal.as_ref(), taken)?;
    Ok((job, ready))
}

/// Waits for the orders where they are not known, and for what else depends on them.
fn take_orders(start: Start) -> Result<(Job, Option<Trees>), SetupError> {
    let known = match start.known {
        Some(known) => known,
        None => await_orders(&start.orders)?,
    };
    let job = Job {
        orders: known.orders,
        mapping: start.mapping,
        channel: start.channel,
        build: BuildSide {
            channel: start.build,
            streams: known.streams,
        },
        ready: start.ready,
        scheduling: start.scheduling,
    };
    Ok((job, known.trees))
}

fn await_orders(channel: &Channel) -> Result<Known, SetupError> {
    let (file, fds) = super::launcher::receive(channel)?;
    Ok(Known {
        orders: Orders::read(file)?,
        streams: streams(fds)?,
        trees: None,
    })
}

/// Overwrites the arguments that init was forked with. Anybody inside may read the command line of
/// pid 1, and belljar's own tells paths of the host and values of variables.
fn forget_command_line() -> Result<(), SetupError> {
    let step = "overwrite init's command line";
    let line = fs::read_to_string("/proc/self/stat").step_at(step, "/proc/self/stat")?;
    // Fields 48 and 49 of proc(5): where the arguments start and end. The second is the program's
    // name in parentheses, and may hold anything.
    let mut fields = line
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(45);
    let mut place = || fields.next().and_then(|f| f.parse::<u64>().ok());
    let (Some(start), Some(end)) = (place(), place()) else {
        return Err(SetupError::refused(
            step,
            "the kernel does not say where it is",
        ));
    };
    let mut text = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
    let shown = text.len().saturating_sub(2).min(INIT_NAME.len());
    text[..shown].copy_from_slice(&INIT_NAME.as_bytes()[..shown]);
    // A last byte that is not NUL makes the kernel show the first string alone, so that the length
    // of what stood here is not told either.
    if let Some(last) = text.last_mut() {
        *last = b'.';
    }
    let memory = fs::File::options()
        .write(true)
        .open("/proc/self/mem")
        .step_at(step, "/proc/self/mem")?;
    std::os::unix::fs::FileExt::write_all_at(&memory, &text, start).step_at(step, "/proc/self/mem")
}

/// Waits for the maps, takes the builder's ids, and ties init's life to the launcher's.
fn become_builder(start: &Start) -> Result<(), SetupError> {
    wait_for_launcher(&start.ready, "wait for the id maps")?;
    let step = "take the builder's ids";
    let (uid, gid) = (
        nix::unistd::Uid::from_raw(start.mapping.owner.uid),
        nix::unistd::Gid::from_raw(start.mapping.owner.gid),
    );
    nix::unistd::setresgid(gid, gid, gid).step(step)?;
    nix::unistd::setresuid(uid, uid, uid).step(step)?;
    die_with_parent().step("tie the sandbox to the supervisor's life")?;
    // The change of ids made this process undumpable, which hides its own id maps from it.
    nix::sys::prctl::set_dumpable(true).step("open the process to itself")?;
    nix::sys::stat::umask(Mode::from_bits_truncate(0o022));
    nix::unistd::setsid().step("leave the caller's session")?;
    Ok(())
}

fn wait_for_launcher(ready: &OwnedFd, step: &'static str) -> Result<(), SetupError> {
    match nix::unistd::read(ready, &mut [0]).step(step)? {
        1 => Ok(()),
        _ => Err(SetupError::refused(step, "the launcher is gone")),
    }
}

/// A launcher that died before init's life was tied to its own would take nothing along: its bytes
/// may be in the pipe already, but it has let go of the other end.
fn still_held(ready: &OwnedFd, step: &'static str) -> Result<(), SetupError> {
    let mut held = [PollFd::new(ready.as_fd(), PollFlags::empty())];
    match poll(&mut held, PollTimeout::ZERO).step(step)? {
        0 => Ok(()),
        _ => Err(SetupError::refused(step, "the launcher is gone")),
    }
}

/// A pseudo-terminal of the sandbox's own instance.
fn open_terminal() -> Result<(OwnedFd, OwnedFd), SetupError> {
    let step = "open a terminal inside";
    let master =
        nix::pty::posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).step(step)?;
    nix::pty::unlockpt(&master).step(step)?;
    let name = nix::pty::ptsname_r(&master).step(step)?;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let slave = nix::fcntl::open(name.as_str(), flags, Mode::empty()).step(step)?;
    let master = master.as_fd().try_clone_to_owned().step(step)?;
    Ok((master, slave))
}

/// Starts the build's process, which shares the descriptor table until it has handed over its
/// listener, and passes the listener on.
///
/// The last walls of init's own go up while that process puts up its first ones; it waits for them
/// before anything is measured from inside.
fn start_build(
    job: &mut Job,
    terminal: Option<&OwnedFd>,
    taken: Trees,
) -> Result<Ready, SetupError> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block().step("block signals")?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .step("watch for ended processes")?;
    let (tell_r, tell_w) = nix::unistd::pipe2(OFlag::O_CLOEXEC).step("make a pipe")?;
    let sealed = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).step("make a counter")?;
    let child = clone_process(libc::CLONE_FILES).step("start the build's process")?;
    let pid = match child {
        Cloned::Child => build::run(job, terminal, &sealed, &tell_w),
        Cloned::Parent(pid) => pid,
    };
    root::mask_proc(&taken)?;
    boot::tell(job.orders.offset_s)?;
    root::seal()?;
    // The table is shared: what is closed here is closed for the build too.
    drop(taken);
    sealed.write(1).step("tell the build of its walls")?;
    let mut number = [0u8; 4];
    if wait_for(&tell_r, &signals, &mut number)? {
        // The table is shared: closing it here closes it for the build too, which must not hold it.
        let listener = crate::sys::process::own_received(i32::from_ne_bytes(number));
        job.channel
            .send_with(&FromInit::Listener, &[listener.as_fd()])
            .step("hand the listener to the supervisor")?;
    }
    let ready = Ready {
        build: pid,
        signals,
        told: tell_r,
    };
    // The build still writes to its end, which is this very descriptor: leave it open.
    std::mem::forget(tell_w);
    Ok(ready)
}

/// Reads what the build tells; false if its process ended first (it has told why on its own
/// channel). Init holds the write end too, so an early death shows as SIGCHLD, never as EOF.
fn wait_for(pipe: &OwnedFd, signals: &SignalFd, buf: &mut [u8]) -> Result<bool, SetupError> {
    let step = "wait for the build's process";
    loop {
        let mut fds = [
            PollFd::new(pipe.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            other => other.step(step)?,
        };
        if fds[0].any() == Some(true) {
            return Ok(nix::unistd::read(pipe, buf).step(step)? == buf.len());
        }
        if fds[1].any() == Some(true) {
            return Ok(false);
        }
    }
}
