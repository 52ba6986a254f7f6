//! The workspace: `/build`, which the build may write and the host never sees.
//!
//! A ladder, the first rung that works, the same for both runs of a pair: an overlay with its
//! upper on disk, an overlay with its upper in memory, a copy.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use belljar_model::{OsText, WorkspaceWish};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::{Mode, SFlag, mknod};

use super::disk::ceiling;
use super::ids::Mapping;
use super::orders::Orders;
use super::root::{attach, folder, new_fs};
use super::survey::Survey;
use super::trees::Trees;
use crate::SetupError;
use crate::capture::Rung;
use crate::error::At;
use crate::plan::HostEntryKind;

/// Where the parts of the workspace stand while it is put together.
const STAGE: &str = "/.belljar";

/// The step whose failure means: try the next rung.
pub(super) const OVERLAY_STEP: &str = "mount the overlay of the workspace";

/// The rungs that may be tried, in order, and why the ones before them are not.
pub fn ladder(
    wish: WorkspaceWish,
    survey: &Survey,
    small_disk: bool,
) -> Result<Vec<Rung>, SetupError> {
    let obstacle = survey
        .mount
        .as_ref()
        .map(|p| (p, "another file system is mounted there"))
        .or(survey
            .foreign_group
            .as_ref()
            .map(|p| (p, "its group can't be mapped")));
    match (wish, obstacle) {
        (WorkspaceWish::Copy, _) | (WorkspaceWish::Auto, Some(_)) => Ok(vec![Rung::Copy]),
        (WorkspaceWish::Overlay, Some((path, why))) => {
            Err(SetupError::refused("use an overlay for the workspace", why)
                .at(path.as_path())
                .hint("use --workspace auto or copy"))
        }
        (WorkspaceWish::Overlay, None) => Ok(vec![Rung::OverlayDisk, Rung::OverlayTmpfs]),
        (WorkspaceWish::Auto, None) if small_disk => {
            Ok(vec![Rung::OverlayDisk, Rung::OverlayTmpfs, Rung::Copy])
        }
        (WorkspaceWish::Auto, None) => Ok(vec![Rung::OverlayDisk, Rung::Copy]),
    }
}

/// Makes the folders of the scratch folder that this rung needs; runs in the launcher, with the
/// caller's rights.
pub(super) fn prepare(orders: &Orders, mapping: Mapping) -> Result<(), SetupError> {
    let (rung, scratch, source) = (orders.rung, orders.scratch.as_path(), orders.root.as_path());
    let dirs: &[&str] = match rung {
        Rung::OverlayDisk => &["upper", "work"],
        Rung::OverlayTmpfs => &[],
        Rung::Copy => &["upper"],
    };
    for dir in dirs {
        let path = scratch.join(dir);
        fs::create_dir(&path).step_at("make a scratch folder", path.as_path())?;
    }
    let root = fs::metadata(source).step_at("look at the root folder", source)?;
    let upper = scratch.join("upper");
    match rung {
        Rung::OverlayTmpfs => return Ok(()),
        Rung::OverlayDisk => hide(&orders.hidden, source, &upper)?,
        Rung::Copy => super::copy::tree(source, &upper, &orders.hidden)?,
    }
    let mode = fs::Permissions::from_mode(root.mode() & 0o777);
    fs::set_permissions(&upper, mode).step_at("set the mode", upper.as_path())?;
    if mapping.privileged {
        give(scratch, dirs, mapping)?;
    }
    Ok(())
}

/// Gives what was made in the scratch folder to the builder's kernel ids.
fn give(scratch: &Path, dirs: &[&str], mapping: Mapping) -> Result<(), SetupError> {
    let (uid, gid) = (Some(mapping.outside.uid), Some(mapping.outside.gid));
    let mut todo: Vec<PathBuf> = dirs.iter().map(|d| scratch.join(d)).collect();
    while let Some(path) = todo.pop() {
        let step = "give the scratch folder to the builder";
        std::os::unix::fs::lchown(&path, uid, gid).step_at(step, path.as_path())?;
        if fs::symlink_metadata(&path)
            .step_at(step, path.as_path())?
            .is_dir()
        {
            for entry in fs::read_dir(&path).step_at(step, path.as_path())? {
                todo.push(entry.step_at(step, path.as_path())?.path());
            }
        }
    }
    chown(scratch, uid, gid).step_at("give the scratch folder to the builder", scratch)
}

