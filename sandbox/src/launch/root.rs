//! The new root: a small tmpfs with the file table, `/dev`, `/proc`, `/sys` and the temporary
//! folders in it. Runs in init, which owns the mount namespace.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::Path;

use belljar_model::OsText;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, fchdir, pivot_root};

use super::disk::ceiling;
use super::trees::{DEVICES, Trees};
use crate::SetupError;
use crate::error::At;
use crate::plan::{HostEntry, HostEntryKind};
use crate::sys::mount::{
    Attr, fsconfig_create, fsconfig_set, fsmount, fsopen, mount_setattr, move_mount,
};

/// Files of `/proc` that tell of the host or reach into the kernel, covered by an empty
/// descriptor; what a kernel lacks is skipped.
pub(super) const MASKED_FILES: [&str; 17] = [
    "kcore",
    "keys",
    "key-users",
    "kmsg",
    "kallsyms",
    "sysrq-trigger",
    "timer_list",
    "sched_debug",
    "interrupts",
    "softirqs",
    "latency_stats",
    "vmallocinfo",
    "slabinfo",
    "kpagecount",
    "kpageflags",
    "kpagecgroup",
    "version_signature",
];

/// Folders of `/proc` and `/proc/sys` likewise, covered by an empty, read-only folder.
pub(super) const MASKED_FOLDERS: [&str; 9] = [
    "acpi",
    "scsi",
    "irq",
    "bus",
    "asound",
    "driver",
    "tty",
    "dynamic_debug",
    // Its stamps are real; ipcs asks the kernel instead, whose answers the clock moves.
    "sysvipc",
];

const QUIET: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// Mounts a new file system of this type with these options, detached.
pub(super) fn new_fs(
    fstype: &str,
    options: &[(&str, &str)],
    attrs: u64,
) -> Result<OwnedFd, SetupError> {
    let step = "make a new file system";
    let text = |s: &str| CString::new(s).map_err(|_| SetupError::new(step, Errno::EINVAL));
    let fs = fsopen(&text(fstype)?).step_at(step, fstype)?;
    for (key, value) in options {
        let value = (!value.is_empty()).then(|| text(value)).transpose()?;
        fsconfig_set(fs.as_fd(), &text(key)?, value.as_deref()).step_at(
            "set an option of a new file system",
            format!("{fstype} {key}"),
        )?;
    }
    fsconfig_create(fs.as_fd()).step_at(step, fstype)?;
    fsmount(fs.as_fd(), attrs).step_at(step, fstype)
}

/// Attaches a detached mount at `path`.
pub(super) fn attach(tree: &OwnedFd, path: &str) -> Result<(), SetupError> {
    let step = "attach a mount";
    let name = CString::new(path).map_err(|_| SetupError::new(step, Errno::EINVAL))?;
    move_mount(tree.as_fd(), AT_FDCWD.as_fd(), &name).step_at(step, path)
}

/// A tmpfs at `path` whose root has this mode and belongs to the builder.
fn tmpfs(path: &str, mode: &str, size: &str, attrs: u64) -> Result<(), SetupError> {
    let mut options = vec![("mode", mode)];
    if !size.is_empty() {
        options.push(("size", size));
    }
    attach(&new_fs("tmpfs", &options, attrs)?, path)
}

/// Makes the mount tree private, puts a tmpfs over it and pivots into that. The old root stays
/// reachable at the working directory until [`leave_old_root`].
pub(super) fn enter_new_root() -> Result<(), SetupError> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .step("make the mount tree private")?;
    let root = new_fs("tmpfs", &[("mode", "0755")], QUIET)?;
    // Any folder will do: the mount is left behind by the pivot.
    let over = ["/tmp", "/usr", "/"]
        .into_iter()
        .find(|p| Path::new(p).is_dir())
        .unwrap_or("/");
    attach(&root, over)?;
    fchdir(root.as_fd()).step("enter the new root")?;
    pivot_root(".", ".").step("pivot into the new root")
}

/// Takes the old root out of sight; `/` is then the new one.
pub(super) fn leave_old_root() -> Result<(), SetupError> {
    umount2(".", MntFlags::MNT_DETACH).step("detach the old root")?;
    chdir("/").step("enter the new root")
}

