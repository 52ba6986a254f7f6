//! Properties of the walk and of what counts as written, on real folders and a real overlay.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use belljar_model::{EntryKind, Label, Manifest, OsText, Outputs, Sha256};
use tempfile::TempDir;

use crate::clock::Stamps;

use super::{CaptureError, Captured, Rung, Workspace, capture, walk};

fn dir(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_nanos()).unwrap()
}

fn workspace(upper: &Path, lower: &Path, rung: Rung) -> Workspace {
    Workspace {
        upper: dir(upper),
        lower: dir(lower),
        hidden: Vec::new(),
        rung,
        started_ns: now_ns(),
        offset_s: 0,
        stamps: Stamps::new(0, 0),
    }
}

fn all(ws: &Workspace) -> Captured {
    capture(ws, &Outputs::default(), &OsText::default(), Label::A).unwrap()
}

fn paths(manifest: &Manifest) -> Vec<String> {
    manifest
        .entries
        .iter()
        .map(|e| e.path.to_string())
        .collect()
}

fn deleted(manifest: &Manifest) -> Vec<String> {
    manifest.deleted.iter().map(ToString::to_string).collect()
}

fn walked(path: &Path) -> Manifest {
    walk(dir(path).as_fd(), Label::A).unwrap()
}

/// As root no mode forbids anything: the same test once more as a user who owns nothing.
fn as_plain_user_too(test: &str) {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let exe = File::open(std::env::current_exe().unwrap()).unwrap();
    let done = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["/proc/self/fd/0", "--exact", "--nocapture"])
        .arg(format!("capture::tests::{test}"))
        .current_dir("/")
        .stdin(exe)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success() && said.contains("1 passed"),
        "as a plain user: {said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn digests_and_kinds_are_right() {
    let t = TempDir::new().unwrap();
    fs::write(t.path().join("empty"), "").unwrap();
    let large = vec![7; (4 << 20) + 3];
    fs::write(t.path().join("large"), &large).unwrap();
    symlink("../nowhere", t.path().join("link")).unwrap();
    nix::unistd::mkfifo(&t.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(t.path().join("socket")).unwrap();
    let m = walked(t.path());
    assert_eq!(paths(&m), ["empty", "large", "link", "pipe", "socket"]);
    for (i, content) in [(0, &b""[..]), (1, &large)] {
        let EntryKind::File {
            size,
            blake3,
            sha256,
        } = &m.entries[i].kind
        else {
            panic!("no file");
        };
        assert_eq!(*size, content.len() as u64);
        assert_eq!(*sha256, Sha256::of(content));
        assert_eq!(blake3.0, *blake3::hash(content).as_bytes());
    }
    assert_eq!(
        m.entries[2].kind,
        EntryKind::Symlink {
            target: "../nowhere".into()
        }
    );
    assert_eq!(m.entries[3].flag.as_deref(), Some("fifo"));
    assert_eq!(m.entries[4].flag.as_deref(), Some("socket"));
}

#[test]
fn names_of_any_bytes() {
    let t = TempDir::new().unwrap();
    for name in [&b"a\nb"[..], b"\xff\xfe", b"-rf", b"\x01\x1b[31m", b"\"'\\"] {
        fs::write(t.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    let long = "n".repeat(255);
    fs::write(t.path().join(&long), "").unwrap();
    let m = walked(t.path());
    assert_eq!(m.entries.len(), 6);
    let json = serde_json::to_string(&m).unwrap();
    assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), m);
}