/// Hides paths of the lower tree from an overlay: a whiteout (a device 0:0, which anyone may make
/// since Linux 5.8) in the upper.
fn hide(hidden: &[OsText], root: &Path, upper: &Path) -> Result<(), SetupError> {
    for path in hidden.iter().map(OsText::as_path) {
        if fs::symlink_metadata(root.join(path)).is_err() {
            continue;
        }
        let mut at = PathBuf::new();
        for part in path.parent().into_iter().flat_map(Path::components) {
            at.push(part);
            let dir = upper.join(&at);
            if dir.is_dir() {
                continue;
            }
            fs::create_dir(&dir).step_at("make a scratch folder", dir.as_path())?;
            let meta = fs::metadata(root.join(&at)).step_at("look at a folder", at.as_path())?;
            fs::set_permissions(&dir, fs::Permissions::from_mode(meta.mode() & 0o7777))
                .step_at("set the mode", dir.as_path())?;
            let time = meta.modified().step_at("look at a folder", at.as_path())?;
            fs::File::open(&dir)
                .and_then(|f| f.set_modified(time))
                .step_at("set the time", dir.as_path())?;
        }
        let target = upper.join(path);
        mknod(&target, SFlag::S_IFCHR, Mode::empty(), 0)
            .step_at("hide a path from the build", path)?;
    }
    Ok(())
}

/// Where the writes of the build end.
pub(super) struct Written {
    /// The folder with what it wrote to the workspace.
    pub(super) upper: OwnedFd,
    /// The file system in memory that takes what it wrote elsewhere, and on some rungs that too.
    pub(super) memory: OwnedFd,
}

/// Mounts the workspace at `/build` and the caches at their places. Runs in init, after the pivot.
pub(super) fn mount(orders: &Orders, trees: &Trees) -> Result<Written, SetupError> {
    let at = |name: &str| format!("{STAGE}/{name}");
    folder(Path::new(STAGE))?;
    folder(Path::new("/build"))?;
    let size = orders
        .budgets
        .disk_bytes
        .map(|limit| ceiling(limit).to_string());
    let options = [("mode", "0755"), ("size", size.as_deref().unwrap_or("50%"))];
    let quiet = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    let memory = new_fs("tmpfs", &options, quiet)?;
    // The staging area itself, so that one call takes all of it down: each waits for every processor.
    attach(&memory, STAGE)?;
    for name in ["lower", "scratch", "memory", "cache"] {
        folder(Path::new(&at(name)))?;
    }
    attach(&trees.scratch, &at("scratch"))?;
    attach(&trees.lower, &at("lower"))?;
    let upper = match orders.rung {
        Rung::OverlayDisk => {
            let (upper, work) = (at("scratch/upper"), at("scratch/work"));
            keeps_marks(&work)?;
            overlay(&at("lower"), &upper, &work, "/build")?;
            upper
        }
        Rung::OverlayTmpfs => {
            let (upper, work) = (at("memory/upper"), at("memory/work"));
            folder(Path::new(&upper))?;
            folder(Path::new(&work))?;
            keeps_marks(&work)?;
            hide(&orders.hidden, Path::new(&at("lower")), Path::new(&upper))?;
            overlay(&at("lower"), &upper, &work, "/build")?;
            upper
        }
        Rung::Copy => {
            let tree = crate::sys::mount::open_tree_clone(
                std::os::fd::AsFd::as_fd(&trees.scratch),
                c"upper",
                false,
            )
            .step("bind the copy of the source tree")?;
            attach(&tree, "/build")?;
            at("scratch/upper")
        }
    };
    let upper = fs::File::open(&upper).step("open the workspace")?.into();
    caches(orders, trees)?;
    git(orders, trees)?;
    // The overlays hold what they need by themselves.
    umount2(STAGE, MntFlags::MNT_DETACH).step("take down the staging area")?;
    fs::remove_dir(STAGE).step("take down the staging area")?;
    Ok(Written { upper, memory })
}

