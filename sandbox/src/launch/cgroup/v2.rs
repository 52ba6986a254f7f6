//! cgroup v2: one group below a cgroup that the caller was given.
//!
//! Controllers reach a group only if its parent hands them on, and a cgroup that hands controllers
//! on may hold no processes. So the leaf's parent is, in this order: the caller's cgroup, if it
//! hands on what is needed already (the root cgroup may); the caller's cgroup with belljar itself
//! moved to a group beside the leaf, if nobody else is in it; the cgroup above, if that was given
//! to the caller too. No foreign process is ever moved.

use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use belljar_model::Budgets;
use nix::errno::Errno;
use nix::unistd::Pid;

use super::find::{Controller, Place};
use super::group::{Folder, Group};
use super::usage::keyed;
use super::{CpuMax, INIT_TASKS, MAKE, SET};
use crate::SetupError;
use crate::launch::id::RunId;

const HANDED_ON: &str = "cgroup.subtree_control";
const FIX_USER: &str = "run `systemd-run --user --scope -p Delegate=yes belljar ...`";
const FIX_ROOT: &str = "run `systemd-run --scope -p Delegate=yes belljar ...`";
const FIX_READ_ONLY: &str = "the cgroup file system is read-only, as in most containers: \
    give the container a writable one (podman: `--security-opt unmask=/sys/fs/cgroup`) \
    or set the budget on the container itself";
const FIX_CONTROLLER: &str = "let systemd hand it on: `systemctl edit user@.service`, with \
    `Delegate=cpu cpuset io memory pids` below `[Service]`, and log in again";

/// The leaf's parent, and what keeps belljar out of it.
pub(super) struct Parent {
    pub(super) folder: Folder,
    pub(super) aside: Option<Arc<Aside>>,
}

/// Finds and prepares the leaf's parent.
pub(super) fn parent(
    place: &Place,
    wanted: &[Controller],
    id: RunId,
) -> Result<Parent, SetupError> {
    let own = Folder::open(&place.own).map_err(|e| failed(e, &place.own))?;
    if hands_on(&own, wanted) {
        return Ok(Parent {
            folder: own,
            aside: None,
        });
    }
    let real_root = !own.has("cgroup.type");
    if real_root {
        hand_on(&own, wanted)?;
        return Ok(Parent {
            folder: own,
            aside: None,
        });
    }
    if let Some(parent) = beside_earlier_leaf(wanted)? {
        return Ok(parent);
    }
    match step_aside(&own, wanted, id) {
        Ok(aside) => {
            let folder = Folder::open(&place.own).map_err(|e| failed(e, &place.own))?;
            Ok(Parent {
                folder,
                aside: Some(aside),
            })
        }
        Err(why) => match above(place, &own, wanted) {
            Ok(Some(folder)) => Ok(Parent {
                folder,
                aside: None,
            }),
            _ => Err(why),
        },
    }
}

/// Sets the budgets of a new leaf.
pub(super) fn limit(leaf: &Group, budgets: &Budgets) -> Result<(), SetupError> {
    let set = |file: &str, value: String| {
        leaf.write(file, &value)
            .map_err(|e| SetupError::new(SET, e).at(file))
    };
    if let Some(bytes) = budgets.memory_bytes {
        set("memory.max", bytes.to_string())?;
        // One process less rarely is a build that is half right: all of it ends.
        set("memory.oom.group", "1".into())?;
        match leaf.write("memory.swap.max", "0") {
            // A kernel without swap has no such file.
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(e) => return Err(SetupError::new(SET, e).at("memory.swap.max")),
        }
    }
    if let Some(cpu) = budgets.cpu_milli.map(CpuMax::of) {
        set("cpu.max", format!("{} {}", cpu.quota_us, cpu.period_us))?;
    }
    if let Some(pids) = budgets.pids {
        set("pids.max", (u64::from(pids) + INIT_TASKS).to_string())?;
    }
    Ok(())
}

/// Processes that were killed for the memory budget. The kernel's `oom_kill` holds those that fell
/// to a shortage elsewhere too; `oom` counts only this leaf's own limit.
pub(super) fn oom(events: &str) -> u64 {
    let own = keyed(events, "oom").is_some_and(|n| n > 0);
    keyed(events, "oom_kill").filter(|_| own).unwrap_or(0)
}

fn failed(errno: Errno, path: &Path) -> SetupError {
    let fix = match errno {
        Errno::EROFS => FIX_READ_ONLY,
        _ => fix(),
    };
    SetupError::new(MAKE, errno).at(path).hint(fix)
}

fn fix() -> &'static str {
    if nix::unistd::geteuid().is_root() {
        FIX_ROOT
    } else {
        FIX_USER
    }
}

/// The same for the making of the leaf itself.
pub(super) fn make(parent: Folder, name: &str) -> Result<Group, SetupError> {
    let path = parent.path.clone();
    Group::make(parent, name).map_err(|e| failed(e, &path))
}

fn hands_on(folder: &Folder, wanted: &[Controller]) -> bool {
    let on = folder.words(HANDED_ON).unwrap_or_default();
    wanted.iter().all(|c| on.iter().any(|n| n == c.name()))
}