#[test]
fn paths_longer_than_the_kernel_takes() {
    let t = TempDir::new().unwrap();
    let name = "d".repeat(200);
    let mut at = dir(t.path());
    for _ in 0..40 {
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::sys::stat::mkdirat(&at, name.as_str(), mode).unwrap();
        at = super::beneath::open_at(at.as_fd(), name.as_str(), super::beneath::LIST).unwrap();
    }
    let flags = nix::fcntl::OFlag::O_CREAT | nix::fcntl::OFlag::O_WRONLY;
    let mode = nix::sys::stat::Mode::S_IRUSR;
    drop(nix::fcntl::openat(&at, "leaf", flags, mode).unwrap());
    let m = walked(t.path());
    assert_eq!(m.entries.len(), 41);
    let leaf = m.entries.last().unwrap();
    assert_eq!(leaf.path.as_bytes().len(), 40 * 201 + 4);
    super::open(dir(t.path()).as_fd(), &leaf.path).unwrap();
    // Beyond the limit there is an answer that names the place, not a walk without end.
    for _ in 0..60 {
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::sys::stat::mkdirat(&at, name.as_str(), mode).unwrap();
        at = super::beneath::open_at(at.as_fd(), name.as_str(), super::beneath::LIST).unwrap();
    }
    let e = walk(dir(t.path()).as_fd(), Label::A).unwrap_err();
    assert!(matches!(e, CaptureError::TooDeep { .. }), "{e}");
    assert!(e.to_string().len() < 500);
}

#[test]
fn a_file_that_says_it_is_huge_is_refused_by_name() {
    let t = TempDir::new().unwrap();
    let f = File::create(t.path().join("sparse")).unwrap();
    if f.set_len((1 << 40) + 1).is_ok() {
        let e = walk(dir(t.path()).as_fd(), Label::A).unwrap_err();
        assert!(
            e.to_string().starts_with("sparse has 1099511627777 bytes"),
            "{e}"
        );
    }
}

#[test]
fn links_are_not_followed() {
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let t = TempDir::new().unwrap();
    symlink(outside.path(), t.path().join("folder")).unwrap();
    symlink(outside.path().join("secret"), t.path().join("file")).unwrap();
    symlink(".", t.path().join("loop")).unwrap();
    assert_eq!(paths(&walked(t.path())), ["file", "folder", "loop"]);
    let root = dir(t.path());
    for path in [
        "file",
        "folder/secret",
        "loop/loop/file",
        "../x",
        "/etc/passwd",
    ] {
        assert!(super::open(root.as_fd(), &path.into()).is_err(), "{path}");
    }
}

#[test]
fn hard_links_share_a_group_whatever_their_order() {
    let t = TempDir::new().unwrap();
    let at = |n: &str| t.path().join(n);
    fs::write(at("z"), "one").unwrap();
    fs::hard_link(at("z"), at("b")).unwrap();
    fs::write(at("a"), "one").unwrap();
    fs::write(at("y"), "two").unwrap();
    fs::hard_link(at("y"), at("c")).unwrap();
    let groups: Vec<_> = walked(t.path())
        .entries
        .iter()
        .map(|e| e.hardlink_group)
        .collect();
    assert_eq!(groups, [None, Some(0), Some(1), Some(1), Some(0)]);
}