/// Whether the file system keeps an overlay's marks. tmpfs does since Linux 6.6; without them the
/// overlay mounts all the same, and then no folder of the source can be removed or renamed.
fn keeps_marks(work: &str) -> Result<(), SetupError> {
    let dir = fs::File::open(work).step_at(OVERLAY_STEP, work)?;
    crate::sys::xattr::fsetxattr(&dir, c"user.overlay.belljar", b"y").step_at(OVERLAY_STEP, work)
}

fn overlay(lower: &str, upper: &str, work: &str, at: &str) -> Result<(), SetupError> {
    let options = [
        ("lowerdir", lower),
        ("upperdir", upper),
        ("workdir", work),
        // Marks of its own go to user.overlay.*: the only ones that a user namespace may write.
        ("userxattr", ""),
        // The upper is thrown away: no syncing for a crash that would throw it away too.
        ("volatile", ""),
        ("index", "off"),
        ("metacopy", "off"),
    ];
    let quiet = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    let fs = new_fs("overlay", &options, quiet).map_err(|e| SetupError {
        step: OVERLAY_STEP.into(),
        ..e
    })?;
    attach(&fs, at)
}

/// Each cache is the lower layer of an overlay of its own, so that its tools may write.
fn caches(orders: &Orders, trees: &Trees) -> Result<(), SetupError> {
    for (i, (entry, tree)) in orders.entries.iter().zip(&trees.entries).enumerate() {
        let (HostEntryKind::Cache { .. }, Some(tree)) = (&entry.kind, tree) else {
            continue;
        };
        let lower = format!("{STAGE}/cache");
        let (upper, work) = (
            format!("{STAGE}/memory/c{i}"),
            format!("{STAGE}/memory/w{i}"),
        );
        folder(Path::new(&upper))?;
        folder(Path::new(&work))?;
        folder(entry.target.as_path())?;
        attach(tree, &lower)?;
        let target = entry.target.as_path().to_string_lossy();
        overlay(&lower, &upper, &work, &target)?;
        umount2(lower.as_str(), MntFlags::MNT_DETACH).step("take down the staging area")?;
    }
    Ok(())
}

/// A git folder that lies elsewhere: read-only at `/gitdir`, named by a made `/build/.git`.
fn git(orders: &Orders, trees: &Trees) -> Result<(), SetupError> {
    let (Some(tree), Some(_)) = (&trees.gitdir, &orders.gitdir) else {
        return Ok(());
    };
    if let Ok(link) = fs::read_link("/build/.git") {
        return linked_git(&link, tree);
    }
    folder(Path::new("/gitdir"))?;
    attach(tree, "/gitdir")?;
    let pointer = fs::read_to_string("/build/.git").step_at("read a git pointer", "/build/.git")?;
    // A linked worktree has its own folder below the common one.
    let inside = pointer.trim_end().rsplit_once("/worktrees/").map_or_else(
        || "/gitdir".to_owned(),
        |(_, name)| format!("/gitdir/worktrees/{name}"),
    );
    let made = format!("{STAGE}/memory/git");
    fs::write(&made, format!("gitdir: {inside}\n")).step("write a git pointer")?;
    let c = super::root::c_path(Path::new(&made))?;
    let file = crate::sys::mount::open_tree_clone(
        std::os::fd::AsFd::as_fd(&nix::fcntl::AT_FDCWD),
        &c,
        false,
    )
    .step("bind a git pointer")?;
    attach(&file, "/build/.git")
}

/// A `.git` that is a link: the git folder stands where the link leads inside, which must be free.
fn linked_git(link: &Path, tree: &OwnedFd) -> Result<(), SetupError> {
    let at = crate::plan::lexical(&Path::new("/build").join(link));
    let step = "show a linked git folder";
    if at.starts_with("/build") || fs::symlink_metadata(&at).is_ok() {
        return Err(SetupError::refused(step, "its place inside is taken")
            .at(at.as_path())
            .hint("use a `.git` file with a `gitdir:` line instead of a link"));
    }
    folder(&at)?;
    let c = super::root::c_path(&at)?;
    crate::sys::mount::move_mount(tree.as_fd(), nix::fcntl::AT_FDCWD.as_fd(), &c)
        .step_at(step, at.as_path())
}