/// Lets `folder` hand on the controllers, and returns those that it did not before.
fn hand_on(folder: &Folder, wanted: &[Controller]) -> Result<Vec<Controller>, SetupError> {
    let have = folder
        .words("cgroup.controllers")
        .map_err(|e| failed(e, &folder.path))?;
    if let Some(missing) = wanted.iter().find(|c| !have.iter().any(|n| n == c.name())) {
        let why = format!(
            "this cgroup was not given the {} controller",
            missing.name()
        );
        return Err(SetupError::refused(MAKE, why)
            .at(folder.path.as_path())
            .hint(FIX_CONTROLLER));
    }
    let on = folder
        .words(HANDED_ON)
        .map_err(|e| failed(e, &folder.path))?;
    let new: Vec<_> = wanted
        .iter()
        .copied()
        .filter(|c| !on.iter().any(|n| n == c.name()))
        .collect();
    switch(folder, '+', &new).map_err(|e| failed(e, &folder.path))?;
    Ok(new)
}

fn switch(folder: &Folder, sign: char, controllers: &[Controller]) -> nix::Result<()> {
    if controllers.is_empty() {
        return Ok(());
    }
    let words: Vec<_> = controllers
        .iter()
        .map(|c| format!("{sign}{}", c.name()))
        .collect();
    folder.write(HANDED_ON, &words.join(" "))
}

/// The cgroup above the caller's, if it was given to the caller and the caller's own sets no
/// limits: a leaf beside the caller's cgroup must be no way out of them.
fn above(place: &Place, own: &Folder, wanted: &[Controller]) -> Result<Option<Folder>, SetupError> {
    let unlimited = |file| {
        own.read(file)
            .map_or(true, |value| value.starts_with("max"))
    };
    let path = match place.own.parent() {
        Some(path) if place.own != place.top && path.starts_with(&place.top) => path,
        _ => return Ok(None),
    };
    if !unlimited("memory.max") || !unlimited("cpu.max") {
        return Ok(None);
    }
    let Ok(folder) = Folder::open(path) else {
        return Ok(None);
    };
    // Whoever moves a process needs the right to do so in the cgroup above both ends.
    if folder.may_write("cgroup.procs").is_err() {
        return Ok(None);
    }
    if !hands_on(&folder, wanted) {
        hand_on(&folder, wanted)?;
    }
    Ok(Some(folder))
}

/// belljar's own process in a group of its own, so that the cgroup that it stood in can hand
/// controllers on. Undone when the last leaf beside it is gone.
#[derive(Debug)]
pub(super) struct Aside {
    from: Folder,
    group: Group,
    switched: Vec<Controller>,
}

/// Two leaves of one process share it.
static ASIDE: Mutex<Weak<Aside>> = Mutex::new(Weak::new());

fn the_aside() -> std::sync::MutexGuard<'static, Weak<Aside>> {
    ASIDE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The parent of an earlier leaf for which belljar stepped aside.
fn beside_earlier_leaf(wanted: &[Controller]) -> Result<Option<Parent>, SetupError> {
    let Some(aside) = the_aside().upgrade() else {
        return Ok(None);
    };
    let folder = Folder::open(&aside.from.path).map_err(|e| failed(e, &aside.from.path))?;
    hand_on(&folder, wanted)?;
    Ok(Some(Parent {
        folder,
        aside: Some(aside),
    }))
}

fn step_aside(own: &Folder, wanted: &[Controller], id: RunId) -> Result<Arc<Aside>, SetupError> {
    let open = |path: &Path| Folder::open(path).map_err(|e| failed(e, path));
    for file in [HANDED_ON, "cgroup.procs"] {
        own.may_write(file).map_err(|e| failed(e, &own.path))?;
    }
    let me = Pid::this();
    if own.procs().map_err(|e| failed(e, &own.path))? != [me.as_raw()].into() {
        return Err(
            SetupError::refused(MAKE, "other processes stand in the same cgroup")
                .at(own.path.as_path())
                .hint(fix()),
        );
    }
    let group = make(open(&own.path)?, &aside_name(id))?;
    let mut aside = Aside {
        from: open(&own.path)?,
        group,
        switched: Vec::new(),
    };
    // Dropping it on the way out undoes what was done.
    aside.group.join(me).map_err(|e| failed(e, &own.path))?;
    aside.switched = hand_on(&aside.from, wanted)?;
    let aside = Arc::new(aside);
    *the_aside() = Arc::downgrade(&aside);
    Ok(aside)
}

const SUFFIX: &str = ".aside";

fn aside_name(id: RunId) -> String {
    format!("{}{SUFFIX}", id.name())
}

/// The run that a leaf or such a group is of.
pub(super) fn id_of_name(name: &[u8]) -> Option<RunId> {
    RunId::of_name(name.strip_suffix(SUFFIX.as_bytes()).unwrap_or(name))
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What fails here leaves an empty group, which a sweep finds.
        let _ = switch(&self.from, '-', &self.switched);
        let _ = self.from.write("cgroup.procs", &Pid::this().to_string());
        let _ = self.group.remove();
    }
}
