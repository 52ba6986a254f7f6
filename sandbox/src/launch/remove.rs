//! Removes a tree that a build wrote: any depth, any names, any modes, never a step outside.
//!
//! Everything is named by a descriptor and one component, links are removed and not followed, and
//! mount points are not entered. Memory and descriptors are bounded whatever the tree is like: a
//! folder that lies too deep is first moved up to the top of the tree.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use belljar_model::OsText;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, RenameFlags, ResolveFlag, openat2, renameat2};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, fstat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Folders on one chain that are open at one time; deeper ones are moved up.
const DEPTH: usize = 16;

/// What could not be removed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    /// Its last component.
    pub(crate) name: OsText,
    /// The kernel's answer.
    pub(crate) errno: Errno,
}

/// Removes everything in `dir` but the entry called `keep`. Goes on after a failure, so that as
/// little as possible is left, and returns the first one.
pub(crate) fn empty(dir: BorrowedFd<'_>, keep: &CStr) -> Result<(), Left> {
    Remover {
        top: dir,
        keep,
        lifted: 0,
    }
    .clear(dir, 0)
}

fn left(name: &CStr, errno: Errno) -> Left {
    Left {
        name: name.to_bytes().into(),
        errno,
    }
}

struct Remover<'a> {
    top: BorrowedFd<'a>,
    keep: &'a CStr,
    lifted: u64,
}

impl Remover<'_> {
    /// Removes what is in `dir`, which lies `depth` folders below the top. What is moved up in
    /// the meantime shows up in a further pass over the top, so it makes passes until one finds
    /// nothing that it can remove.
    fn clear(&mut self, dir: BorrowedFd<'_>, depth: usize) -> Result<(), Left> {
        let mut entries = dir
            .try_clone_to_owned()
            .map_err(|e| Errno::try_from(e).unwrap_or(Errno::EIO))
            .and_then(Dir::from_fd)
            .map_err(|e| left(c".", e))?;
        loop {
            let mut removed = false;
            let mut first = None;
            for entry in entries.iter() {
                let entry = entry.map_err(|e| left(c".", e))?;
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") || depth == 0 && name == self.keep {
                    continue;
                }
                match self.remove(dir, name, entry.file_type(), depth) {
                    Ok(()) => removed = true,
                    Err(why) => {
                        first.get_or_insert(why);
                    }
                }
            }
            if !removed {
                return first.map_or(Ok(()), Err);
            }
        }
    }

    fn remove(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        kind: Option<Type>,
        depth: usize,
    ) -> Result<(), Left> {
        if kind != Some(Type::Directory) {
            match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
                // A file system that does not say in the listing what an entry is.
                Err(Errno::EISDIR) if kind.is_none() => {}
                other => return other.map_err(|e| left(name, e)),
            }
        }
        match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
            other => return other.map_err(|e| left(name, e)),
        }
        let child = open_dir(dir, name).map_err(|e| left(name, e))?;
        if depth >= DEPTH {
            return self.lift(dir, name).map_err(|e| left(name, e));
        }
        self.clear(child.as_fd(), depth + 1)?;
        unlinkat(dir, name, UnlinkatFlags::RemoveDir).map_err(|e| left(name, e))
    }

    /// Moves a folder up to the top of the tree under a name that nothing there has.
    fn lift(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> nix::Result<()> {
        loop {
            self.lifted += 1;
            let new = CString::new(format!("lifted-{}", self.lifted)).map_err(|_| Errno::EINVAL)?;
            match renameat2(
                dir,
                name,
                self.top,
                new.as_c_str(),
                RenameFlags::RENAME_NOREPLACE,
            ) {
                Err(Errno::EEXIST) => {}
                other => return other,
            }
        }
    }
}

