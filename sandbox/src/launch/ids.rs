//! Who the builder is outside: id maps of the user namespaces and of idmapped mounts.
//!
//! Inside, the build is uid 1000 and gid 1000 wherever it runs. Outside it is the caller, or, for
//! root, a kernel uid that owns nothing on the host; the tree's owner is mapped to it at the mount.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::error::At;
use crate::plan::Ids;
use crate::sys::mount::{Attr, mount_setattr};
use crate::sys::process::{Cloned, clone_process};
use crate::{SetupError, plan};

/// The builder's uid and gid inside.
pub const BUILDER: u32 = 1000;

/// The kernel uid and gid that stand for the builder when root starts belljar: outside every
/// range that distributions and container runtimes hand out (systemd's UIDS-GIDS.md).
pub const BUILDER_OUTSIDE: u32 = 1_879_102_000;

/// How ids are mapped in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// The owner of the root folder, whose ids the builder has in the outer namespace.
    pub owner: Ids,
    /// The builder's ids as the launcher sees them.
    pub outside: Ids,
    /// The launcher may mount on the host and map any id.
    pub privileged: bool,
}

impl Mapping {
    /// The mapping for this caller and this root folder.
    pub fn choose(root: &Path, owner: Ids, caller: Ids) -> Result<Self, SetupError> {
        use caps::Capability::{CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN};
        let has = |cap| caps::has_cap(None, caps::CapSet::Effective, cap).unwrap_or(false);
        let privileged =
            caller.uid == 0 && [CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID].map(has) == [true; 3];
        if privileged {
            let outside = Ids {
                uid: BUILDER_OUTSIDE,
                gid: BUILDER_OUTSIDE,
            };
            return Ok(Self {
                owner,
                outside,
                privileged,
            });
        }
        if owner.uid != caller.uid {
            return Err(SetupError::refused(
                "map the owner of the root folder to the builder",
                "it belongs to another user",
            )
            .at(root)
            .hint("run belljar as that user or as root, or build in a copy of your own"));
        }
        Ok(Self {
            owner,
            outside: caller,
            privileged,
        })
    }
}

impl Mapping {
    /// The owner of files that the build can have: root maps the root folder's at the mount,
    /// anybody else has their own.
    pub fn on_disk(&self) -> Ids {
        if self.privileged {
            self.owner
        } else {
            self.outside
        }
    }
}

/// Writes the maps of `pid`'s new user namespace: `inside` there is `outside` here.
pub fn write_maps(pid: Pid, inside: Ids, outside: Ids) -> Result<(), SetupError> {
    let write = |file: &str, text: String| {
        let path = format!("/proc/{pid}/{file}");
        std::fs::write(&path, text).step_at(
            "write the id map of the user namespace",
            Path::new(&format!("/proc/PID/{file}")),
        )
    };
    write("setgroups", "deny".into())?;
    write("gid_map", format!("{} {} 1", inside.gid, outside.gid))?;
    write("uid_map", format!("{} {} 1", inside.uid, outside.uid))
}

/// The same for the caller's own new namespace, in whose parent it is `outside`.
pub fn write_own_maps(outside: Ids) -> Result<(), SetupError> {
    let step = "write the id map of the build's own user namespace";
    let line = |outside: u32| format!("{BUILDER} {outside} 1");
    std::fs::write("/proc/self/setgroups", "deny").step_at(step, "/proc/self/setgroups")?;
    std::fs::write("/proc/self/gid_map", line(outside.gid)).step_at(step, "/proc/self/gid_map")?;
    std::fs::write("/proc/self/uid_map", line(outside.uid)).step_at(step, "/proc/self/uid_map")
}

/// Lets what belongs to the ids of `userns` on the detached `tree` belong to what they are mapped
/// to. `false` where the file system has no idmapped mounts.
pub fn idmap(tree: &OwnedFd, userns: &OwnedFd) -> Result<bool, SetupError> {
    let attr = Attr {
        set: libc::MOUNT_ATTR_IDMAP,
        userns_fd: u64::try_from(userns.as_raw_fd()).unwrap_or_default(),
        ..Attr::default()
    };
    match mount_setattr(tree.as_fd(), false, attr) {
        Ok(()) => Ok(true),
        Err(Errno::EINVAL | Errno::EPERM | Errno::EOPNOTSUPP) => Ok(false),
        Err(e) => Err(SetupError::new("map the owner at the mount", e)),
    }
}

/// A user namespace in which the file owner `disk` is the builder's kernel id, for folders of
/// other owners than the root folder's.
pub fn namespace_for(disk: Ids, outside: Ids) -> Result<OwnedFd, SetupError> {
    let step = "make the id map of the mount";
    let pid = match clone_process(libc::CLONE_NEWUSER).step(step)? {
        Cloned::Child => loop {
            nix::unistd::pause();
        },
        Cloned::Parent(pid) => pid,
    };
    let made = write_maps(pid, disk, outside).and_then(|()| namespace_of(pid));
    // The namespace lives on by its descriptor.
    let _ = kill(pid, Signal::SIGKILL);
    let _ = waitpid(pid, None);
    made
}

/// The user namespace of a process.
pub fn namespace_of(pid: Pid) -> Result<OwnedFd, SetupError> {
    let file = std::fs::File::open(format!("/proc/{pid}/ns/user"));
    file.map(OwnedFd::from).step("open the user namespace")
}

/// The owner of `path`, following links.
pub(crate) fn owner_of(path: &Path) -> Result<plan::Ids, SetupError> {
    let meta = std::fs::metadata(path).step_at("look at the owner", path)?;
    Ok(Ids {
        uid: meta.uid(),
        gid: meta.gid(),
    })
}
