//! Every kind of difference, which of them gate, and that neither side is special.

use std::collections::BTreeMap;
use std::io;

use belljar_model::{Blake3, EntryWhen, Label, Manifest, Scratch, Sha256};
use proptest::prelude::*;

use super::*;
use crate::Tree;

fn file(path: &str, content: &str) -> Entry {
    Entry {
        path: path.into(),
        kind: EntryKind::File {
            size: content.len() as u64,
            blake3: Blake3([0; 32]),
            sha256: Sha256::of(content.as_bytes()),
        },
        mode: 0o644,
        xattrs: BTreeMap::new(),
        hardlink_group: None,
        scratch: None,
        flag: None,
        when: EntryWhen { mtime_ns: 0 },
    }
}

fn manifest(entries: Vec<Entry>) -> Manifest {
    let mut entries = entries;
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Manifest {
        schema: Manifest::SCHEMA.to_owned(),
        run: Label::A,
        entries,
        scratch_list: String::new(),
        left_out: 0,
        deleted: Vec::new(),
    }
}

/// Files whose content is given by path; others can't be read.
struct Contents(BTreeMap<OsText, Vec<u8>>);

impl Tree for Contents {
    fn open(&self, path: &OsText) -> io::Result<Box<dyn io::Read + '_>> {
        let content = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(&content[..]))
    }
}

fn contents(all: &[(&str, &str)]) -> Contents {
    let all = all
        .iter()
        .map(|(p, c)| ((*p).into(), c.as_bytes().to_vec()));
    Contents(all.collect())
}

fn compared(a: &Manifest, b: &Manifest, options: Options) -> Differences {
    let nothing = contents(&[]);
    let side = |manifest| Side {
        manifest,
        tree: &nothing,
        clock: None,
    };
    compare(side(a), side(b), options)
}

fn kinds(all: &Differences) -> Vec<(String, bool, DifferenceKind)> {
    let of = |d: &Difference| (d.path.to_string(), d.gating, d.kind.clone());
    all.items.iter().map(of).collect()
}

#[test]
fn each_kind_of_difference() {
    let with = |change: &dyn Fn(&mut Entry)| {
        let mut entry = file("x", "same");
        change(&mut entry);
        manifest(vec![entry])
    };
    let plain = with(&|_| {});
    let link = |target: &str| {
        let kind = EntryKind::Symlink {
            target: target.into(),
        };
        with(&move |e| e.kind = kind.clone())
    };
    let cases = [
        (plain.clone(), manifest(vec![]), DifferenceKind::OnlyInA),
        (manifest(vec![]), plain.clone(), DifferenceKind::OnlyInB),
        (
            plain.clone(),
            with(&|e| e.kind = EntryKind::Dir),
            DifferenceKind::Type {
                a: "file".into(),
                b: "dir".into(),
            },
        ),
        (
            plain.clone(),
            with(&|e| e.mode = 0o4755),
            DifferenceKind::Mode {
                a: "0644".into(),
                b: "4755".into(),
            },
        ),
        (
            link("one"),
            link("two"),
            DifferenceKind::Target {
                a: "one".into(),
                b: "two".into(),
            },
        ),
        (
            plain.clone(),
            with(&|e| {
                e.xattrs.insert("user.x".into(), Sha256::of(b"1"));
            }),
            DifferenceKind::Xattr {
                name: "user.x".into(),
            },
        ),
        (
            plain.clone(),
            Manifest {
                deleted: vec!["old".into()],
                ..plain.clone()
            },
            DifferenceKind::Deleted {
                only_in: "b".into(),
            },
        ),
    ];
    for (a, b, kind) in cases {
        let found = compared(&a, &b, Options::default());
        let found: Vec<_> = found.items.into_iter().map(|d| d.kind).collect();
        assert_eq!(found, [kind]);
    }
}

#[test]
fn times_count_on_request_alone() {
    let mut later = file("x", "same");
    later.when.mtime_ns = 5;
    let (a, b) = (manifest(vec![file("x", "same")]), manifest(vec![later]));
    assert_eq!(kinds(&compared(&a, &b, Options::default())), []);
    let strict = Options {
        strict_mtime: true,
        ..Options::default()
    };
    let kind = DifferenceKind::Mtime { a_ns: 0, b_ns: 5 };
    assert_eq!(kinds(&compared(&a, &b, strict)), [("x".into(), true, kind)]);
}

#[test]
fn scratch_gates_on_request_alone() {
    let mut scratch = file("config.log", "one");
    let rule = "config.log".into();
    scratch.scratch = Some(Scratch { rule });
    let (a, b) = (manifest(vec![scratch]), manifest(vec![]));
    let gates = |strict| {
        let options = Options {
            strict,
            ..Options::default()
        };
        compared(&a, &b, options).gating().count()
    };
    assert_eq!((gates(false), gates(true)), (0, 1));
    assert_eq!(compared(&a, &b, Options::default()).items.len(), 1);
}

