//! `determinism/kept/`: the differing files themselves, so that a difference can be looked at, and
//! `diff` run again, long after both workspaces are gone.
//!
//! Whole files or none: half an archive can't be opened. A file of up to 8 MiB covers nearly all
//! objects, libraries and packages; 64 MiB in all keep evidence small enough for every CI system
//! to store with each build. What is left out is named in `differences.json` with its digests.

use std::collections::BTreeSet;
use std::io::{self, Read};

use belljar_compare::Tree;
use belljar_model::{DifferenceKind, Differences, EntryKind, Label, Manifest, OsText};

use super::error::EvidenceError;
use super::folder::Staging;

/// The largest file that is kept.
const LARGEST: u64 = 8 << 20;
/// All that is kept of one run.
const ALL: u64 = 32 << 20;

/// Copies the differing files of one run below `determinism/kept/`.
pub fn keep(
    differences: &Differences,
    manifest: &Manifest,
    tree: &dyn Tree,
    to: &mut Staging,
) -> Result<(), EvidenceError> {
    for (path, size) in choose(differences, manifest) {
        // What can't be read again is not kept; the digests are in the manifest.
        if let Ok(file) = tree.open(path) {
            copy(file, size, manifest.run, path, to)?;
        }
    }
    Ok(())
}

fn copy(
    mut from: impl Read,
    size: u64,
    run: Label,
    path: &OsText,
    to: &mut Staging,
) -> Result<(), EvidenceError> {
    let mut name = format!("determinism/kept/{}/", run.lower()).into_bytes();
    name.extend_from_slice(path.as_bytes());
    let mut kept = to.start(&name.into())?;
    let mut buffer = vec![0; 64 << 10];
    let mut left = size;
    while left > 0 {
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        match from.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(n) => {
                kept.add(&buffer[..n])?;
                left -= n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    to.finish(kept)
}

/// Which files of a run, with their sizes: those that gate first, each group in the order of paths.
fn choose<'a>(differences: &'a Differences, manifest: &Manifest) -> Vec<(&'a OsText, u64)> {
    let mut chosen = Vec::new();
    let mut seen = BTreeSet::new();
    let mut left = ALL;
    for gating in [true, false] {
        for difference in differences.items.iter().filter(|d| d.gating == gating) {
            if !of_content(&difference.kind) || !seen.insert(&difference.path) {
                continue;
            }
            let Some(size) = size(manifest, &difference.path) else {
                continue;
            };
            if size <= LARGEST && size <= left {
                left -= size;
                chosen.push((&difference.path, size));
            }
        }
    }
    chosen
}

/// Whether the bytes of the file are part of the difference.
fn of_content(kind: &DifferenceKind) -> bool {
    use DifferenceKind as K;
    matches!(
        kind,
        K::Content { .. } | K::OnlyInA | K::OnlyInB | K::Type { .. }
    )
}

/// The size of a regular file; manifests are sorted by path.
fn size(manifest: &Manifest, path: &OsText) -> Option<u64> {
    let entries = &manifest.entries;
    let at = entries.binary_search_by(|e| e.path.cmp(path)).ok()?;
    match entries[at].kind {
        EntryKind::File { size, .. } => Some(size),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use belljar_model::{Blake3, Difference, Entry, EntryWhen, Sha256};
    use belljar_sandbox::plan::Ids;

    use super::*;
    use crate::evidence::samples;

    fn manifest(files: &[(&str, u64)]) -> Manifest {
        let entries = files.iter().map(|(path, size)| Entry {
            path: (*path).into(),
            kind: EntryKind::File {
                size: *size,
                blake3: Blake3([0; 32]),
                sha256: Sha256::of(b""),
            },
            mode: 0o644,
            xattrs: std::collections::BTreeMap::new(),
            hardlink_group: None,
            scratch: None,
            flag: None,
            when: EntryWhen { mtime_ns: 0 },
        });
        Manifest {
            schema: Manifest::SCHEMA.into(),
            run: Label::A,
            entries: entries.collect(),
            scratch_list: "1".into(),
            left_out: 0,
            deleted: vec![],
        }
    }

    fn differences(items: &[(&str, bool, DifferenceKind)]) -> Differences {
        let items = items.iter().map(|(path, gating, kind)| Difference {
            path: (*path).into(),
            gating: *gating,
            kind: kind.clone(),
            causes: vec![],
        });
        Differences {
            items: items.collect(),
            ..samples::differences()
        }
    }

    #[test]
    fn gating_files_first_and_no_more_than_fits() {
        use DifferenceKind as K;
        let mode = K::Mode {
            a: "644".into(),
            b: "755".into(),
        };
        let files = [
            ("a", 5),
            ("b", LARGEST + 1),
            ("c", LARGEST),
            ("d", LARGEST),
            ("e", LARGEST),
            ("f", LARGEST),
            ("g", 1),
            ("s", 2),
        ];
        let names: Vec<_> = ["s", "a", "a", "b", "c", "d", "e", "f", "g", "gone"]
            .into_iter()
            .map(|p| {
                (
                    p,
                    p != "s",
                    if p == "g" { mode.clone() } else { K::OnlyInA },
                )
            })
            .collect();
        let (differences, manifest) = (differences(&names), manifest(&files));
        let chosen: Vec<_> = choose(&differences, &manifest)
            .into_iter()
            .map(|(p, _)| p.to_string())
            .collect();
        assert_eq!(
            chosen,
            ["a", "c", "d", "e", "s"],
            "f no longer fits, s still does"
        );
    }

    #[test]
    fn kept_files_are_named_in_the_result() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let folder = root.join("evidence");
        let mut staging = Staging::open(&folder, &root, Ids { uid: 0, gid: 0 }).unwrap();
        let odd = "sub/odd\n\\name";
        let differences = differences(&[
            (odd, true, DifferenceKind::OnlyInA),
            ("unreadable", true, DifferenceKind::OnlyInA),
        ]);
        let tree = |path: &OsText| {
            let name = if path.as_bytes() == odd.as_bytes() {
                "content"
            } else {
                "missing"
            };
            std::fs::write(root.join("content"), "0123456789").unwrap();
            std::fs::File::open(root.join(name))
        };
        keep(
            &differences,
            &manifest(&[(odd, 4), ("unreadable", 4)]),
            &tree,
            &mut staging,
        )
        .unwrap();
        let mut doc = samples::result("verify");
        staging.commit(&mut doc).unwrap();
        assert_eq!(
            std::fs::read(folder.join("determinism/kept/a").join(odd)).unwrap(),
            b"0123",
            "no more than the manifest says"
        );
        let names: Vec<_> = doc.files.keys().collect();
        assert_eq!(names, ["determinism/kept/a/sub/odd\\x0a\\\\name"]);
        let evidence = crate::evidence::read::Evidence::open(&folder).unwrap();
        assert_eq!(evidence.strays(), []);
    }
}
