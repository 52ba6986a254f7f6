//! Compares two manifests, path by path.
//!
//! Files with equal digests are never opened; what differs in content goes to `content`.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use belljar_model::{Difference, DifferenceKind, Differences, Entry, EntryKind, OsText};

use crate::{Options, Side, content, explain};

/// All differences between A and B, sorted by path.
pub fn compare(a: Side<'_>, b: Side<'_>, options: Options) -> Differences {
    let mut tree = Compared {
        a,
        b,
        options,
        items: Vec::new(),
    };
    let compared = tree.entries();
    tree.hard_links();
    tree.deleted();
    // Several differences of one path stay in the order in which they were found.
    tree.items.sort_by(|x, y| x.path.cmp(&y.path));
    explain::names(&mut tree.items, a.clock, b.clock);
    Differences {
        schema: Differences::SCHEMA.to_owned(),
        compared,
        items: tree.items,
    }
}

struct Compared<'a> {
    a: Side<'a>,
    b: Side<'a>,
    options: Options,
    items: Vec<Difference>,
}

impl Compared<'_> {
    /// Both lists are sorted: one pass. How many paths there are.
    fn entries(&mut self) -> u64 {
        let mut of_a = self.a.manifest.entries.iter().peekable();
        let mut of_b = self.b.manifest.entries.iter().peekable();
        let mut compared = 0;
        loop {
            let order = match (of_a.peek(), of_b.peek()) {
                (None, None) => return compared,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(x), Some(y)) => x.path.cmp(&y.path),
            };
            compared += 1;
            let left = of_a.next_if(|_| order.is_le());
            let right = of_b.next_if(|_| order.is_ge());
            match (left, right) {
                (Some(x), Some(y)) => self.pair(x, y),
                (Some(x), None) => self.add(&x.path, self.gates(&[x]), DifferenceKind::OnlyInA),
                (None, Some(y)) => self.add(&y.path, self.gates(&[y]), DifferenceKind::OnlyInB),
                (None, None) => return compared,
            }
        }
    }

    fn pair(&mut self, x: &Entry, y: &Entry) {
        let gating = self.gates(&[x, y]);
        let path = &x.path;
        let (type_a, type_b) = (type_name(&x.kind), type_name(&y.kind));
        if type_a != type_b {
            let (a, b) = (type_a.to_owned(), type_b.to_owned());
            return self.add(path, gating, DifferenceKind::Type { a, b });
        }
        if x.mode != y.mode {
            let (a, b) = (format!("{:04o}", x.mode), format!("{:04o}", y.mode));
            self.add(path, gating, DifferenceKind::Mode { a, b });
        }
        match (&x.kind, &y.kind) {
            (EntryKind::Symlink { target: a }, EntryKind::Symlink { target: b }) if a != b => {
                let causes = explain::text(a.as_bytes(), b.as_bytes(), self.a.clock, self.b.clock);
                let (a, b) = (a.clone(), b.clone());
                self.items.push(Difference {
                    path: path.clone(),
                    gating,
                    kind: DifferenceKind::Target { a, b },
                    causes,
                });
            }
            (
                EntryKind::File {
                    size: size_a,
                    sha256: a,
                    ..
                },
                EntryKind::File {
                    size: size_b,
                    sha256: b,
                    ..
                },
            ) if a != b || size_a != size_b => {
                let (kind, causes) = content::explain(self.a, self.b, path, (*size_a, *size_b));
                self.items.push(Difference {
                    path: path.clone(),
                    gating,
                    kind,
                    causes,
                });
            }
            _ => {}
        }
        let names: BTreeSet<&OsText> = x.xattrs.keys().chain(y.xattrs.keys()).collect();
        for name in names {
            if x.xattrs.get(name) != y.xattrs.get(name) {
                let name = name.clone();
                self.add(path, gating, DifferenceKind::Xattr { name });
            }
        }
        let (a_ns, b_ns) = (x.when.mtime_ns, y.when.mtime_ns);
        if self.options.strict_mtime && a_ns != b_ns {
            self.add(path, gating, DifferenceKind::Mtime { a_ns, b_ns });
        }
    }

    /// One difference for each group that is not the same, as far as both sides have its paths.
    fn hard_links(&mut self) {
        let in_a: BTreeMap<&OsText, &Entry> = by_path(&self.a);
        let in_b: BTreeMap<&OsText, &Entry> = by_path(&self.b);
        let (of_a, of_b) = (groups(&self.a, &in_b), groups(&self.b, &in_a));
        let in_group = |of: &[Vec<OsText>]| -> BTreeMap<OsText, usize> {
            let all = of.iter().enumerate();
            all.flat_map(|(i, g)| g.iter().map(move |p| (p.clone(), i)))
                .collect()
        };
        let (index_a, index_b) = (in_group(&of_a), in_group(&of_b));
        let mut told: BTreeSet<OsText> = BTreeSet::new();
        let mut found = Vec::new();
        for path in of_a.iter().chain(&of_b).flatten() {
            let group = |of: &[Vec<OsText>], index: &BTreeMap<OsText, usize>| {
                let at = index.get(path).and_then(|i| of.get(*i));
                at.cloned().unwrap_or_default()
            };
            if told.contains(path) {
                continue;
            }
            let (a, b) = (group(&of_a, &index_a), group(&of_b, &index_b));
            told.extend(a.iter().chain(&b).cloned());
            if a != b {
                let sides = [in_a.get(path), in_b.get(path)];
                let entries: Vec<&Entry> = sides.into_iter().flatten().copied().collect();
                found.push((path.clone(), self.gates(&entries), a, b));
            }
        }
        for (path, gating, a, b) in found {
            self.add(&path, gating, DifferenceKind::HardLinks { a, b });
        }
    }

    fn deleted(&mut self) {
        let a: BTreeSet<&OsText> = self.a.manifest.deleted.iter().collect();
        let b: BTreeSet<&OsText> = self.b.manifest.deleted.iter().collect();
        for (only, run) in [(a.difference(&b), "a"), (b.difference(&a), "b")] {
            for path in only {
                let only_in = run.to_owned();
                self.add(path, true, DifferenceKind::Deleted { only_in });
            }
        }
    }

    fn gates(&self, entries: &[&Entry]) -> bool {
        self.options.strict || entries.iter().all(|e| e.scratch.is_none())
    }

    fn add(&mut self, path: &OsText, gating: bool, kind: DifferenceKind) {
        self.items.push(Difference {
            path: path.clone(),
            gating,
            kind,
            causes: Vec::new(),
        });
    }
}

fn by_path<'m>(side: &Side<'m>) -> BTreeMap<&'m OsText, &'m Entry> {
    side.manifest.entries.iter().map(|e| (&e.path, e)).collect()
}

/// The groups of paths that are links of one file, as far as `other` has the paths too.
fn groups(side: &Side<'_>, other: &BTreeMap<&OsText, &Entry>) -> Vec<Vec<OsText>> {
    let mut members: BTreeMap<u32, Vec<OsText>> = BTreeMap::new();
    for entry in &side.manifest.entries {
        if let Some(group) = entry
            .hardlink_group
            .filter(|_| other.contains_key(&entry.path))
        {
            members.entry(group).or_default().push(entry.path.clone());
        }
    }
    members.into_values().filter(|g| g.len() > 1).collect()
}

fn type_name(kind: &EntryKind) -> &'static str {
    match kind {
        EntryKind::File { .. } => "file",
        EntryKind::Dir => "dir",
        EntryKind::Symlink { .. } => "symlink",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        EntryKind::Device => "device",
    }
}

#[cfg(test)]
mod tests;
