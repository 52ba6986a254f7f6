use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::time::Duration;

use super::claim::STAGING;
use super::*;
use crate::evidence::read::{Evidence, Wrong};
use crate::evidence::samples;

const ME: Ids = Ids {
    uid: 1234,
    gid: 2345,
};

struct Place {
    _dir: tempfile::TempDir,
    root: PathBuf,
    evidence: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let evidence = root.join("deep/artifacts");
    Place {
        _dir: dir,
        root,
        evidence,
    }
}

impl Place {
    fn open(&self) -> Result<Staging, EvidenceError> {
        Staging::open(&self.evidence, &self.root, ME)
    }
    /// Everything in the evidence folder, by path.
    fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        fn walk(dir: &Path, base: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, base, into);
                } else {
                    let name = path
                        .strip_prefix(base)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned();
                    into.insert(name, fs::read(&path).unwrap());
                }
            }
        }
        let mut tree = BTreeMap::new();
        walk(&self.evidence, &self.evidence, &mut tree);
        tree
    }
}

fn put(staging: &mut Staging, names: &[&str], text: &str) {
    for name in names {
        staging.write(&(*name).into(), text.as_bytes()).unwrap();
    }
}

const PAIR: [&str; 4] = [
    "determinism/differences.json",
    "determinism/kept/a/x",
    "security/summary.md",
    "logs/a.log",
];
const SINGLE: [&str; 2] = ["security/summary.md", "logs/a.log"];

/// A complete earlier pair, with an attestation and a stranger's file beside it.
fn earlier(place: &Place) {
    let mut staging = place.open().unwrap();
    put(&mut staging, &PAIR, "old");
    let mut doc = samples::result("verify");
    staging.commit(&mut doc).unwrap();
    fs::write(place.evidence.join(ATTESTATION), "old").unwrap();
    fs::write(place.evidence.join("README.md"), "theirs").unwrap();
}

#[test]
fn a_commit_leaves_its_files_and_nothing_else() {
    let place = place();
    let mut staging = place.open().unwrap();
    put(&mut staging, &PAIR, "new");
    let mut log = staging.start(&"logs/b.log".into()).unwrap();
    for _ in 0..10_000 {
        log.add(b"0123456789").unwrap();
    }
    staging.finish(log).unwrap();
    let mut doc = samples::result("verify");
    staging.commit(&mut doc).unwrap();

    let evidence = Evidence::open(&place.evidence).unwrap();
    assert_eq!(evidence.result, doc);
    assert_eq!(evidence.strays(), []);
    let mut names: Vec<_> = place.tree().into_keys().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "determinism/differences.json",
            "determinism/kept/a/x",
            "logs/a.log",
            "logs/b.log",
            RESULT,
            "security/summary.md"
        ]
    );
    assert_eq!(
        doc.files["logs/b.log"],
        Sha256::of("0123456789".repeat(10_000).as_bytes())
    );
}

#[test]
fn modes_and_owners_are_fixed() {
    let place = place();
    earlier(&place);
    for path in [
        "",
        "result.json",
        "logs",
        "logs/a.log",
        "determinism/kept/a",
    ] {
        let meta = fs::symlink_metadata(place.evidence.join(path)).unwrap();
        let mode = if meta.is_dir() { 0o755 } else { 0o644 };
        assert_eq!(meta.permissions().mode() & 0o7777, mode, "{path}");
        if geteuid_is_root() {
            assert_eq!((meta.uid(), meta.gid()), (ME.uid, ME.gid), "{path}");
        }
    }
}

fn geteuid_is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[test]
fn a_run_removes_an_earlier_pair_and_spares_other_names() {
    let place = place();
    earlier(&place);
    let mut staging = place.open().unwrap();
    put(&mut staging, &SINGLE, "new");
    staging.commit(&mut samples::result("run")).unwrap();
    let names: Vec<_> = place.tree().into_keys().collect();
    assert_eq!(
        names,
        ["README.md", "logs/a.log", RESULT, "security/summary.md"]
    );
}

/// Stops like a killed process: nothing is cleaned up, the lock is gone.
fn die(staging: Staging) {
    staging.folder.unlock().unwrap();
    std::mem::forget(staging);
}

/// For each step of a commit over an earlier result: what a reader finds after a stop there, and
/// that the next command puts it right.
#[test]
fn a_stop_after_any_step_is_whole_or_detected() {
    for exchange in [true, false] {
        for names in [&PAIR[..], &SINGLE[..]] {
            for stop in 0..=STEPS {
                stop_after(stop, names, exchange);
            }
        }
    }
}

/// Three folders, the attestation, the result.
const STEPS: usize = 5;

fn stop_after(stop: usize, names: &[&str], exchange: bool) {
    let place = place();
    earlier(&place);
    let old = Evidence::open(&place.evidence).unwrap().result;
    let mut staging = place.open().unwrap();
    staging.exchange = exchange;
    put(&mut staging, names, "new");
    let mut doc = samples::result("run");
    let mut done = 0;
    let mut published = false;
    if stop > 0 {
        let stopped = staging.commit_watched(&mut doc, &mut |step| {
            done += 1;
            published = step == Step::Publish;
            if done == stop {
                Err(refused("stop", "here")(Errno::EINTR))
            } else {
                Ok(())
            }
        });
        assert!(stopped.is_err(), "stop {stop} was not reached");
    }
    die(staging);

    let evidence = Evidence::open(&place.evidence).unwrap();
    let strays = evidence.strays();
    if published {
        assert_eq!(evidence.result, doc);
        assert_eq!(strays, [], "new result after stop {stop}");
    } else {
        assert_eq!(evidence.result, old);
        assert_eq!(strays.is_empty(), stop == 0, "stop {stop}: {strays:?}");
    }
    drop(evidence);
    assert!(
        place.tree().keys().any(|n| n.starts_with(STAGING)),
        "the stop left something to sweep"
    );

    let mut next = place.open().unwrap();
    put(&mut next, names, "next");
    next.commit(&mut samples::result("run")).unwrap();
    assert_eq!(Evidence::open(&place.evidence).unwrap().strays(), []);
    assert!(!place.tree().keys().any(|n| n.starts_with(STAGING)));
    assert_eq!(
        fs::read(place.evidence.join("README.md")).unwrap(),
        b"theirs"
    );
}

