//! The build's own process between its start and its exec: second user namespace, capabilities,
//! landlock, seccomp; then what is measured from inside the finished walls; then the command.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use belljar_model::{Layer, LayerReport};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::eventfd::EventFd;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::ids::write_own_maps;
use super::init::Job;
use super::wire::{BuildReport, Channel, FromBuild, ToBuild};
use crate::SetupError;
use crate::error::At;
use crate::sys::process::{
    cloexec_from, die_with_parent, exit_now, reset_signals, set_controlling_tty,
};

/// The build's end of what it is connected to.
#[derive(Debug)]
pub(super) struct BuildSide {
    /// To the supervisor.
    pub(super) channel: Channel,
    /// Standard input, output, error; absent with a terminal.
    pub(super) streams: Option<[OwnedFd; 3]>,
}

/// Runs the build's process to its exec; does not return. `sealed` can be read once all that init
/// puts up stands. `told` takes the listener's number and
/// then one byte once the descriptor table is the build's own.
pub(super) fn run(job: &Job, terminal: Option<&OwnedFd>, sealed: &EventFd, told: &OwnedFd) -> ! {
    let channel = &job.build.channel;
    let failure =
        match prepare(job, terminal, sealed, told).and_then(|report| agree(channel, report)) {
            Ok(()) => match exec(job) {
                Ok(never) => match never {},
                Err(errno) => FromBuild::ExecFailed {
                    errno: errno as i32,
                },
            },
            Err(error) => FromBuild::Failed(error),
        };
    let _ = channel.send(&failure);
    exit_now(1)
}

fn prepare(
    job: &Job,
    terminal: Option<&OwnedFd>,
    sealed: &EventFd,
    told: &OwnedFd,
) -> Result<BuildReport, SetupError> {
    die_with_parent().step("tie the build to init's life")?;
    nix::unistd::setsid().step("start a session for the build")?;
    connect(job, terminal)?;
    // Whatever setarch(8) the caller sits in.
    nix::sys::personality::set(nix::sys::personality::Persona::empty())
        .step("reset the personality")?;
    let queues = super::root::queues();
    // From here on nothing outside belongs to the build: mounts, network and names are the outer
    // namespace's.
    unshare(CloneFlags::CLONE_NEWUSER).step("make the build's own user namespace")?;
    write_own_maps(job.mapping.owner)?;
    let mut layers = super::walls::before_filters(queues.as_ref())?;
    let base = crate::clock::CanaryBase::take().step("read the clocks")?;
    super::walls::filters()?;
    sealed.read().step("wait for the walls of init")?;
    let mut probes = crate::observe::self_test(job.orders.label);
    let listener = super::walls::observer(job.orders.offset_s != 0)?;
    layers.push(LayerReport::full(
        Layer::Seccomp,
        "allow-list and known-bad list",
    ));
    layers.push(LayerReport::full(Layer::Notify, "own listener"));
    let number = listener.into_raw_fd();
    nix::unistd::write(told, &number.to_ne_bytes()).step("hand over the listener")?;
    match job.build.channel.receive::<ToBuild>() {
        Ok(Some((ToBuild::Served, _))) => {}
        Ok(_) => {
            return Err(SetupError::refused(
                "wait for the listener to be served",
                "the supervisor is gone",
            ));
        }
        Err(e) => return Err(SetupError::new("wait for the listener to be served", e)),
    }
    cloexec_from(3).step("keep the caller's descriptors from the build")?;
    nix::unistd::write(told, b"u").step("tell init of the own descriptor table")?;
    let clock = crate::clock::canary(job.orders.offset_s, base);
    probes.extend(crate::observe::last_test(
        job.orders.label,
        job.orders.doors.as_ref(),
    ));
    Ok(BuildReport {
        layers,
        clock,
        probes,
    })
}

