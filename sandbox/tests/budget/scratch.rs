//! Scratch folders.

use std::fs::{self, File, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::thread;

use belljar_sandbox::launch::id::RunId;
use belljar_sandbox::launch::ids::BUILDER_OUTSIDE;
use belljar_sandbox::launch::scratch::{Scratch, sweep};

use crate::parts::{part, part_as_nobody, passes, ready_and_wait, told, wait_ready};

fn id() -> RunId {
    RunId::new().unwrap()
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn it_is_the_callers_alone_and_goes_with_the_value() {
    let parent = tempfile::tempdir().unwrap();
    let parent = parent.path().join("not/yet/there");
    let id = id();
    let scratch = Scratch::create(&parent, id).unwrap();
    assert_eq!(scratch.path(), parent.join(id.name()));
    for dir in [&parent, scratch.path()] {
        assert_eq!(fs::metadata(dir).unwrap().mode() & 0o777, 0o700);
    }
    let by_fd = nix::sys::stat::fstat(scratch.dir()).unwrap().st_ino;
    assert_eq!(by_fd, fs::metadata(scratch.path()).unwrap().ino());
    fs::write(scratch.path().join("file"), "x").unwrap();
    drop(scratch);
    assert_eq!(entries(&parent), Vec::<String>::new());
}

#[test]
fn an_id_that_is_taken_is_refused_and_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let id = id();
    let first = Scratch::create(parent.path(), id).unwrap();
    fs::write(first.path().join("file"), "x").unwrap();
    let again = Scratch::create(parent.path(), id).unwrap_err();
    assert_eq!(again.errno, Some(nix::errno::Errno::EEXIST));
    assert_eq!(entries(first.path()), ["file", "lock"]);
}

#[test]
fn a_sweep_leaves_what_is_locked_or_not_ours() {
    let parent = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("host"), "x").unwrap();
    let live = Scratch::create(parent.path(), id()).unwrap();
    let dead = id();
    fs::create_dir_all(parent.path().join(dead.name()).join("upper/sub")).unwrap();
    let link = id();
    symlink(outside.path(), parent.path().join(link.name())).unwrap();
    let file = id();
    fs::write(parent.path().join(file.name()), "x").unwrap();
    for name in ["belljar-", "belljar-mine", "other", "belljar-ABCDEFGHIJKL"] {
        fs::create_dir(parent.path().join(name)).unwrap();
    }
    let before = entries(parent.path()).len();
    let swept = sweep(parent.path());
    assert_eq!((swept.removed, swept.alive), (vec![dead], vec![live.id()]));
    assert!(swept.failed.is_empty(), "{:?}", swept.failed);
    assert_eq!(entries(parent.path()).len(), before - 1);
    assert_eq!(entries(outside.path()), ["host"]);
    assert_eq!(sweep(&parent.path().join("missing")).removed, []);
}

#[test]
fn what_a_killed_run_left_is_swept_and_nothing_before_its_death() {
    let parent = tempfile::tempdir().unwrap();
    let mut child = part("scratch::part_hold", parent.path()).spawn().unwrap();
    wait_ready(&mut child);
    assert_eq!(sweep(parent.path()).alive.len(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(entries(parent.path()).len(), 1);
    let swept = sweep(parent.path());
    assert_eq!(
        (swept.removed.len(), swept.alive.len(), swept.failed.len()),
        (1, 0, 0)
    );
    assert_eq!(entries(parent.path()), Vec::<String>::new());
}

#[test]
#[ignore = "a part of another test, which starts it"]
fn part_hold() {
    let Some(parent) = told() else { return };
    let scratch = Scratch::create(&parent, id()).unwrap();
    fs::write(scratch.path().join("file"), "x").unwrap();
    ready_and_wait();
}

#[test]
fn runs_that_start_while_others_sweep_keep_their_folders() {
    let parent = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let swept = sweep(parent.path());
                    assert!(swept.failed.is_empty(), "{:?}", swept.failed);
                }
            });
            scope.spawn(|| {
                for _ in 0..100 {
                    let scratch = Scratch::create(parent.path(), id()).unwrap();
                    fs::write(scratch.path().join("file"), "x").unwrap();
                    assert_eq!(entries(scratch.path()), ["file", "lock"]);
                    scratch.remove().unwrap();
                }
            });
        }
    });
    assert_eq!(entries(parent.path()), Vec::<String>::new());
}

#[test]
fn a_parent_that_others_can_change_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let open = base.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    let refused = Scratch::create(&open, id()).unwrap_err();
    assert!(
        refused.to_string().contains("others can write to it"),
        "{refused}"
    );
    assert!(refused.hint.is_some());
    // As /var/tmp is: others can write, and can't rename what is not theirs.
    fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
    Scratch::create(&open, id()).unwrap();
    let link = base.path().join("link");
    symlink(&open, &link).unwrap();
    let refused = Scratch::create(&link, id()).unwrap_err();
    assert_eq!(refused.errno, Some(nix::errno::Errno::ENOTDIR), "{refused}");
    assert_eq!(entries(&open), Vec::<String>::new());
}