/// Puts the file table into the new root.
pub(super) fn populate(entries: &[HostEntry], trees: &Trees) -> Result<(), SetupError> {
    let mut parents = HashSet::from([Path::new("/")]);
    for (entry, tree) in entries.iter().zip(&trees.entries) {
        let target = entry.target.as_path();
        if let Some(parent) = target.parent()
            && parents.insert(parent)
        {
            folder(parent)?;
        }
        match &entry.kind {
            HostEntryKind::Bind { source } => {
                mount_point(target, tree.as_ref())?;
                if let Some(tree) = tree {
                    attach_at(tree, &entry.target).map_err(|e| e.at(source.as_path()))?;
                }
            }
            HostEntryKind::Cache { .. } => folder(target)?,
            HostEntryKind::Symlink { to } => {
                symlink(to.as_path(), target).step_at("make a link", target)?;
            }
            HostEntryKind::Made { content } => {
                fs::write(target, content).step_at("write a file of the identity", target)?;
            }
            // A link leads to the file that programs read.
            HostEntryKind::Covered { content } => {
                if let Ok(file) = target.canonicalize()
                    && file.is_file()
                {
                    cover(&file, content)?;
                }
            }
        }
    }
    Ok(())
}

fn attach_at(tree: &OwnedFd, target: &OsText) -> Result<(), SetupError> {
    let step = "attach a mount";
    let name = CString::new(target.as_bytes()).map_err(|_| SetupError::new(step, Errno::EINVAL))?;
    move_mount(tree.as_fd(), AT_FDCWD.as_fd(), &name).step_at(step, target.clone())
}

/// A folder and its parents; one that is there is fine.
pub(super) fn folder(path: &Path) -> Result<(), SetupError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .step_at("make a folder", path)
}

/// What a mount needs to stand on: a folder for a folder, an empty file for anything else.
fn mount_point(path: &Path, tree: Option<&OwnedFd>) -> Result<(), SetupError> {
    let is_dir = match tree {
        None => true,
        Some(tree) => {
            let stat = nix::sys::stat::fstat(tree).step_at("look at a mount", path)?;
            stat.st_mode & libc::S_IFMT == libc::S_IFDIR
        }
    };
    if is_dir {
        return folder(path);
    }
    match fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
    {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            Err(e).step_at("make a mount point", path)
        }
        _ => Ok(()),
    }
}

/// `/dev`: the six nodes, a terminal instance of its own, shared memory of its own.
pub(super) fn devices(trees: &Trees) -> Result<(), SetupError> {
    for dir in ["/dev", "/dev/pts", "/dev/shm"] {
        folder(Path::new(dir))?;
    }
    for ((name, major, minor), tree) in DEVICES.iter().zip(&trees.devices) {
        let path = format!("/dev/{name}");
        let stat = nix::sys::stat::fstat(tree).step_at("look at a device", path.as_str())?;
        let is = stat.st_mode & libc::S_IFMT == libc::S_IFCHR
            && stat.st_rdev == nix::sys::stat::makedev(*major, *minor);
        if !is {
            let why = format!("it is not the character device {major}:{minor}");
            return Err(SetupError::refused("bind a device", why).at(path));
        }
        fs::write(&path, "").step_at("make a mount point", path.as_str())?;
        attach(tree, &path)?;
    }
    let options = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
    let quiet = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
    attach(&new_fs("devpts", &options, quiet)?, "/dev/pts")?;
    tmpfs("/dev/shm", "1777", "", QUIET)?;
    for (link, to) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(to, Path::new("/dev").join(link)).step_at("make a link", format!("/dev/{link}"))?;
    }
    Ok(())
}

/// `/proc` of the new pid namespace. The old one must still be in this mount namespace: the
/// kernel lets a user namespace mount only what it can see in full already.
pub(super) fn proc() -> Result<(), SetupError> {
    folder(Path::new("/proc"))?;
    let fs = new_fs("proc", &[], QUIET | libc::MOUNT_ATTR_NOEXEC).map_err(|e| {
        e.hint("in a container, /proc must not be masked: see the container recipe in the README")
    })?;
    attach(&fs, "/proc")
}

/// Covers what of `/proc` tells of the host, and makes the rest of its writable parts read-only.
/// Runs after the last write to `/proc/sys`.
pub(super) fn mask_proc(trees: &Trees) -> Result<(), SetupError> {
    let null = trees
        .devices
        .first()
        .ok_or_else(|| SetupError::refused("mask /proc", "no null device"))?;
    let empty = new_fs(
        "tmpfs",
        &[("mode", "0555")],
        QUIET | libc::MOUNT_ATTR_RDONLY,
    )?;
    // A mount can be copied once it is attached: the first folder takes the original.
    let mut attached = false;
    for name in MASKED_FOLDERS {
        let path = format!("/proc/{name}");
        if !Path::new(&path).is_dir() {
            continue;
        }
        if attached {
            attach(&copy_of(&empty)?, &path)?;
        } else {
            attach(&empty, &path)?;
            attached = true;
        }
    }
    for name in MASKED_FILES {
        let path = format!("/proc/{name}");
        // The build is never the owner of these: what is the owner's alone needs no cover.
        let open = |meta: fs::Metadata| meta.permissions().mode() & 0o066 != 0;
        if fs::metadata(&path).is_ok_and(open) {
            attach(&copy_of(null)?, &path)?;
        }
    }
    for name in ["sys", "fs"] {
        let path = format!("/proc/{name}");
        if !Path::new(&path).exists() {
            continue;
        }
        let c = CString::new(path.as_str()).unwrap_or_default();
        let tree = crate::sys::mount::open_tree_clone(AT_FDCWD.as_fd(), &c, false)
            .step_at("copy a mount", path.as_str())?;
        let attr = Attr {
            set: libc::MOUNT_ATTR_RDONLY,
            ..Attr::default()
        };
        mount_setattr(tree.as_fd(), false, attr)
            .step_at("make a mount read-only", path.as_str())?;
        attach(&tree, &path)?;
    }
    Ok(())
}

