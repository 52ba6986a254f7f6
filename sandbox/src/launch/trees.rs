//! The host's folders as detached mounts, taken before the old root goes out of sight.
//!
//! Root takes them in the launcher, where every folder can be reached and owners can be mapped at
//! the mount; anybody else takes them in init, where the mount tree is the sandbox's own.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;

use super::ids::{Mapping, idmap, owner_of};
use crate::SetupError;
use crate::error::At;
use crate::plan::{Host, HostEntryKind};
use crate::sys::mount::{Attr, mount_setattr, open_tree_clone};

/// The device nodes of `/dev`, bound one by one from the host (devices.txt).
pub(super) const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Detached mounts, in the order of their lists.
#[derive(Debug)]
pub(super) struct Trees {
    /// One for each `Bind` and `Cache` of `host.entries`, in order.
    pub(super) entries: Vec<Option<OwnedFd>>,
    /// One for each of [`DEVICES`].
    pub(super) devices: Vec<OwnedFd>,
    /// `/sys/devices/system/cpu`, where the host shows it.
    pub(super) cpus: Option<OwnedFd>,
    /// The root folder, read-only.
    pub(super) lower: OwnedFd,
    /// The scratch folder, writable.
    pub(super) scratch: OwnedFd,
    /// The git folder outside the root.
    pub(super) gitdir: Option<OwnedFd>,
}

const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

impl Trees {
    /// Takes all of them.
    pub(super) fn take(host: &Host, scratch: &Path, mapping: Mapping) -> Result<Self, SetupError> {
        let entries = host.entries.iter().map(|e| match &e.kind {
            HostEntryKind::Bind { source } => {
                // Toolchains and the like live in somebody's home: their owner's bits apply.
                let own = e.target.as_bytes().starts_with(b"/toolchains/");
                tree(source, READ_ONLY, own.then_some(mapping)).map(Some)
            }
            HostEntryKind::Cache { source } => tree(source, READ_ONLY, Some(mapping)).map(Some),
            HostEntryKind::Symlink { .. } | HostEntryKind::Made { .. } => Ok(None),
        });
        let device = |name: &&str| {
            let attrs = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
            tree(&Path::new("/dev").join(name), attrs, None)
        };
        Ok(Self {
            entries: entries.collect::<Result<_, _>>()?,
            devices: DEVICES.iter().map(device).collect::<Result<_, _>>()?,
            cpus: tree(Path::new("/sys/devices/system/cpu"), READ_ONLY, None).ok(),
            lower: tree(&host.root, READ_ONLY, Some(mapping))?,
            scratch: tree(
                scratch,
                libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
                None,
            )?,
            gitdir: host
                .gitdir
                .as_ref()
                .map(|dir| tree(dir, READ_ONLY, Some(mapping)))
                .transpose()?,
        })
    }
}

/// A private, detached copy of the mounts at `path`. `owner` maps its owner to the builder where
/// the launcher may and the file system can.
fn tree(path: &Path, attrs: u64, owner: Option<Mapping>) -> Result<OwnedFd, SetupError> {
    let step = "take a folder of the host into the sandbox";
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| SetupError::new(step, Errno::EINVAL).at(path))?;
    let tree = open_tree_clone(AT_FDCWD.as_fd(), &name, true).step_at(step, path)?;
    let attr = Attr {
        set: attrs,
        propagation: libc::MS_PRIVATE,
        ..Attr::default()
    };
    mount_setattr(tree.as_fd(), true, attr).step_at("make a mount read-only and private", path)?;
    if let Some(mapping) = owner.filter(|m| m.privileged) {
        let disk = owner_of(path)?;
        if disk != mapping.outside {
            idmap(&tree, disk, mapping)?;
        }
    }
    Ok(tree)
}
