//! A launcher that was started before there is a plan: making namespaces takes as long as making a
//! plan, and neither needs the other.

use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cgroup::Leaf;
use super::ids::Mapping;
use super::launcher::{self, Inner};
use super::orders::Orders;
use super::wire::{Channel, Given};
use crate::SetupError;
use crate::error::At;
use crate::plan::Ids;
use crate::sys::process::{Cloned, clone_process, close_between, wait4};

/// A launcher that waits for its orders. Dropping it ends it.
#[derive(Debug)]
pub struct Ahead {
    launcher: Launcher,
    mapping: Mapping,
    orders: Channel,
    pub(super) init: Channel,
    pub(super) build: Channel,
}

/// Killed and reaped unless somebody takes it over.
#[derive(Debug)]
struct Launcher(Option<Pid>);

impl Drop for Launcher {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = wait4(pid);
        }
    }
}

/// A launcher at work, and the supervisor's ends of the channels.
pub(super) struct Ordered {
    pub(super) launcher: Pid,
    pub(super) init: Channel,
    pub(super) build: Channel,
}

impl Ahead {
    /// Starts a launcher for a tree that belongs to `owner`, while there is one thread. Where that
    /// can't be done there is none, and the run itself will say why.
    pub fn start(root: &std::path::Path, owner: Ids, caller: Ids) -> Option<Self> {
        let mapping = Mapping::choose(root, owner, caller).ok()?;
        Self::with(mapping, None, &[]).ok()
    }

    /// The same for a run whose cgroup, if it has one, is known; without the `hidden` descriptors.
    pub(super) fn with(
        mapping: Mapping,
        leaf: Option<&Leaf>,
        hidden: &[RawFd],
    ) -> Result<Self, SetupError> {
        assert_single_threaded()?;
        // A launcher that ends early has to be there to be waited for.
        crate::sys::signal::hear_of_children().step("start the launcher")?;
        let pair = || Channel::pair().step("make a channel");
        let ((orders, theirs), (init, channel), (build, builds)) = (pair()?, pair()?, pair()?);
        let inner = Inner {
            orders: theirs,
            channel,
            build: builds,
        };
        let pid = match clone_process(0).step("start the launcher")? {
            Cloned::Child => {
                drop((orders, init, build));
                for fd in hidden.iter().filter_map(|fd| u32::try_from(*fd).ok()) {
                    let _ = close_between(fd, fd);
                }
                launcher::run(mapping, leaf, inner)
            }
            Cloned::Parent(pid) => pid,
        };
        Ok(Self {
            launcher: Launcher(Some(pid)),
            mapping,
            orders,
            init,
            build,
        })
    }

    /// Whether it serves this run: it was born outside any cgroup of a run.
    pub(super) fn fits(&self, mapping: Mapping, leaf: Option<&Leaf>) -> bool {
        self.mapping == mapping && leaf.is_none()
    }

    /// Tells it what to do. A launcher that is gone has told why on the other channel.
    pub(super) fn order(
        mut self,
        orders: &Orders,
        streams: Option<[OwnedFd; 3]>,
    ) -> Result<Ordered, SetupError> {
        let file = orders.write()?;
        let fds: Vec<_> = [&file]
            .into_iter()
            .chain(streams.iter().flatten())
            .map(AsFd::as_fd)
            .collect();
        let _ = self.orders.send_with(&Given, &fds);
        // Held by the build alone, so that their ends show.
        drop(streams);
        let launcher = self.launcher.0.take();
        Ok(Ordered {
            launcher: launcher.ok_or_else(|| {
                SetupError::refused("order the launcher", "it was ordered before")
            })?,
            init: self.init,
            build: self.build,
        })
    }
}

/// How long a thread that was joined may stay listed. The kernel wakes whoever joins it before it takes
/// it off the list, and a busy machine can make seconds of that.
const LEAVING: Duration = Duration::from_secs(5);

/// A fork copies one thread: with others about, their locks would stay locked for ever.
pub(super) fn assert_single_threaded() -> Result<(), SetupError> {
    let step = "start the launcher";
    let end = Instant::now() + LEAVING;
    loop {
        let threads = std::fs::read_dir("/proc/self/task")
            .step_at(step, "/proc/self/task")?
            .count();
        if threads == 1 {
            return Ok(());
        }
        if Instant::now() > end {
            let why = format!("this process has {threads} threads");
            return Err(SetupError::refused(step, why));
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

#[cfg(test)]
mod tier_userns {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::sys::probe::in_child;

    fn children(pid: Pid) -> Vec<i32> {
        let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let list = list.unwrap_or_default();
        list.split_whitespace()
            .filter_map(|p| p.parse().ok())
            .collect()
    }

    fn within(mut so: impl FnMut() -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            if so() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }

    #[test]
    fn one_that_is_not_wanted_takes_its_init_along() {
        let (text, _) = in_child(|| {
            // As an ordinary user, whose init is started at once.
            let _ = nix::unistd::setgid(65_534.into());
            let _ = nix::unistd::setuid(65_534.into());
            // The change of ids made this process undumpable, which hides its children's id maps.
            let _ = nix::sys::prctl::set_dumpable(true);
            let own = Ids {
                uid: nix::unistd::geteuid().as_raw(),
                gid: nix::unistd::getegid().as_raw(),
            };
            let Some(ahead) = Ahead::start(Path::new("/"), own, own) else {
                return "none".into();
            };
            let launcher = ahead.launcher.0.unwrap_or(Pid::from_raw(0));
            if !within(|| children(launcher).len() == 1) {
                return "no init".into();
            }
            let init = format!("/proc/{}", children(launcher)[0]);
            let lives = |path: &str| fs::metadata(path).is_ok_and(|m| m.nlink() > 0);
            drop(ahead);
            let gone = within(|| !lives(&init));
            format!(
                "launcher {} init {gone}",
                !lives(&format!("/proc/{launcher}"))
            )
        });
        assert_eq!(text, "launcher true init true");
    }
}
