//! The watch over the disk budget.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use belljar_sandbox::launch::disk::{DiskWatch, Watched, measure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const MIB: u64 = 1 << 20;

fn open(dir: &Path) -> OwnedFd {
    File::open(dir).unwrap().into()
}

fn on_disk(dir: &Path, before: u64) -> Watched {
    Watched {
        upper: Some(open(dir)),
        before,
        temporary: Vec::new(),
    }
}

fn fill(file: &mut File, mib: u64) {
    for _ in 0..mib {
        file.write_all(&vec![1; 1 << 20]).unwrap();
    }
}

fn write(dir: &Path, name: &str, mib: u64) {
    fill(&mut File::create(dir.join(name)).unwrap(), mib);
}

/// Waits for the bell, and hands back how much was used then.
fn rung(watch: &DiskWatch) -> u64 {
    let mut fds = [PollFd::new(watch.fd(), PollFlags::POLLIN)];
    assert_eq!(
        poll(&mut fds, PollTimeout::from(60_000u16)).unwrap(),
        1,
        "the bell never rang"
    );
    watch.poll().unwrap()
}

#[test]
fn a_build_that_writes_more_is_found_while_it_writes() {
    let dir = tempfile::tempdir().unwrap();
    let watch = DiskWatch::start(on_disk(dir.path(), 0), 8 * MIB).unwrap();
    assert_eq!(watch.poll(), None);
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    for i in 0..12 {
        write(dir.path(), &format!("a/b/{i}"), 1);
    }
    assert!(rung(&watch) > 8 * MIB);
    // It stays exceeded, whatever is deleted afterwards.
    fs::remove_dir_all(dir.path().join("a")).unwrap();
    assert!(watch.finish().unwrap() > 8 * MIB);
}

#[test]
fn a_build_that_ends_before_the_next_look_is_measured_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let watch = DiskWatch::start(on_disk(dir.path(), 0), 8 * MIB).unwrap();
    write(dir.path(), "f", 9);
    assert!(watch.finish().unwrap() > 8 * MIB);
}

#[test]
fn what_is_within_the_budget_is_no_hit() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "source", 20);
    let before = measure(&open(dir.path()));
    assert!(before >= 20 * MIB);
    let watch = DiskWatch::start(on_disk(dir.path(), before), 8 * MIB).unwrap();
    write(dir.path(), "f", 6);
    for i in 0..50 {
        fs::hard_link(dir.path().join("f"), dir.path().join(format!("l{i}"))).unwrap();
    }
    File::create(dir.path().join("sparse"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    assert_eq!(watch.finish(), None);
    let watch = DiskWatch::start(on_disk(dir.path(), before), 4 * MIB).unwrap();
    assert!(rung(&watch) > 4 * MIB);
}

mod tier_root {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};

    use super::*;

    /// A file system in memory of its own.
    struct Memory(tempfile::TempDir);

    impl Memory {
        fn new(mib: u64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let size = format!("size={mib}m");
            let none = None::<&str>;
            mount(
                none,
                dir.path(),
                Some("tmpfs"),
                MsFlags::empty(),
                Some(size.as_str()),
            )
            .unwrap();
            Self(dir)
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            umount2(self.0.path(), MntFlags::MNT_DETACH).unwrap();
        }
    }

    #[test]
    fn the_workspace_and_the_temporary_folders_are_added_up() {
        let dir = tempfile::tempdir().unwrap();
        let (tmp, home) = (Memory::new(64), Memory::new(64));
        let watched = || Watched {
            temporary: vec![open(tmp.0.path()), open(home.0.path())],
            ..on_disk(dir.path(), 0)
        };
        let watch = DiskWatch::start(watched(), 16 * MIB).unwrap();
        write(tmp.0.path(), "f", 5);
        write(home.0.path(), "f", 5);
        write(dir.path(), "f", 5);
        assert_eq!(watch.finish(), None);
        let watch = DiskWatch::start(watched(), 16 * MIB).unwrap();
        // Deleted and open: in memory it counts.
        let mut gone = tempfile::tempfile_in(tmp.0.path()).unwrap();
        fill(&mut gone, 2);
        assert!(rung(&watch) > 16 * MIB);
        let only_memory = Watched {
            upper: None,
            before: 0,
            temporary: vec![open(tmp.0.path())],
        };
        let watch = DiskWatch::start(only_memory, 6 * MIB).unwrap();
        assert!(rung(&watch) > 6 * MIB);
    }

    #[test]
    fn a_full_disk_ends_a_run_whose_files_have_no_names() {
        let disk = Memory::new(64);
        let watch = DiskWatch::start(on_disk(disk.0.path(), 0), 16 * MIB).unwrap();
        let mut gone = tempfile::tempfile_in(disk.0.path()).unwrap();
        fill(&mut gone, 40);
        // Not the run's for all that is known, and the disk has room.
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(watch.poll(), None);
        fill(&mut gone, 22);
        assert!(rung(&watch) > 16 * MIB);
    }
}