#[test]
fn a_wide_folder_is_read_whole() {
    let t = TempDir::new().unwrap();
    for i in 0..3000 {
        fs::write(t.path().join(format!("f{i}")), i.to_string()).unwrap();
    }
    for i in 0..50 {
        fs::create_dir_all(t.path().join(format!("d{i}/e"))).unwrap();
        fs::write(t.path().join(format!("d{i}/e/f")), "x").unwrap();
    }
    let m = walked(t.path());
    assert_eq!(m.entries.len(), 3150);
    assert!(m.entries.is_sorted_by(|a, b| a.path < b.path));
    for e in &m.entries {
        if let (EntryKind::File { sha256, .. }, Some(n)) =
            (&e.kind, e.path.to_string().strip_prefix('f'))
        {
            assert_eq!(*sha256, Sha256::of(n.as_bytes()));
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
    /// The same tree made in another order gives the same manifest.
    #[test]
    fn the_order_of_folders_does_not_matter(
        names in proptest::collection::btree_set("[a-c]{1,3}(/[a-c]{1,3}){0,3}", 1..60),
        seed: u64,
    ) {
        let mut order: Vec<&String> = names.iter().collect();
        let first = tree(&order);
        let n = order.len();
        for i in 0..n {
            order.swap(i, usize::try_from(seed.rotate_left(u32::try_from(i).unwrap())).unwrap_or(0) % n);
        }
        let second = tree(&order);
        let mut m = walked(second.path());
        for (mine, its) in m.entries.iter_mut().zip(walked(first.path()).entries) {
            mine.when = its.when;
        }
        proptest::prop_assert_eq!(m, walked(first.path()));
    }
}

/// A folder for each path but the last part, and a file, where nothing is in the way.
fn tree(names: &[&String]) -> TempDir {
    let t = TempDir::new().unwrap();
    let mut sorted: Vec<_> = names.to_vec();
    sorted.sort();
    // What is a folder is decided by the set, not by the order of making.
    for name in names {
        let is_folder = sorted.iter().any(|o| o.starts_with(&format!("{name}/")));
        let path = t.path().join(name);
        if is_folder {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name.as_bytes()).unwrap();
        }
    }
    t
}

/// Runs a shell script as the "build" over a real overlay mount.
fn overlay(lower: &Path, script: &str) -> Option<TempDir> {
    let t = TempDir::new().unwrap();
    for name in ["upper", "work", "merged"] {
        fs::create_dir(t.path().join(name)).unwrap();
    }
    let setup = format!(
        "mount -t overlay overlay -o userxattr,lowerdir={},upperdir=upper,workdir=work merged && cd merged && set -e && {script}",
        lower.display()
    );
    let done = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &setup])
        .current_dir(t.path())
        .output()
        .unwrap();
    if !done.status.success() {
        let why = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(why.contains("unshare:") || why.contains("mount:"), "{why}");
        eprintln!("skipped: no overlay in a user namespace here: {why}");
        return None;
    }
    Some(t)
}

fn source() -> TempDir {
    let t = TempDir::new().unwrap();
    let at = |n: &str| t.path().join(n);
    for d in ["dir/sub", "gone/sub", "again/sub", "mode", "src"] {
        fs::create_dir_all(at(d)).unwrap();
    }
    for f in [
        "dir/a",
        "dir/sub/b",
        "gone/x",
        "gone/sub/y",
        "again/x",
        "again/sub/y",
        "src/main.c",
        "touched",
        "chmodded",
        "rewritten",
        "same",
        "linked",
        "toucher",
        "tofolder",
    ] {
        fs::write(at(f), f).unwrap();
        let old = SystemTime::now() - Duration::from_secs(1000);
        File::open(at(f)).unwrap().set_modified(old).unwrap();
    }
    symlink("old", at("sym")).unwrap();
    fs::set_permissions(at("dir"), fs::Permissions::from_mode(0o2755)).unwrap();
    drop(std::os::unix::net::UnixListener::bind(at("dir/socket")).unwrap());
    t
}

/// Each thing a build can do to a tree.
const BUILD: &str = "
    echo new > new; mkdir -p made/deep; echo x > made/deep/x
    rm dir/a; rm -r gone; rm -r again; mkdir again; echo z > again/x
    chmod 700 mode; chmod 600 chmodded
    echo other > rewritten
    cat same > t; cat t > same; rm t
    : >> touched
    ln -sf new sym
    ln linked link2
    touch toucher
    rm tofolder; mkdir tofolder; echo i > tofolder/i
    mkdir -p .git; echo i > .git/index; echo d > src/main.d; mkfifo pipe
    mkdir locked; echo s > locked/s; chmod 0 locked/s; mkdir locked/in; echo t > locked/in/t
    ln locked/s locked/s2; chmod 0 locked/in; chmod 0 locked
    printf u > xattr
";

