//! Init: pid 1 inside. Builds the walls that belong to the outer user namespace, starts the
//! build, then reaps and forwards signals, holding nothing but its socket.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use belljar_model::{Layer, LayerReport, State, Streams};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, sethostname};

use super::boot;
use super::build::{self, BuildSide};
use super::ids::Mapping;
use super::layers::{groups, missing};
use super::orders::Orders;
use super::root;
use super::trees::Trees;
use super::wire::{Channel, FromInit, ToInit};
use super::workspace;
use crate::SetupError;
use crate::error::At;
use crate::observe::NameSocket;
use crate::sys::link::loopback_up;
use crate::sys::process::{
    Cloned, clone_process, close_number, die_with_parent, exit_now, set_domain_name,
};

/// The host name inside, everywhere.
const HOST_NAME: &str = "belljar";

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
            serve(job, &ready)
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
    let mut layers = namespaces()?;
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
    layers.extend(limits(&job)?);
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

/// Names and loopback: what the namespaces hold whatever is run in them.
fn namespaces() -> Result<Vec<LayerReport>, SetupError> {
    sethostname(HOST_NAME).step("set the host name")?;
    set_domain_name("(none)").step("set the domain name")?;
    loopback_up().step("bring the loopback device up")?;
    Ok(vec![
        LayerReport::full(Layer::UserNamespace, "two, the build's owns nothing"),
        LayerReport::full(Layer::MountNamespace, "own"),
        LayerReport::full(Layer::PidNamespace, "own"),
        LayerReport::full(Layer::NetNamespace, "own, loopback only"),
        LayerReport::full(Layer::IpcNamespace, "own"),
        LayerReport::full(Layer::UtsNamespace, "own"),
    ])
}

/// Clocks and limits, for which the new `/proc` and `/sys` have to be there.
fn limits(job: &Job) -> Result<Vec<LayerReport>, SetupError> {
    let cgroup = match unshare(CloneFlags::CLONE_NEWCGROUP) {
        Ok(()) => match super::cgroup::view::show(&job.orders.budgets) {
            Ok(()) => LayerReport::full(Layer::CgroupNamespace, "own"),
            Err(e) => LayerReport {
                state: State::Partial,
                wanted: "own, shown".into(),
                why: Some(e.to_string()),
                ..LayerReport::full(Layer::CgroupNamespace, "own, not shown")
            },
        },
        Err(e) => missing(
            Layer::CgroupNamespace,
            "own",
            format!("unshare: {e:?}"),
            None,
        ),
    };
    // One further user namespace, the build's; none below that.
    fs::write("/proc/sys/user/max_user_namespaces", "1").step("forbid further user namespaces")?;
    let time = match boot::time_namespace(job.orders.offset_s) {
        Ok(()) => LayerReport::full(Layer::TimeNamespace, "own"),
        Err(e) => missing(
            Layer::TimeNamespace,
            "own",
            e.to_string(),
            Some("use a kernel with CONFIG_TIME_NS"),
        ),
    };
    let further = nix::unistd::getgroups().step("count the supplementary groups")?;
    let own = nix::unistd::getegid();
    let further = further.iter().filter(|g| **g != own).count();
    Ok(vec![
        cgroup,
        time,
        groups(job.mapping.privileged, further),
        job.scheduling.clone(),
    ])
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

/// Reaps until the build's first process ends, reports its status, and returns init's exit code.
/// The end of init ends every process inside.
fn serve(job: Job, ready: &Ready) -> i32 {
    let Job { channel, build, .. } = job;
    // Until the build's table is its own, nothing of it may be closed here; from then on nothing
    // of it may be held here.
    if wait_for(&ready.told, &ready.signals, &mut [0]).unwrap_or(false) {
        for fd in 0..3 {
            let _ = close_number(fd);
        }
    }
    drop(build);
    if confine().is_err() {
        return 1;
    }
    loop {
        let mut fds = [
            PollFd::new(channel.0.as_fd(), PollFlags::POLLIN),
            PollFd::new(ready.signals.as_fd(), PollFlags::POLLIN),
        ];
        if !matches!(poll(&mut fds, PollTimeout::NONE), Ok(_) | Err(Errno::EINTR)) {
            return 1;
        }
        let (asked, child) = (fds[0].any() == Some(true), fds[1].any() == Some(true));
        if child {
            while let Ok(Some(_)) = ready.signals.read_signal() {}
            if let Some(status) = reap(ready.build) {
                let _ = channel.send(&FromInit::Ended { status });
                return 0;
            }
        }
        if asked {
            match channel.receive::<ToInit>() {
                Ok(Some((ToInit::Signal(number), _))) => {
                    if let Ok(signal) = Signal::try_from(number) {
                        let group = Pid::from_raw(-ready.build.as_raw());
                        let _ = kill(group, signal);
                        // What has stopped itself would not hear it.
                        let _ = kill(group, Signal::SIGCONT);
                    }
                }
                // The supervisor is gone: so is the reason for the build to run.
                Ok(None) | Err(_) => return 1,
            }
        }
    }
}

/// Init needs nothing from here on but to wait, to signal and to say how it ended.
fn confine() -> Result<(), SetupError> {
    super::caps::drop_all()?;
    nix::sys::prctl::set_dumpable(false).step("close init to the build")?;
    super::seccomp::install_init().step("install the seccomp filter of init")
}

/// Reaps what has ended; the raw wait status of `build` if it was among it.
fn reap(build: Pid) -> Option<i32> {
    let mut ended = None;
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == build => ended = Some(code << 8),
            Ok(WaitStatus::Signaled(pid, signal, core)) if pid == build => {
                ended = Some(signal as i32 | if core { 0x80 } else { 0 });
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return ended,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return ended,
        }
    }
}
