//! Wheels in pip's cache, by name.
//!
//! pip keeps what it downloaded by the digest of the address and asks the index about every name
//! each time, so its cache alone serves nothing without a network. A folder with a link of the
//! right name to each wheel does, by `PIP_FIND_LINKS`. A wheel that pip built has its name; one
//! that it downloaded tells it by its own metadata.

use std::collections::BTreeMap;
use std::path::Path;

use super::zip;
use crate::plan::{HostEntry, HostEntryKind, Kind, View};

/// Where the links stand inside.
pub(super) const INSIDE: &str = "/home/builder/.cache/wheels";

/// Where pip's cache stands inside.
const CACHE: &str = "/home/builder/.cache/pip";

/// Wheels beyond this number are left out.
const MOST: usize = 20_000;

/// A link for each wheel in the cache at `home`.
pub(super) fn links(home: &Path, view: &dyn View) -> Vec<HostEntry> {
    let mut found = BTreeMap::new();
    for folder in ["wheels", "http-v2"] {
        walk(&home.join(folder), 6, view, &mut |path| {
            if found.len() < MOST
                && let Some(name) = name(path, view)
            {
                found.entry(name).or_insert_with(|| path.to_owned());
            }
        });
    }
    found
        .into_iter()
        .filter_map(|(name, path)| {
            let to = Path::new(CACHE).join(path.strip_prefix(home).ok()?);
            Some(HostEntry {
                target: Path::new(INSIDE).join(name).as_path().into(),
                kind: HostEntryKind::Symlink {
                    to: to.as_path().into(),
                },
                reason: "a wheel in pip's cache, by name",
            })
        })
        .collect()
}

fn walk(dir: &Path, depth: usize, view: &dyn View, each: &mut dyn FnMut(&Path)) {
    for (name, kind) in view.names(dir) {
        let path = dir.join(name);
        match kind {
            Kind::Folder if depth > 0 => walk(&path, depth - 1, view, each),
            Kind::File => each(&path),
            _ => {}
        }
    }
}

/// A wheel's name; nothing if it is none.
fn name(path: &Path, view: &dyn View) -> Option<String> {
    let extension = path.extension()?.to_str()?;
    let name = match extension {
        "whl" => path.file_name()?.to_str()?.to_owned(),
        "body" => told(&mut *view.open(path)?)?,
        _ => return None,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+!".contains(c);
    (name.len() < 255 && name.chars().all(plain) && !name.starts_with('.')).then_some(name)
}

/// The name that a wheel's metadata gives it: `NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl`.
fn told(file: &mut dyn crate::plan::facts::Readable) -> Option<String> {
    let (member, text) = zip::member(file, |name| {
        name.ends_with(".dist-info/WHEEL") && name.matches('/').count() == 1
    })?;
    let stem = member.strip_suffix(".dist-info/WHEEL")?;
    let text = String::from_utf8(text).ok()?;
    let field = |line: &str, key: &str| Some(line.strip_prefix(key)?.trim().to_owned());
    let build = text.lines().find_map(|l| field(l, "Build:"));
    let mut parts: [Vec<String>; 3] = [const { Vec::new() }; 3];
    for tag in text.lines().filter_map(|l| field(l, "Tag:")) {
        let tag: Vec<_> = tag.split('-').collect();
        if tag.len() != 3 {
            return None;
        }
        for (part, value) in parts.iter_mut().zip(tag) {
            if !part.iter().any(|p| p == value) {
                part.push(value.to_owned());
            }
        }
    }
    if parts[0].is_empty() {
        return None;
    }
    let tags = parts.map(|p| p.join(".")).join("-");
    let build = build.map(|b| format!("-{b}")).unwrap_or_default();
    Some(format!("{stem}{build}-{tags}.whl"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Real;
    use crate::plan::caches::zip::tests::archive;
    use std::path::PathBuf;

    fn named(entries: &[HostEntry]) -> BTreeMap<String, PathBuf> {
        let link = |e: &HostEntry| match &e.kind {
            HostEntryKind::Symlink { to } => to.as_path().to_owned(),
            _ => panic!("no link"),
        };
        let name = |e: &HostEntry| e.target.as_path().file_name().unwrap().to_owned();
        entries
            .iter()
            .map(|e| (name(e).into_string().unwrap(), link(e)))
            .collect()
    }

    #[test]
    fn wheels_are_found_by_name_wherever_pip_keeps_them() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, bytes: &[u8]| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        put(
            "wheels/1a/b0/8c/4b75/docopt-0.6.2-py2.py3-none-any.whl",
            b"",
        );
        put("wheels/1a/b0/8c/4b75/origin.json", b"{}");
        let wheel = "Wheel-Version: 1.0\nTag: cp311-cp311-manylinux_2_17_x86_64\n\
                     Tag: cp311-cp311-manylinux2014_x86_64\n";
        let members = [
            ("x/RECORD", "r"),
            ("MarkupSafe-2.1.5.dist-info/WHEEL", wheel),
        ];
        put("http-v2/a/b/c/d/e/abcde", b"\x82");
        put("http-v2/a/b/c/d/e/abcde.body", &archive(&members));
        put("http-v2/a/b/c/d/f/f.body", b"no archive");
        put(
            "http-v2/a/b/c/d/9/9.body",
            &archive(&[("../../x.dist-info/WHEEL", "Tag: a-b-c\n")]),
        );
        let found = named(&links(dir.path(), &Real));
        let names: Vec<_> = found.keys().map(String::as_str).collect();
        let markupsafe =
            "MarkupSafe-2.1.5-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
        assert_eq!(names, [markupsafe, "docopt-0.6.2-py2.py3-none-any.whl"]);
        let at = Path::new("/home/builder/.cache/pip/http-v2/a/b/c/d/e/abcde.body");
        assert_eq!(found[markupsafe], at);
    }
}
