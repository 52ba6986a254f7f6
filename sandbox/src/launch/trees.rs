//! The host's folders as detached mounts, taken before the old root goes out of sight.
//!
//! Root takes them in the launcher, where every folder can be reached and owners can be mapped at
//! the mount; anybody else takes them in init, where the mount tree is the sandbox's own.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use belljar_model::OsText;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;

use super::ids::{Mapping, idmap, namespace_for, owner_of};
use super::orders::Orders;
use crate::SetupError;
use crate::error::At;
use crate::plan::{HostEntryKind, NOTHING};
use crate::sys::mount::{Attr, mount_setattr, open_tree_clone};

/// The device nodes of `/dev`, bound one by one from the host, with their numbers (devices.txt).
pub(super) const DEVICES: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Detached mounts, in the order of their lists.
#[derive(Debug)]
pub(super) struct Trees {
    /// One for each `Bind` and `Cache` of the orders' entries, in order.
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

/// For devices, those that cover something too.
const COVER: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;

impl Trees {
    /// Takes all of them.
    pub(super) fn take(orders: &Orders) -> Result<Self, SetupError> {
        let entries = orders.entries.iter().map(|e| match &e.kind {
            HostEntryKind::Bind { source } if source == Path::new(NOTHING) => {
                tree(source, COVER).map(Some)
            }
            HostEntryKind::Bind { source } | HostEntryKind::Cache { source } => {
                tree(source, READ_ONLY).map(Some)
            }
            HostEntryKind::Symlink { .. }
            | HostEntryKind::Made { .. }
            | HostEntryKind::Covered { .. } => Ok(None),
        });
        let device = |(name, ..): &(&str, u64, u64)| tree(&Path::new("/dev").join(name), COVER);
        let gitdir = orders.gitdir.as_ref();
        let gitdir = gitdir.map(|dir| tree(dir.as_path(), READ_ONLY));
        Ok(Self {
            entries: entries.collect::<Result<_, _>>()?,
            devices: DEVICES.iter().map(device).collect::<Result<_, _>>()?,
            cpus: tree(Path::new("/sys/devices/system/cpu"), READ_ONLY).ok(),
            lower: tree(orders.root.as_path(), READ_ONLY)?,
            scratch: tree(
                orders.scratch.as_path(),
                libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
            )?,
            gitdir: gitdir.transpose()?,
        })
    }

    /// Maps the owners of what belongs to somebody to the builder, at the mount; for a launcher
    /// that may. `userns` maps the root folder's owner. What a file system can't map stays
    /// readable as far as its modes let others read it.
    pub(super) fn map_owners(
        &self,
        orders: &Orders,
        mapping: Mapping,
        userns: &OwnedFd,
    ) -> Result<(), SetupError> {
        let owned = orders
            .entries
            .iter()
            .zip(&self.entries)
            .filter_map(|(e, tree)| {
                // Toolchains and caches live in somebody's home: their owner's bits apply.
                let (HostEntryKind::Bind { source } | HostEntryKind::Cache { source }) = &e.kind
                else {
                    return None;
                };
                let somebodys = matches!(e.kind, HostEntryKind::Cache { .. })
                    || e.target.as_bytes().starts_with(b"/toolchains/");
                somebodys.then_some((source.as_path(), tree.as_ref()?))
            });
        let gitdir = orders.gitdir.as_ref().map(OsText::as_path);
        let gitdir = gitdir.zip(self.gitdir.as_ref());
        let others = [(orders.root.as_path(), &self.lower)]
            .into_iter()
            .chain(gitdir)
            .chain(owned);
        for (path, tree) in others {
            let disk = owner_of(path)?;
            if disk == mapping.owner {
                idmap(tree, userns)?;
            } else if disk != mapping.outside {
                idmap(tree, &namespace_for(disk, mapping.outside)?)?;
            }
        }
        Ok(())
    }
}

/// A private, detached copy of the mounts at `path`.
fn tree(path: &Path, attrs: u64) -> Result<OwnedFd, SetupError> {
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
    Ok(tree)
}