/// Puts a read-only file with this text over one. Runs before the root is sealed.
pub(super) fn cover(path: &Path, text: impl AsRef<[u8]>) -> Result<(), SetupError> {
    const MADE: &str = "/.made";
    fs::write(MADE, text).step_at("write a file", path)?;
    fs::set_permissions(MADE, fs::Permissions::from_mode(0o444)).step_at("set the mode", path)?;
    let step = "cover a file";
    let made = crate::sys::mount::open_tree_clone(AT_FDCWD.as_fd(), c"/.made", false)
        .step_at(step, path)?;
    let attr = Attr {
        set: libc::MOUNT_ATTR_RDONLY | QUIET | libc::MOUNT_ATTR_NOEXEC,
        ..Attr::default()
    };
    mount_setattr(made.as_fd(), false, attr).step_at(step, path)?;
    move_mount(made.as_fd(), AT_FDCWD.as_fd(), &c_path(path)?).step_at(step, path)?;
    fs::remove_file(MADE).step_at(step, path)
}

fn copy_of(tree: &OwnedFd) -> Result<OwnedFd, SetupError> {
    crate::sys::mount::open_tree_clone(tree.as_fd(), c"", false).step("copy a mount")
}

/// `/sys` with the processors and nothing else.
pub(super) fn sys(trees: &Trees) -> Result<(), SetupError> {
    folder(Path::new("/sys/fs/cgroup"))?;
    if let Some(cpus) = &trees.cpus {
        folder(Path::new("/sys/devices/system/cpu"))?;
        attach(cpus, "/sys/devices/system/cpu")?;
    }
    Ok(())
}

/// The folders that the build may write besides its workspace.
pub(super) fn temporary(disk: Option<u64>) -> Result<(), SetupError> {
    for dir in ["/tmp", "/home/builder", "/run", "/var/tmp"] {
        folder(Path::new(dir))?;
    }
    // The watch adds them up; their sizes stop what is faster than it.
    let size = disk
        .map(|limit| ceiling(limit).to_string())
        .unwrap_or_default();
    tmpfs("/tmp", "1777", &size, QUIET)?;
    tmpfs("/home/builder", "0755", &size, QUIET)?;
    // /var/tmp is /tmp: some tools insist on it, and one budget covers both.
    fs::remove_dir("/var/tmp").step_at("make a link", "/var/tmp")?;
    symlink("/tmp", "/var/tmp").step_at("make a link", "/var/tmp")
}

/// The file systems in memory that the build may write: `memory` and the temporary folders.
pub(super) fn open_temporary(memory: OwnedFd) -> Result<Vec<OwnedFd>, SetupError> {
    let mut all = vec![memory];
    for dir in ["/tmp", "/home/builder", "/dev/shm"] {
        all.push(
            fs::File::open(dir)
                .step_at("open a temporary folder", dir)?
                .into(),
        );
    }
    Ok(all)
}

/// The file system behind mq_open(3), mounted nowhere: landlock lets through only what it was shown.
/// A kernel without message queues has none.
pub(super) fn queues() -> Option<OwnedFd> {
    new_fs("mqueue", &[], QUIET | libc::MOUNT_ATTR_NOEXEC).ok()
}

/// Makes the root itself read-only: what is writable has a mount of its own.
pub(super) fn seal() -> Result<(), SetupError> {
    fs::set_permissions("/", fs::Permissions::from_mode(0o755)).step_at("set the mode", "/")?;
    let root = fs::File::open("/").step_at("open the new root", "/")?;
    let attr = Attr {
        set: libc::MOUNT_ATTR_RDONLY,
        ..Attr::default()
    };
    mount_setattr(root.as_fd(), false, attr).step_at("make the new root read-only", "/")
}

/// The bytes of a path as a C string, for the callers that build one.
pub(super) fn c_path(path: &Path) -> Result<CString, SetupError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| SetupError::new("use a path", Errno::EINVAL).at(path))
}
