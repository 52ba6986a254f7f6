//! What an export writes, what it refuses, and what it leaves behind when it fails.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use belljar_model::{Label, Manifest, OsText, Outputs};
use tempfile::TempDir;

use super::super::{Rung, Workspace, capture};
use crate::clock::Stamps;

use super::{Destination, ExportError, Exported, Item, export};

/// A host folder, a run's upper folder over it, and the run.
struct Case {
    host: TempDir,
    upper: TempDir,
    ws: Workspace,
}

fn dir(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

fn case(host: &dyn Fn(&Path), build: &dyn Fn(&Path)) -> Case {
    let (h, upper) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    host(h.path());
    std::thread::sleep(Duration::from_millis(30));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ws = Workspace {
        upper: dir(upper.path()),
        lower: dir(h.path()),
        hidden: Vec::new(),
        rung: Rung::OverlayDisk,
        started_ns: i64::try_from(now.as_nanos()).unwrap(),
        offset_s: 0,
        stamps: Stamps::new(0, 0),
    };
    std::thread::sleep(Duration::from_millis(30));
    build(upper.path());
    Case { host: h, upper, ws }
}

impl Case {
    fn manifest(&self) -> Manifest {
        let captured = capture(&self.ws, &Outputs::default(), &OsText::default(), Label::A);
        captured.unwrap().manifest
    }

    fn export(&self) -> Result<Exported, ExportError> {
        self.export_to(self.host.path(), &self.manifest())
    }

    fn export_to(&self, dest: &Path, manifest: &Manifest) -> Result<Exported, ExportError> {
        let folder = dir(dest);
        export(&self.ws, manifest, destination(&folder))
    }

    fn host(&self, name: &str) -> std::path::PathBuf {
        self.host.path().join(name)
    }

    /// Everything below the host folder, to see that nothing changed.
    fn listing(&self) -> Vec<(std::path::PathBuf, u64, i64)> {
        let mut all = Vec::new();
        let mut todo = vec![self.host.path().to_owned()];
        while let Some(at) = todo.pop() {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                if meta.is_dir() {
                    todo.push(path.clone());
                }
                all.push((path, meta.ino(), meta.ctime_nsec()));
            }
        }
        all.sort();
        all
    }
}

static NOTHING: std::sync::LazyLock<OsText> = std::sync::LazyLock::new(OsText::default);

