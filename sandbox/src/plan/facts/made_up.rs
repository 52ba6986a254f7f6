//! A made-up host for tests: a few files, folders and links.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Cursor};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

use super::{Caller, Kind, Readable, View};
use crate::plan::Ids;

/// The made-up host.
pub(in crate::plan) struct MadeUp {
    nodes: BTreeMap<PathBuf, Node>,
    /// What git answers.
    pub(in crate::plan) git: Result<Vec<u8>, String>,
    /// Folders that can't be written.
    pub(in crate::plan) read_only: Vec<PathBuf>,
}

enum Node {
    Folder,
    File(Vec<u8>),
    Link(PathBuf),
}

impl MadeUp {
    /// `/path/` is a folder, `-> target` as content a link, anything else a file; folders above
    /// are made.
    pub(in crate::plan) fn new(nodes: &[(&str, &str)]) -> Self {
        let mut made = Self {
            nodes: [(PathBuf::from("/"), Node::Folder)].into(),
            git: Err("there is no git".into()),
            read_only: Vec::new(),
        };
        for (path, content) in nodes {
            made.add(path, content);
        }
        made
    }

    /// Adds one.
    pub(in crate::plan) fn add(&mut self, path: &str, content: &str) {
        for dir in Path::new(path).ancestors().skip(1) {
            self.nodes.entry(dir.to_owned()).or_insert(Node::Folder);
        }
        let node = match content.strip_prefix("-> ") {
            Some(to) => Node::Link(to.into()),
            None if path.ends_with('/') => Node::Folder,
            None => Node::File(content.into()),
        };
        self.nodes.insert(path.trim_end_matches('/').into(), node);
    }

    /// Ada, in /home/ada/app, with a usual PATH and these variables.
    pub(in crate::plan) fn caller(env: &[(&str, &str)]) -> Caller {
        let usual = [
            ("HOME", "/home/ada"),
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ];
        Caller {
            ids: Ids {
                uid: 1001,
                gid: 1001,
            },
            cwd: "/home/ada/app".into(),
            env: usual
                .iter()
                .chain(env)
                .map(|(k, v)| (OsString::from(k), OsString::from(v)))
                .collect(),
            terminal: false,
        }
    }

    fn walk(&self, path: &Path, hops: u32) -> Result<PathBuf, Errno> {
        if hops > 40 {
            return Err(Errno::ELOOP);
        }
        let mut at = PathBuf::from("/");
        let mut parts = path.components();
        while let Some(part) = parts.next() {
            match part {
                Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
                Component::ParentDir => {
                    at.pop();
                    continue;
                }
                Component::Normal(name) => at.push(name),
            }
            match self.nodes.get(&at).ok_or(Errno::ENOENT)? {
                Node::Link(to) => {
                    at.pop();
                    return self.walk(&at.join(to).join(parts.as_path()), hops + 1);
                }
                Node::File(_) if parts.clone().next().is_some() => return Err(Errno::ENOTDIR),
                _ => {}
            }
        }
        Ok(at)
    }

    /// The node at a path whose folders are resolved and whose last name is not.
    fn node(&self, path: &Path) -> Option<&Node> {
        match (path.parent(), path.file_name()) {
            (Some(dir), Some(name)) => self.nodes.get(&self.walk(dir, 0).ok()?.join(name)),
            _ => self.nodes.get(path),
        }
    }

    fn content(&self, path: &Path) -> Option<&[u8]> {
        match self.nodes.get(&self.walk(path, 0).ok()?)? {
            Node::File(content) => Some(content),
            _ => None,
        }
    }
}

fn kind(node: &Node) -> Kind {
    match node {
        Node::Folder => Kind::Folder,
        Node::File(_) => Kind::File,
        Node::Link(_) => Kind::Link,
    }
}

impl View for MadeUp {
    fn kind(&self, path: &Path) -> Option<Kind> {
        self.node(path).map(kind)
    }
    fn names(&self, dir: &Path) -> BTreeMap<OsString, Kind> {
        let Ok(dir) = self.walk(dir, 0) else {
            return BTreeMap::new();
        };
        self.nodes
            .iter()
            .filter(|(p, _)| p.parent() == Some(&dir))
            .filter_map(|(p, node)| Some((p.file_name()?.to_owned(), kind(node))))
            .collect()
    }
    fn socket_below(&self, _: &Path) -> Option<PathBuf> {
        None
    }
    fn link(&self, path: &Path) -> Option<PathBuf> {
        match self.node(path)? {
            Node::Link(to) => Some(to.clone()),
            _ => None,
        }
    }
    fn canonical(&self, path: &Path) -> Result<PathBuf, Errno> {
        self.walk(path, 0)
    }
    fn owner(&self, path: &Path) -> Result<Ids, Errno> {
        self.walk(path, 0).map(|_| Ids {
            uid: 1001,
            gid: 1001,
        })
    }
    fn small(&self, path: &Path) -> Option<Vec<u8>> {
        self.content(path).map(<[u8]>::to_vec)
    }
    fn open(&self, path: &Path) -> Option<Box<dyn Readable>> {
        Some(Box::new(Cursor::new(self.small(path)?)))
    }
    fn writable(&self, dir: &Path) -> bool {
        !self.read_only.iter().any(|p| p == dir)
    }
    fn git(&self, _: &Path, _: &[&str]) -> io::Result<Vec<u8>> {
        self.git.clone().map_err(io::Error::other)
    }
}