const WRITTEN: &[&str] = &[
    ".git",
    ".git/index",
    "again/x",
    "chmodded",
    "link2",
    "linked",
    "locked",
    "locked/in",
    "locked/in/t",
    "locked/s",
    "locked/s2",
    "made",
    "made/deep",
    "made/deep/x",
    "mode",
    "new",
    "pipe",
    "rewritten",
    "same",
    "src/main.d",
    "sym",
    "tofolder",
    "tofolder/i",
    "toucher",
    "xattr",
];

fn check_build(captured: &Captured) {
    let m = &captured.manifest;
    // `ln` of a file that the build did not change copies it up; the copy is no output, the link is.
    let found: Vec<_> = paths(m).into_iter().filter(|p| p != "linked").collect();
    let wanted: Vec<_> = WRITTEN.iter().filter(|p| **p != "linked").collect();
    assert_eq!(found.iter().collect::<Vec<_>>(), wanted);
    assert_eq!(deleted(m), ["again/sub", "dir/a", "gone"]);
    let of = |p: &str| m.entries.iter().find(|e| e.path == p.into()).unwrap();
    assert_eq!(of("mode").mode, 0o700);
    assert_eq!(of("locked").mode, 0);
    assert_eq!(of("locked/s").mode, 0);
    assert_eq!(of("locked/in").mode, 0);
    assert_eq!(
        of("locked/s").hardlink_group,
        of("locked/s2").hardlink_group
    );
    assert!(of("locked/s").hardlink_group.is_some());
    assert!(of(".git/index").scratch.is_some());
    assert!(of("src/main.d").scratch.is_some());
    assert!(of("new").scratch.is_none());
    assert!(m.entries.iter().all(|e| e.xattrs.is_empty()));
    let EntryKind::File { sha256, .. } = of("locked/in/t").kind else {
        panic!("no file")
    };
    assert_eq!(sha256, Sha256::of(b"t\n"));
}

#[test]
fn what_a_build_wrote_over_an_overlay() {
    as_plain_user_too("what_a_build_wrote_over_an_overlay");
    let lower = source();
    let Some(t) = overlay(lower.path(), BUILD) else {
        return;
    };
    let ws = workspace(&t.path().join("upper"), lower.path(), Rung::OverlayDisk);
    let first = all(&ws);
    check_build(&first);
    // Lifted modes are as they were: a second look sees the same.
    assert_eq!(all(&ws), first);
    let mut content = String::new();
    std::io::Read::read_to_string(&mut ws.open(&"locked/in/t".into()).unwrap(), &mut content)
        .unwrap();
    assert_eq!(content, "t\n");
    assert_eq!(all(&ws), first);
    unlock(t.path());
}

#[test]
fn what_a_build_wrote_in_a_copy() {
    as_plain_user_too("what_a_build_wrote_in_a_copy");
    let lower = source();
    let t = TempDir::new().unwrap();
    let copy = t.path().join("copy");
    let cp = |from: &Path, to: &Path| {
        let done = Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(to)
            .status()
            .unwrap();
        assert!(done.success());
    };
    cp(lower.path(), &copy);
    fs::remove_file(copy.join("dir/socket")).unwrap();
    fs::set_permissions(copy.join("dir"), fs::Permissions::from_mode(0o755)).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let mut ws = workspace(&copy, lower.path(), Rung::Copy);
    ws.started_ns = now_ns();
    let done = Command::new("sh")
        .args(["-ec", BUILD])
        .current_dir(&copy)
        .status()
        .unwrap();
    assert!(done.success());
    let first = all(&ws);
    check_build(&first);
    assert_eq!(all(&ws), first);
    unlock(t.path());
}

/// As a plain user a folder without rights can't be removed.
fn unlock(path: &Path) {
    let _ = Command::new("chmod")
        .args(["-R", "u+rwX"])
        .arg(path)
        .status();
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
}

