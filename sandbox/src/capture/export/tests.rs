use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use belljar_model::{Label, Outputs};
use tempfile::TempDir;

use super::*;
use crate::capture::{Rung, capture};

/// A host folder, and what a build wrote over it.
struct Bench {
    dir: TempDir,
    started_ns: i64,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["host", "upper"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir, started_ns: 0 }
    }

    fn host(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("host").join(name)
    }

    fn built(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.dir.path().join("upper").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// From now on a change of the host's files is one that came meanwhile.
    fn start(&mut self) {
        // Stamps have the grain of a tick: let one pass before and after.
        let tick = std::time::Duration::from_millis(20);
        std::thread::sleep(tick);
        let probe = self.dir.path().join("now");
        fs::write(&probe, "").unwrap();
        let now = fs::metadata(&probe).unwrap();
        self.started_ns = now.ctime() * 1_000_000_000 + now.ctime_nsec();
        std::thread::sleep(tick);
    }

    fn export(&self) -> Result<Exported, ExportError> {
        let open = |name: &str| File::open(self.dir.path().join(name)).unwrap().into();
        let ws = Workspace {
            upper: open("upper"),
            lower: open("host"),
            hidden: vec!["artifacts".into()],
            rung: Rung::OverlayDisk,
            started_ns: 0,
            offset_s: 0,
        };
        let captured = capture(&ws, &Outputs::default(), &OsText::default(), Label::A).unwrap();
        let ws = Workspace {
            started_ns: self.started_ns,
            ..ws
        };
        let folder = File::open(self.host("")).unwrap();
        let to = Destination {
            folder: folder.as_fd(),
            strip: &OsText::default(),
            owner: None,
        };
        export(&ws, &captured.manifest, to)
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut all: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    all.sort();
    all
}

#[test]
fn files_links_and_folders_arrive_with_their_modes_and_without_set_id() {
    let mut bench = Bench::new();
    fs::write(bench.host("old"), "old").unwrap();
    bench.start();
    let tool = bench.built("bin/tool", "tool");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(&tool, tool.with_file_name("same")).unwrap();
    symlink("tool", tool.with_file_name("link")).unwrap();
    bench.export().unwrap();
    let meta = fs::metadata(bench.host("bin/tool")).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o755);
    assert_eq!(
        meta.ino(),
        fs::metadata(bench.host("bin/same")).unwrap().ino()
    );
    assert_eq!(
        fs::read_link(bench.host("bin/link")).unwrap(),
        Path::new("tool")
    );
    assert_eq!(names(&bench.host("")), ["bin", "old"]);
    assert_eq!(
        names(&bench.host("bin")),
        ["link", "same", "tool"],
        "nothing is left beside them"
    );
}

#[test]
fn a_file_that_changed_meanwhile_is_refused_and_nothing_is_written() {
    let mut bench = Bench::new();
    fs::write(bench.host("b"), "before").unwrap();
    bench.start();
    bench.built("a", "made");
    bench.built("b", "built");
    fs::write(bench.host("b"), "edited").unwrap();
    let changed = ExportError::Changed { path: "b".into() };
    assert_eq!(bench.export(), Err(changed));
    assert_eq!(names(&bench.host("")), ["b"]);
    assert_eq!(fs::read_to_string(bench.host("b")).unwrap(), "edited");
}

#[test]
fn a_file_that_did_not_change_is_replaced() {
    let mut bench = Bench::new();
    fs::write(bench.host("b"), "before").unwrap();
    bench.start();
    bench.built("b", "built");
    bench.export().unwrap();
    assert_eq!(fs::read_to_string(bench.host("b")).unwrap(), "built");
}

#[test]
fn links_of_the_host_are_not_followed_and_kinds_are_not_changed() {
    let outside = tempfile::tempdir().unwrap();
    let mut bench = Bench::new();
    symlink(outside.path(), bench.host("out")).unwrap();
    bench.start();
    bench.built("out/file", "escaped");
    assert!(matches!(bench.export(), Err(ExportError::InTheWay { .. })));
    assert_eq!(names(outside.path()), Vec::<String>::new());

    let mut bench = Bench::new();
    fs::create_dir(bench.host("x")).unwrap();
    bench.start();
    bench.built("x", "a file now");
    assert!(matches!(bench.export(), Err(ExportError::InTheWay { .. })));
    assert!(bench.host("x").is_dir());
}

#[test]
fn what_the_build_did_not_see_is_not_written_over() {
    let mut bench = Bench::new();
    fs::create_dir(bench.host("artifacts")).unwrap();
    bench.start();
    bench.built("artifacts/result.json", "forged");
    assert!(matches!(bench.export(), Err(ExportError::InTheWay { .. })));
    assert_eq!(names(&bench.host("artifacts")), Vec::<String>::new());
}