fn destination(folder: &OwnedFd) -> Destination<'_> {
    Destination {
        folder: folder.as_fd(),
        strip: &NOTHING,
        keep: None,
        owner: None,
    }
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn files_links_folders_modes_times() {
    let c = case(
        &|h| {
            write(&h.join("src/main.c"), "int");
            write(&h.join("old"), "old");
            write(&h.join("keep"), "keep");
        },
        &|u| {
            write(&u.join("old"), "new");
            write(&u.join("out/bin/tool"), "tool");
            write(&u.join("src/main.o"), "object");
            fs::hard_link(u.join("out/bin/tool"), u.join("out/tool2")).unwrap();
            symlink("/etc/passwd", u.join("out/link")).unwrap();
            let mode = |p: &str, m| fs::set_permissions(u.join(p), fs::Permissions::from_mode(m));
            mode("out/bin/tool", 0o4755).unwrap();
            mode("src/main.o", 0o000).unwrap();
            mode("out/bin", 0o2511).unwrap();
            write(&u.join(".git/hooks/post-commit"), "evil");
            nix::unistd::mkfifo(&u.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        },
    );
    let m = c.manifest();
    let done = c.export().unwrap();
    assert_eq!((done.written, done.skipped), (7, 1));
    assert_eq!(fs::read_to_string(c.host("old")).unwrap(), "new");
    assert_eq!(fs::read_to_string(c.host("keep")).unwrap(), "keep");
    assert_eq!(fs::read_to_string(c.host("out/tool2")).unwrap(), "tool");
    assert_eq!(
        fs::read_link(c.host("out/link")).unwrap(),
        Path::new("/etc/passwd")
    );
    let (a, b) = (
        fs::metadata(c.host("out/bin/tool")).unwrap(),
        fs::metadata(c.host("out/tool2")).unwrap(),
    );
    assert_eq!(a.ino(), b.ino());
    assert_eq!(a.mode() & 0o7777, 0o755, "no set-id bit");
    assert_eq!(
        fs::metadata(c.host("src/main.o")).unwrap().mode() & 0o7777,
        0
    );
    assert_eq!(
        fs::metadata(c.host("out/bin")).unwrap().mode() & 0o7777,
        0o511
    );
    assert!(!c.host(".git").exists(), "scratch stays behind");
    assert!(!c.host("pipe").exists());
    for entry in &m.entries {
        let path = c.host.path().join(entry.path.as_path());
        if let Ok(meta) = fs::symlink_metadata(path)
            && !meta.is_dir()
        {
            let mtime = meta.mtime() * 1_000_000_000 + meta.mtime_nsec();
            assert_eq!(mtime, entry.when.mtime_ns, "{:?}", entry.path);
        }
    }
    // Its own export does not make the next run's outputs conflict, and nothing else is left.
    let left = c.listing();
    assert!(
        left.iter()
            .all(|(p, ..)| !p.to_string_lossy().contains(".belljar"))
    );
    fs::set_permissions(c.host("out/bin"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_changed_on_the_host_is_refused_by_name_and_nothing_is_written() {
    let c = case(
        &|h| {
            write(&h.join("edited"), "1");
            write(&h.join("moved"), "1");
            write(&h.join("source"), "1");
        },
        &|u| {
            for name in ["a", "edited", "moved", "appeared", "z"] {
                write(&u.join(name), "built");
            }
        },
    );
    fs::write(c.host("edited"), "2").unwrap();
    let old = SystemTime::now() - Duration::from_secs(100_000);
    File::open(c.host("edited"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    fs::rename(c.host("source"), c.host("moved")).unwrap();
    fs::write(c.host("appeared"), "mine").unwrap();
    let before = c.listing();
    let e = c.export().unwrap_err();
    assert_eq!(
        e.to_string(),
        "did not export, because on the host appeared changed since the run began, \
         edited changed since the run began, moved changed since the run began"
    );
    assert_eq!(c.listing(), before);
    assert_eq!(fs::read_to_string(c.host("appeared")).unwrap(), "mine");
}

#[test]
fn kinds_that_do_not_fit_are_refused() {
    let c = case(
        &|h| {
            fs::create_dir_all(h.join("folder")).unwrap();
            write(&h.join("file"), "1");
        },
        &|u| {
            write(&u.join("folder"), "file");
            write(&u.join("file/below"), "1");
        },
    );
    let e = c.export().unwrap_err();
    let ExportError::Refused(all) = &e else {
        panic!("{e}")
    };
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    assert_eq!(
        all,
        [
            "file is no folder",
            "file/below lies below something that is no folder",
            "folder is a folder"
        ]
    );
}

#[test]
fn links_on_the_host_are_not_followed() {
    let outside = TempDir::new().unwrap();
    write(&outside.path().join("secret"), "secret");
    let c = case(
        &|h| {
            symlink(outside.path(), h.join("folder")).unwrap();
            symlink(outside.path().join("secret"), h.join("file")).unwrap();
        },
        &|u| {
            write(&u.join("folder/secret"), "evil");
            write(&u.join("folder/new"), "evil");
        },
    );
    let e = c.export().unwrap_err();
    assert!(e.to_string().contains("folder/new lies below"), "{e}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    let d = case(
        &|h| symlink(outside.path().join("secret"), h.join("file")).unwrap(),
        &|u| write(&u.join("file"), "built"),
    );
    d.export().unwrap();
    assert_eq!(fs::read_to_string(d.host("file")).unwrap(), "built");
    assert!(!fs::symlink_metadata(d.host("file")).unwrap().is_symlink());
    assert_eq!(
        fs::read_to_string(outside.path().join("secret")).unwrap(),
        "secret"
    );
}

#[test]
fn a_failure_takes_everything_back() {
    let c = case(&|h| write(&h.join("old"), "old"), &|u| {
        for name in ["new", "old", "sub/deep/new", "zz"] {
            write(&u.join(name), "built");
        }
    });
    let m = c.manifest();
    fs::remove_file(c.upper.path().join("zz")).unwrap();
    let before = c.listing();
    let e = c.export_to(c.host.path(), &m).unwrap_err();
    assert_eq!(
        e.to_string(),
        "could not read zz: ENOENT (No such file or directory)"
    );
    assert_eq!(c.listing(), before);
    // A file that is not what the manifest says is not exported either.
    fs::write(c.upper.path().join("zz"), "other size").unwrap();
    assert!(matches!(
        c.export_to(c.host.path(), &m),
        Err(ExportError::Io {
            errno: nix::errno::Errno::EIO,
            ..
        })
    ));
    assert_eq!(c.listing(), before);
}

#[test]
fn into_another_folder() {
    let c = case(&|h| write(&h.join("src/deep/a.c"), "source"), &|u| {
        write(&u.join("src/deep/a.o"), "object");
    });
    let dest = TempDir::new().unwrap();
    write(&dest.path().join("other"), "stays");
    let done = c.export_to(dest.path(), &c.manifest()).unwrap();
    assert_eq!((done.written, done.skipped), (1, 0));
    assert_eq!(
        fs::read_to_string(dest.path().join("src/deep/a.o")).unwrap(),
        "object"
    );
    assert_eq!(
        fs::read_to_string(dest.path().join("other")).unwrap(),
        "stays"
    );
    assert!(!c.host("src/deep/a.o").exists());
}

/// Something else writes the target between the check and the rename: one of both wins whole.
#[test]
fn a_target_that_appears_late_is_not_replaced() {
    let c = case(&|_| {}, &|u| write(&u.join("out"), "built"));
    let m = c.manifest();
    let dest = dir(c.host.path());
    let to = destination(&dest);
    let item = Item {
        entry: &m.entries[0],
        path: b"out",
    };
    let before = super::check::all(&c.ws, to, std::slice::from_ref(&item)).unwrap()[0];
    let mut stage = super::stage::Stage::new(&c.ws, to).unwrap();
    stage.put(&item, before).unwrap();
    fs::write(c.host("out"), "mine").unwrap();
    let e = stage.commit().unwrap_err();
    assert_eq!(
        e.to_string(),
        "did not export, because on the host out has appeared"
    );
    assert_eq!(fs::read_to_string(c.host("out")).unwrap(), "mine");
    assert_eq!(fs::read_dir(c.host.path()).unwrap().count(), 1);
}

#[test]
fn below_the_start_folder_and_never_over_the_evidence() {
    let c = case(&|_| {}, &|u| {
        write(&u.join("sub/out"), "built");
        write(&u.join("other"), "built");
        write(&u.join("sub/artifacts/result.json"), "forged");
    });
    let dest = TempDir::new().unwrap();
    let folder = dir(dest.path());
    let strip: OsText = "sub".into();
    let keep: OsText = "sub/artifacts".into();
    let to = Destination {
        strip: &strip,
        keep: Some(&keep),
        ..destination(&folder)
    };
    let e = export(&c.ws, &c.manifest(), to).unwrap_err();
    assert_eq!(
        e.to_string(),
        "did not export, because on the host artifacts lies where the evidence is written, \
         artifacts/result.json lies where the evidence is written"
    );
    assert_eq!(fs::read_dir(dest.path()).unwrap().count(), 0);
    export(&c.ws, &c.manifest(), Destination { keep: None, ..to }).unwrap();
    assert!(dest.path().join("out").exists() && dest.path().join("other").exists());
}

/// With `--source git` what an earlier run exported is ignored, so hidden; it is replaced.
#[test]
fn what_was_hidden_and_did_not_change_is_replaced() {
    let mut c = case(&|h| write(&h.join("hello"), "old"), &|u| {
        write(&u.join("hello"), "built");
    });
    c.ws.hidden = vec!["hello".into()];
    c.export().unwrap();
    assert_eq!(fs::read_to_string(c.host("hello")).unwrap(), "built");
}