#[test]
fn odd_modes_stop_nobody_who_owns_the_tree() {
    let parent = tempfile::tempdir().unwrap();
    fs::set_permissions(parent.path(), Permissions::from_mode(0o1777)).unwrap();
    passes(part_as_nobody("scratch::part_odd_modes", parent.path()));
    assert_eq!(entries(parent.path()), Vec::<String>::new());
}

#[test]
#[ignore = "a part of another test, which starts it"]
fn part_odd_modes() {
    let Some(parent) = told() else { return };
    let scratch = Scratch::create(&parent, id()).unwrap();
    let mut made = Vec::new();
    for mode in [
        0o000, 0o100, 0o200, 0o400, 0o500, 0o300, 0o700, 0o1000, 0o2555,
    ] {
        // Deep enough that some folders are moved up on the way.
        let chain = scratch.path().join(format!("m{mode:o}"));
        let mut dir = chain.clone();
        for _ in 0..20 {
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("file"), "x").unwrap();
            fs::set_permissions(dir.join("file"), Permissions::from_mode(mode)).unwrap();
            made.push((dir.clone(), mode));
            dir.push("d");
        }
    }
    for (dir, mode) in made.iter().rev() {
        fs::set_permissions(dir, Permissions::from_mode(*mode)).unwrap();
    }
    let path = scratch.path().to_owned();
    scratch.remove().unwrap();
    assert!(!path.exists());
}

mod tier_root {
    use super::*;

    #[test]
    fn what_another_user_owns_is_neither_used_nor_swept() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), Permissions::from_mode(0o1777)).unwrap();
        let theirs = id();
        let dir = parent.path().join(theirs.name());
        fs::create_dir(&dir).unwrap();
        passes(part_as_nobody(
            "scratch::part_sweep_finds_nothing",
            parent.path(),
        ));
        assert!(dir.exists());

        // Someone else made the folder that the default scratch parent would be.
        let taken = parent.path().join("taken");
        fs::create_dir(&taken).unwrap();
        nix::unistd::chown(&taken, Some(65534.into()), None).unwrap();
        let refused = Scratch::create(&taken, id()).unwrap_err();
        assert!(
            refused.to_string().contains("it belongs to another user"),
            "{refused}"
        );
        assert_eq!(entries(&taken), Vec::<String>::new());
        assert_eq!(sweep(&taken).failed.len(), 1);
    }

    #[test]
    fn what_the_builders_kernel_uid_owns_is_removed_by_root() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(parent.path(), id()).unwrap();
        let sub = scratch.path().join("upper/sub");
        fs::create_dir_all(&sub).unwrap();
        fs::write(sub.join("file"), "x").unwrap();
        for path in [
            sub.join("file"),
            sub.clone(),
            sub.parent().unwrap().to_owned(),
        ] {
            nix::unistd::chown(&path, Some(BUILDER_OUTSIDE.into()), None).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o0)).unwrap();
        }
        let held = File::open(scratch.path()).unwrap();
        scratch.remove().unwrap();
        assert_eq!(nix::sys::stat::fstat(held.as_fd()).unwrap().st_nlink, 0);
        assert_eq!(entries(parent.path()), Vec::<String>::new());
    }

    #[test]
    fn a_dead_runs_folder_that_was_handed_to_the_builder_is_swept_by_root() {
        let parent = tempfile::tempdir().unwrap();
        let dead = id();
        let dir = parent.path().join(dead.name());
        fs::create_dir(&dir).unwrap();
        nix::unistd::chown(&dir, Some(BUILDER_OUTSIDE.into()), None).unwrap();
        assert_eq!(sweep(parent.path()).removed, [dead]);
    }

    #[test]
    fn a_mount_in_the_scratch_is_not_entered() {
        use nix::mount::{MntFlags, MsFlags, mount, umount2};
        let parent = tempfile::tempdir().unwrap();
        let host = tempfile::tempdir().unwrap();
        fs::write(host.path().join("host"), "x").unwrap();
        let scratch = Scratch::create(parent.path(), id()).unwrap();
        let point = scratch.path().join("point");
        fs::create_dir(&point).unwrap();
        mount(
            Some(host.path()),
            &point,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .unwrap();
        let refused = scratch.remove();
        umount2(&point, MntFlags::MNT_DETACH).unwrap();
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("point"), "{refused}");
        assert_eq!(entries(host.path()), ["host"]);
        assert_eq!(sweep(parent.path()).removed.len(), 1);
    }
}

#[test]
#[ignore = "a part of another test, which starts it"]
fn part_sweep_finds_nothing() {
    let Some(parent) = told() else { return };
    let swept = sweep(&parent);
    assert!(swept.removed.is_empty() && swept.alive.is_empty() && swept.failed.is_empty());
}