#[test]
fn links_of_one_file_are_compared_as_groups() {
    let linked = |groups: &[(&str, Option<u32>)]| {
        let entry = |(path, group): &(&str, Option<u32>)| {
            let mut entry = file(path, "same");
            entry.hardlink_group = *group;
            entry
        };
        manifest(groups.iter().map(entry).collect())
    };
    let a = linked(&[
        ("p", Some(0)),
        ("q", Some(0)),
        ("r", Some(1)),
        ("s", Some(1)),
    ]);
    // Other numbers for the same groups are no difference.
    let same = linked(&[
        ("p", Some(7)),
        ("q", Some(7)),
        ("r", Some(2)),
        ("s", Some(2)),
    ]);
    assert_eq!(kinds(&compared(&a, &same, Options::default())), []);
    let apart = linked(&[("p", Some(0)), ("q", Some(0)), ("r", None), ("s", None)]);
    let kind = DifferenceKind::HardLinks {
        a: vec!["r".into(), "s".into()],
        b: vec![],
    };
    let found = kinds(&compared(&a, &apart, Options::default()));
    assert_eq!(found, [("r".into(), true, kind)]);
    // A path that is missing is one difference, not one of its group as well.
    let less = linked(&[("p", Some(0)), ("q", Some(0)), ("r", None)]);
    let found = kinds(&compared(&a, &less, Options::default()));
    assert_eq!(found, [("s".into(), true, DifferenceKind::OnlyInA)]);
}

#[test]
fn only_what_differs_is_opened() {
    let (a, b) = (
        manifest(vec![file("same", "x"), file("other", "value one")]),
        manifest(vec![file("same", "x"), file("other", "value two")]),
    );
    // `same` can't be opened: a try would be seen as an unreadable file.
    let (of_a, of_b) = (
        contents(&[("other", "value one")]),
        contents(&[("other", "value two")]),
    );
    let side = |manifest, tree| Side {
        manifest,
        tree,
        clock: None,
    };
    let found = compare(side(&a, &of_a), side(&b, &of_b), Options::default());
    assert_eq!(found.compared, 2);
    assert_eq!(found.items.len(), 1);
    let DifferenceKind::Content {
        regions,
        regions_total: 1,
        ..
    } = &found.items[0].kind
    else {
        panic!("{:?}", found.items[0].kind)
    };
    assert_eq!((regions[0].offset, regions[0].len), (6, 3));
    assert_eq!(regions[0].a, "value one".into());
    assert_eq!(found.items[0].causes[0].slug, "unknown");
}

#[test]
fn what_can_not_be_read_is_said() {
    let (a, b) = (
        manifest(vec![file("x", "1")]),
        manifest(vec![file("x", "2")]),
    );
    let found = compared(&a, &b, Options::default());
    assert_eq!(found.gating().count(), 1);
    let evidence = &found.items[0].causes[0].evidence;
    assert!(
        evidence.starts_with("the content could not be read"),
        "{evidence}"
    );
}

/// The same difference, seen from the other side.
fn turned(kind: DifferenceKind) -> DifferenceKind {
    use DifferenceKind as K;
    match kind {
        K::OnlyInA => K::OnlyInB,
        K::OnlyInB => K::OnlyInA,
        K::Type { a, b } => K::Type { a: b, b: a },
        K::Mode { a, b } => K::Mode { a: b, b: a },
        K::Target { a, b } => K::Target { a: b, b: a },
        K::HardLinks { a, b } => K::HardLinks { a: b, b: a },
        K::Mtime { a_ns, b_ns } => K::Mtime {
            a_ns: b_ns,
            b_ns: a_ns,
        },
        K::Deleted { only_in } => K::Deleted {
            only_in: if only_in == "a" { "b" } else { "a" }.into(),
        },
        K::Content {
            size_a,
            size_b,
            regions,
            regions_total,
        } => K::Content {
            size_a: size_b,
            size_b: size_a,
            regions,
            regions_total,
        },
        K::Xattr { name } => K::Xattr { name },
    }
}

fn any_manifest() -> impl Strategy<Value = Manifest> {
    let kind = prop_oneof![
        "[ab]{0,2}".prop_map(|c| file("", &c).kind),
        "[ab]".prop_map(|t| EntryKind::Symlink { target: t.into() }),
        Just(EntryKind::Dir),
    ];
    let entry = (
        kind,
        0u32..2,
        proptest::option::of(0u32..3),
        0i64..2,
        any::<bool>(),
    );
    let entries = proptest::collection::btree_map("[a-d]{1,2}", entry, 0..10);
    let deleted = proptest::collection::btree_set("[e-g]", 0..3);
    (entries, deleted).prop_map(|(entries, deleted)| {
        let all = entries
            .into_iter()
            .map(|(path, (kind, mode, group, time, xattr))| {
                let mut entry = file(&path, "");
                entry.hardlink_group = group.filter(|_| kind != EntryKind::Dir);
                (entry.kind, entry.mode, entry.when.mtime_ns) = (kind, mode, time);
                if xattr {
                    entry.xattrs.insert("user.x".into(), Sha256::of(b"1"));
                }
                entry
            });
        let mut manifest = manifest(all.collect());
        manifest.deleted = deleted.into_iter().map(OsText::from).collect();
        manifest
    })
}

proptest! {
    #[test]
    fn nothing_differs_from_itself(m in any_manifest()) {
        let strict = Options { strict: true, strict_mtime: true };
        prop_assert_eq!(kinds(&compared(&m, &m, strict)), []);
    }

    #[test]
    fn neither_side_is_special(a in any_manifest(), b in any_manifest()) {
        let strict = Options { strict: true, strict_mtime: true };
        let one = compared(&a, &b, strict);
        let other = compared(&b, &a, strict);
        prop_assert_eq!(one.compared, other.compared);
        let sorted = |mut all: Vec<(String, bool, DifferenceKind)>| {
            all.sort_by_key(|(path, _, kind)| (path.clone(), format!("{kind:?}")));
            all
        };
        let back = kinds(&other).into_iter().map(|(p, g, k)| (p, g, turned(k))).collect();
        prop_assert_eq!(sorted(kinds(&one)), sorted(back));
    }
}