/// Puts the streams in place.
fn connect(job: &Job, terminal: Option<&OwnedFd>) -> Result<(), SetupError> {
    let step = "connect the build's streams";
    let [input, output, error] = match (terminal, &job.build.streams) {
        (Some(tty), _) => {
            set_controlling_tty(tty.as_fd()).step("take the terminal")?;
            [tty, tty, tty]
        }
        (None, Some([i, o, e])) => [i, o, e],
        (None, None) => return Err(SetupError::refused(step, "there are none")),
    };
    dup2_stdin(input).step(step)?;
    dup2_stdout(output).step(step)?;
    dup2_stderr(error).step(step)
}

/// Shows the supervisor what was measured and waits for its word.
fn agree(channel: &Channel, report: BuildReport) -> Result<(), SetupError> {
    let step = "wait for the word to start";
    channel.send(&FromBuild::Ready(report)).step(step)?;
    match channel.receive::<ToBuild>() {
        Ok(Some((ToBuild::Exec, _))) => Ok(()),
        Ok(_) => Err(SetupError::refused(step, "the supervisor said no")),
        Err(e) => Err(SetupError::new(step, e)),
    }
}

/// Replaces the process by the command. Looks a bare name up in the build's own PATH, as
/// execvp(3) does, with its fallback to the shell for a script without an interpreter line.
fn exec(job: &Job) -> Result<std::convert::Infallible, Errno> {
    let orders = &job.orders;
    nix::unistd::chdir(&Path::new("/build").join(orders.cwd.as_path()))?;
    let c = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::EINVAL);
    let argv = orders
        .command
        .iter()
        .map(|a| c(a.as_bytes()))
        .collect::<Result<Vec<_>, _>>()?;
    let env = orders
        .env
        .iter()
        .map(|(k, v)| c(&[k.as_bytes(), b"=", v.as_bytes()].concat()))
        .collect::<Result<Vec<_>, _>>()?;
    let name = orders.command.first().ok_or(Errno::ENOENT)?.as_os_str();
    let path = orders
        .env
        .iter()
        .find(|(name, _)| name.as_bytes() == b"PATH");
    let path = path.map(|(_, value)| value.clone()).unwrap_or_default();
    reset_signals()?;
    nix::sys::signal::SigSet::empty().thread_set_mask()?;
    let mut worst = Errno::ENOENT;
    for candidate in candidates(name, path.as_os_str()) {
        let file = c(&candidate)?;
        let errno = match nix::unistd::execve(&file, &argv, &env) {
            Ok(never) => return Ok(never),
            Err(Errno::ENOEXEC) => {
                let rest = argv.iter().skip(1).cloned();
                let shell: Vec<_> = [c(b"sh")?, file].into_iter().chain(rest).collect();
                nix::unistd::execve(c"/bin/sh", &shell, &env)
                    .err()
                    .unwrap_or(Errno::ENOEXEC)
            }
            Err(e) => e,
        };
        match errno {
            Errno::ENOENT | Errno::ENOTDIR => {}
            // Something is there and may not be run: remember it, a later folder may do.
            Errno::EACCES => worst = errno,
            other => return Err(other),
        }
    }
    Err(worst)
}

fn candidates(name: &OsStr, path: &OsStr) -> Vec<Vec<u8>> {
    let name = name.as_bytes();
    if name.is_empty() {
        return Vec::new();
    }
    if name.contains(&b'/') {
        return vec![name.to_vec()];
    }
    let dirs = path.as_bytes().split(|b| *b == b':');
    dirs.map(|dir| {
        if dir.is_empty() {
            name.to_vec()
        } else {
            [dir, b"/", name].concat()
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_as_execvp_does() {
        let look = |n: &str, p: &str| candidates(n.as_ref(), p.as_ref());
        assert_eq!(
            look("make", "/a:/b"),
            [b"/a/make".to_vec(), b"/b/make".to_vec()]
        );
        assert_eq!(look("./make", "/a"), [b"./make".to_vec()]);
        assert_eq!(look("", "/a"), Vec::<Vec<u8>>::new());
    }
}