/// Opens a folder, whatever its mode, so that its entries can be removed and it can be moved.
fn open_dir(dir: BorrowedFd<'_>, name: &CStr) -> nix::Result<OwnedFd> {
    let folder = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let how = |flags| {
        OpenHow::new()
            .flags(folder | flags)
            .resolve(ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS)
    };
    let child = match openat2(dir, name, how(OFlag::O_RDONLY)) {
        Err(Errno::EACCES) => {
            // fchmod(2) needs more than a path descriptor; its link in /proc names the same file.
            let path = openat2(dir, name, how(OFlag::O_PATH))?;
            let link = format!("/proc/self/fd/{}", path.as_raw_fd());
            fchmodat(
                AT_FDCWD,
                link.as_str(),
                Mode::S_IRWXU,
                FchmodatFlags::FollowSymlink,
            )?;
            openat2(dir, name, how(OFlag::O_RDONLY))?
        }
        other => other?,
    };
    if fstat(&child)?.st_mode & Mode::S_IRWXU.bits() != Mode::S_IRWXU.bits() {
        // Root may go on without; for others the first removal says what is wrong.
        let _ = fchmod(&child, Mode::S_IRWXU);
    }
    Ok(child)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::mkdirat;
    use proptest::prelude::*;

    use super::*;

    fn empty_path(path: &Path) -> Result<(), Left> {
        empty(File::open(path).unwrap().as_fd(), c"keep")
    }

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn links_are_removed_and_what_they_point_to_stays() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("host"), "x").unwrap();
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("sub")).unwrap();
        symlink(outside.path(), tree.path().join("sub/dir")).unwrap();
        symlink(outside.path().join("host"), tree.path().join("file")).unwrap();
        symlink("..", tree.path().join("up")).unwrap();
        for i in 0..40 {
            symlink(
                format!("l{}", (i + 1) % 40),
                tree.path().join(format!("l{i}")),
            )
            .unwrap();
        }
        fs::write(tree.path().join("keep"), "").unwrap();
        empty_path(tree.path()).unwrap();
        assert_eq!(names(tree.path()), ["keep"]);
        assert_eq!(names(outside.path()), ["host"]);
    }

    #[test]
    fn a_chain_longer_than_any_path_is_removed_with_few_descriptors() {
        let tree = tempfile::tempdir().unwrap();
        let mut at: OwnedFd = File::open(tree.path()).unwrap().into();
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        for depth in 0..5_000 {
            mkdirat(&at, "d", Mode::S_IRWXU).unwrap();
            let mode = Mode::S_IRUSR | Mode::S_IWUSR;
            openat(&at, "f", OFlag::O_CREAT | OFlag::O_CLOEXEC, mode).unwrap();
            // The names that the remover itself would pick.
            if depth < 20 {
                let name = format!("lifted-{}", depth + 1);
                openat(&at, name.as_str(), OFlag::O_CREAT | OFlag::O_CLOEXEC, mode).unwrap();
            }
            at = openat(&at, "d", flags, Mode::empty()).unwrap();
        }
        drop(at);
        empty_path(tree.path()).unwrap();
        assert_eq!(names(tree.path()), Vec::<String>::new());
    }

    #[test]
    fn an_entry_that_stays_is_named_and_the_rest_goes() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("a/keep")).unwrap();
        fs::write(tree.path().join("a/keep/file"), "x").unwrap();
        // Only the top's `keep` is kept.
        empty_path(tree.path()).unwrap();
        assert_eq!(names(tree.path()), Vec::<String>::new());
        // /proc refuses every removal and has an end.
        let got = empty(File::open("/proc/self/ns").unwrap().as_fd(), c"user").unwrap_err();
        assert_eq!(got.errno, Errno::EPERM);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_tree_is_removed(shape in prop::collection::vec((0u8..5, 0u8..6, 0u32..0o1000), 0..60)) {
            let tree = tempfile::tempdir().unwrap();
            let mut dirs = vec![tree.path().to_path_buf()];
            let mut modes = Vec::new();
            for (i, (kind, at, mode)) in shape.into_iter().enumerate() {
                let dir = dirs[usize::from(at) * dirs.len() / 6].clone();
                let path = dir.join(format!("n{i}"));
                match kind {
                    0 => fs::write(&path, "x").unwrap(),
                    1 => symlink("n0", &path).unwrap(),
                    2 => nix::unistd::mkfifo(&path, Mode::S_IRUSR).unwrap(),
                    _ => {
                        fs::create_dir(&path).unwrap();
                        dirs.push(path.clone());
                    }
                }
                if kind != 1 {
                    modes.push((path, mode));
                }
            }
            for (path, mode) in modes.iter().rev() {
                fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
            }
            empty_path(tree.path()).unwrap();
            prop_assert_eq!(names(tree.path()), Vec::<String>::new());
        }
    }
}
