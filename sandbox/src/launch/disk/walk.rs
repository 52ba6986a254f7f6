//! Adds up the blocks of a tree that is being written to.
//!
//! It never follows a link, goes as deep as the tree does, and keeps one descriptor and the names
//! of the folders still to be seen. It comes back up by `..` and stops early if that is no longer
//! the folder it came from: a sum of a tree in motion is a lower bound anyway.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

/// What st_blocks counts in, whatever the file system.
const BLOCK: u64 = 512;
/// Sums are kept in shares of a block, since a file with several names is counted by halves,
/// thirds and so on: all of its names are in the tree.
const SHARES: u64 = 1 << 10;

struct Level {
    folder: (u64, u64),
    to_see: Vec<CString>,
}

/// Bytes on disk of everything below `top`; less if `stop` becomes true on the way.
pub(super) fn walk(top: BorrowedFd<'_>, stop: &AtomicBool) -> u64 {
    let mut shares = 0;
    let mut levels = Vec::new();
    let Some(mut at) = open(top, c".") else {
        return 0;
    };
    levels.extend(look(&at, &mut shares));
    while let Some(level) = levels.last_mut()
        && !stop.load(Ordering::Relaxed)
    {
        if let Some(name) = level.to_see.pop() {
            // What can't be entered or searched is left out; so is what is gone by now.
            if let Some(child) = open(at.as_fd(), &name)
                && let Some(level) = look(&child, &mut shares)
            {
                levels.push(level);
                at = child;
            }
            continue;
        }
        levels.pop();
        let Some(above) = levels.last() else { break };
        match open(at.as_fd(), c"..") {
            Some(parent) if fstat(&parent).is_ok_and(|s| id(&s) == above.folder) => at = parent,
            _ => break,
        }
    }
    shares / SHARES * BLOCK
}

fn open(dir: BorrowedFd<'_>, name: &std::ffi::CStr) -> Option<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(dir, name, flags, Mode::empty()).ok()
}

fn id(stat: &FileStat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// Adds what is in `folder` and returns its folders. `None` if it can't be searched.
fn look(folder: &OwnedFd, shares: &mut u64) -> Option<Level> {
    let own = fstatat(folder, c".", AtFlags::empty()).ok()?;
    let mut to_see = Vec::new();
    let mut dir = Dir::from_fd(folder.try_clone().ok()?).ok()?;
    for entry in dir.iter() {
        let Ok(entry) = entry else { break };
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Ok(stat) = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) else {
            continue;
        };
        let is_folder =
            SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR;
        let names = if is_folder { 1 } else { stat.st_nlink.max(1) };
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
        *shares = shares.saturating_add(blocks.saturating_mul(SHARES) / names);
        if is_folder && stat.st_dev == own.st_dev {
            to_see.push(name.to_owned());
        }
    }
    Some(Level {
        folder: id(&own),
        to_see,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::Path;

    use nix::sys::stat::mkdirat;
    use nix::unistd::linkat;

    use super::*;

    fn used(dir: &Path) -> u64 {
        walk(File::open(dir).unwrap().as_fd(), &AtomicBool::new(false))
    }

    fn write(path: &Path, kib: usize) -> u64 {
        fs::write(path, vec![1; kib << 10]).unwrap();
        fs::metadata(path).unwrap().blocks() * BLOCK
    }

    #[test]
    fn it_is_what_du_says() {
        let tree = tempfile::tempdir().unwrap();
        for i in 0..30 {
            let dir = tree.path().join(format!("d{}/e{}", i % 5, i % 3));
            fs::create_dir_all(&dir).unwrap();
            write(&dir.join(format!("f{i}")), i * 7);
            symlink("/usr", dir.join(format!("l{i}"))).unwrap();
        }
        fs::hard_link(tree.path().join("d0/e0/f15"), tree.path().join("again")).unwrap();
        File::create(tree.path().join("sparse"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        let du = std::process::Command::new("du")
            .arg("-s")
            .arg("--block-size=1")
            .arg(tree.path())
            .output()
            .unwrap();
        let text = String::from_utf8(du.stdout).unwrap();
        let du: u64 = text.split('\t').next().unwrap().parse().unwrap();
        let own = fs::metadata(tree.path()).unwrap().blocks() * BLOCK;
        let got = used(tree.path());
        // A file with two names is rounded down by halves.
        assert!(
            got <= du - own && got + BLOCK >= du - own,
            "{got} {du} {own}"
        );
    }

    #[test]
    fn a_file_with_many_names_counts_once() {
        let tree = tempfile::tempdir().unwrap();
        let size = write(&tree.path().join("f"), 4096);
        for i in 0..100 {
            fs::hard_link(tree.path().join("f"), tree.path().join(format!("l{i}"))).unwrap();
        }
        let got = used(tree.path());
        assert!(got <= size && got + BLOCK >= size, "{got} {size}");
    }

    #[test]
    fn a_chain_longer_than_any_path_hides_nothing() {
        let tree = tempfile::tempdir().unwrap();
        let size = write(&tree.path().join("f"), 1024);
        let mut at: OwnedFd = File::open(tree.path()).unwrap().into();
        let top = at.try_clone().unwrap();
        for _ in 0..3_000 {
            mkdirat(&at, "d", Mode::S_IRWXU).unwrap();
            at = open(at.as_fd(), c"d").unwrap();
        }
        nix::fcntl::renameat(&top, "f", &at, "f").unwrap();
        linkat(&at, "f", &at, "g", nix::fcntl::AtFlags::empty()).unwrap();
        assert!(used(tree.path()) >= size);
        crate::launch::remove::empty(top.as_fd(), c"").unwrap();
    }

    #[test]
    fn a_walk_that_is_told_to_stop_stops() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("a/b")).unwrap();
        let deep = write(&tree.path().join("a/b/f"), 64);
        let told = walk(
            File::open(tree.path()).unwrap().as_fd(),
            &AtomicBool::new(true),
        );
        assert!(told + deep <= used(tree.path()));
    }
}