#[test]
fn a_first_commit_that_was_killed_does_not_lock_the_folder_up() {
    let place = place();
    let mut staging = place.open().unwrap();
    put(&mut staging, &PAIR, "new");
    let stop = |_| Err(refused("stop", "here")(Errno::EINTR));
    staging
        .commit_watched(&mut samples::result("run"), &mut { stop })
        .unwrap_err();
    die(staging);
    assert!(Evidence::open(&place.evidence).is_err());
    let mut next = place.open().unwrap();
    put(&mut next, &SINGLE, "next");
    next.commit(&mut samples::result("run")).unwrap();
    assert_eq!(Evidence::open(&place.evidence).unwrap().strays(), []);
}

#[test]
fn what_was_not_committed_leaves_nothing() {
    let place = place();
    earlier(&place);
    let before = place.tree();
    let mut staging = place.open().unwrap();
    put(&mut staging, &PAIR, "new");
    drop(staging);
    assert_eq!(place.tree(), before);
}

#[test]
fn the_living_are_not_swept() {
    let place = place();
    let mut one = place.open().unwrap();
    put(&mut one, &PAIR, "one");
    let mut two = place.open().unwrap();
    put(&mut two, &SINGLE, "two");
    two.commit(&mut samples::result("run")).unwrap();
    one.commit(&mut samples::result("verify")).unwrap();
    let evidence = Evidence::open(&place.evidence).unwrap();
    assert_eq!(
        (evidence.result.command.as_str(), evidence.strays()),
        ("verify", vec![])
    );
}

#[test]
fn a_commit_waits_for_the_one_that_holds_the_folder() {
    let place = place();
    earlier(&place);
    let before = place.tree();
    let mut staging = place.open().unwrap();
    put(&mut staging, &PAIR, "new");
    let held = dir::open(&place.evidence).unwrap();
    held.try_lock().unwrap();
    let commit = std::thread::spawn(move || staging.commit(&mut samples::result("run")));
    std::thread::sleep(Duration::from_millis(50));
    let mut during = place.tree();
    during.retain(|name, _| !name.starts_with(STAGING));
    assert_eq!(during, before);
    held.unlock().unwrap();
    commit.join().unwrap().unwrap();
    assert_eq!(Evidence::open(&place.evidence).unwrap().strays(), []);
    assert_ne!(place.tree(), before);
}

#[test]
fn what_belljar_did_not_write_is_not_replaced() {
    for name in ["logs", "security", RESULT] {
        let place = place();
        fs::create_dir_all(&place.evidence).unwrap();
        let theirs = place.evidence.join(name);
        if name == RESULT {
            fs::write(&theirs, "{\"mine\": 1}").unwrap();
        } else {
            fs::create_dir(&theirs).unwrap();
        }
        let refused = place.open().unwrap_err();
        assert!(
            matches!(refused, EvidenceError::NotOurs { .. }),
            "{refused}"
        );
        assert!(theirs.exists());
    }
}

#[test]
fn a_link_inside_the_root_folder_is_not_followed() {
    let place = place();
    let target = place.root.join("target");
    fs::create_dir(&target).unwrap();
    symlink(&target, place.root.join("deep")).unwrap();
    assert!(place.open().is_err());
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
}

#[test]
fn a_folder_that_can_not_be_written_is_a_sentence() {
    // Not even root can make a folder there.
    let refused = Staging::open(Path::new("/proc/belljar"), Path::new("/build"), ME).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "could not open the folder /proc/belljar: ENOENT (No such file or directory)"
    );
}

#[test]
fn paths_that_lead_out_are_refused() {
    let place = place();
    let mut staging = place.open().unwrap();
    for path in ["../x", "/x", "", "logs/../../x", "."] {
        assert!(staging.write(&path.into(), b"").is_err(), "{path}");
    }
}

#[test]
fn strays_are_named() {
    let place = place();
    earlier(&place);
    fs::write(place.evidence.join("logs/a.log"), "changed").unwrap();
    fs::remove_file(place.evidence.join("determinism/kept/a/x")).unwrap();
    fs::write(place.evidence.join("security/more"), "").unwrap();
    symlink("a.log", place.evidence.join("logs/link")).unwrap();
    let strays = Evidence::open(&place.evidence).unwrap().strays();
    let found: Vec<_> = strays
        .iter()
        .map(|s| (s.path.to_string(), s.what.clone()))
        .collect();
    assert_eq!(
        found,
        [
            ("determinism/kept/a/x".into(), Wrong::Missing),
            ("logs/a.log".into(), Wrong::Changed),
            ("logs/link".into(), Wrong::Unnamed),
            ("security/more".into(), Wrong::Unnamed),
        ]
    );
}

#[test]
fn a_result_that_is_none_is_a_sentence() {
    let place = place();
    earlier(&place);
    for (text, words) in [
        ("{", "result.json is not readable as belljar.result/1: EOF"),
        (
            "{\"schema\":\"belljar.result/2\"}",
            "it says that it is belljar.result/2",
        ),
        ("{\"schema\":\"belljar.result/1\"}", "missing field"),
    ] {
        fs::write(place.evidence.join(RESULT), text).unwrap();
        let error = Evidence::open(&place.evidence).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