#[test]
fn declared_globs_select_and_the_rest_is_counted() {
    let lower = source();
    let Some(t) = overlay(lower.path(), BUILD) else {
        return;
    };
    let ws = workspace(&t.path().join("upper"), lower.path(), Rung::OverlayDisk);
    let outputs = Outputs {
        globs: vec![
            "deep/*".into(),
            "../new".into(),
            "../.git".into(),
            "nothing*".into(),
        ],
        ..Outputs::default()
    };
    let captured = capture(&ws, &outputs, &"made".into(), Label::B).unwrap();
    assert_eq!(
        paths(&captured.manifest),
        [".git", ".git/index", "made/deep/x", "new"]
    );
    assert!(
        captured
            .manifest
            .entries
            .iter()
            .all(|e| e.scratch.is_none())
    );
    assert_eq!(captured.unmatched, ["nothing*"]);
    assert!(
        captured.manifest.left_out > 10,
        "{}",
        captured.manifest.left_out
    );
    assert_eq!(deleted(&captured.manifest), [""; 0]);
    unlock(t.path());
}

#[test]
fn hidden_paths_were_never_there() {
    let lower = source();
    let t = TempDir::new().unwrap();
    let mut ws = workspace(t.path(), lower.path(), Rung::Copy);
    ws.hidden = vec!["gone".into(), "dir/sub".into()];
    let m = all(&ws).manifest;
    assert!(!deleted(&m).contains(&"gone".to_owned()));
    assert!(deleted(&m).contains(&"dir".to_owned()));
}

#[test]
fn an_overlay_mark_means_nothing_in_a_copy() {
    let lower = source();
    let t = TempDir::new().unwrap();
    let file = File::create(t.path().join("touched")).unwrap();
    if crate::sys::xattr::fsetxattr(&file, c"user.overlay.whiteout", b"y").is_err() {
        eprintln!("skipped: no extended attributes here");
        return;
    }
    let copy = all(&workspace(t.path(), lower.path(), Rung::Copy)).manifest;
    assert_eq!(paths(&copy), ["touched"]);
    assert_eq!(copy.entries[0].xattrs.len(), 1);
    let over = all(&workspace(t.path(), lower.path(), Rung::OverlayDisk)).manifest;
    assert_eq!(paths(&over), [""; 0]);
    assert_eq!(deleted(&over), ["touched"]);
}

/// A folder that becomes a link and back again, as fast as possible, while it is walked.
#[test]
fn a_folder_swapped_for_a_link_never_leads_outside() {
    use nix::fcntl::{RenameFlags, renameat2};
    let outside = TempDir::new().unwrap();
    fs::create_dir(outside.path().join("in")).unwrap();
    for i in 0..20 {
        fs::write(outside.path().join(format!("secret{i}")), "secret").unwrap();
        fs::write(outside.path().join(format!("in/secret{i}")), "secret").unwrap();
    }
    let t = TempDir::new().unwrap();
    fs::create_dir_all(t.path().join("d/in")).unwrap();
    for i in 0..20 {
        fs::write(t.path().join(format!("d/f{i}")), "mine").unwrap();
        fs::write(t.path().join(format!("d/in/f{i}")), "mine").unwrap();
    }
    symlink(outside.path(), t.path().join("l")).unwrap();
    let root = dir(t.path());
    let stop = std::sync::atomic::AtomicBool::new(false);
    let secret = Sha256::of(b"secret");
    let (mut whole, mut refused, mut leaks) = (0, 0, Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                renameat2(&root, "d", &root, "l", RenameFlags::RENAME_EXCHANGE).unwrap();
            }
        });
        for _ in 0..3000 {
            match walk(root.as_fd(), Label::A) {
                Ok(m) => {
                    whole += 1;
                    leaks.extend(m.entries.into_iter().filter(|e| {
                        let is_secret =
                            matches!(&e.kind, EntryKind::File { sha256, .. } if *sha256 == secret);
                        is_secret || e.path.to_string().contains("secret")
                    }));
                }
                Err(_) => refused += 1,
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(leaks.is_empty(), "{leaks:?}");
    assert!(
        whole > 0 && refused > 0,
        "no race happened: {whole} whole, {refused} refused"
    );
}
