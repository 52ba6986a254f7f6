//! The file table: what of the host stands inside, read-only, with a reason for each line.
//!
//! What is not in the table is not there. Nothing in it is secret: no private keys, no
//! credentials, no machine id, no other users.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use belljar_model::OsText;

use super::{HostEntry, HostEntryKind, Kind, View};

/// One line: a path of the host and why builds need it.
struct Line {
    path: &'static str,
    reason: &'static str,
}

macro_rules! table {
    ($($reason:literal: $($path:literal)+;)+) => { &[$($(Line { path: $path, reason: $reason },)+)+] };
}

/// The system itself.
const SYSTEM: &[Line] = table! {
    "compilers, tools and libraries": "/usr" "/bin" "/sbin" "/lib" "/lib32" "/lib64" "/libx32";
    "packages of the nix store": "/nix/store";
    "packages of the guix store": "/gnu/store";
    "package data base: dpkg-query, dpkg-architecture, build dependencies": "/var/lib/dpkg";
    "package data base: rpm": "/var/lib/rpm";
    "package data base: pacman": "/var/lib/pacman/local";
};

/// What of `/etc` builds read.
const ETC: &[Line] = table! {
    "which of several tools a name stands for": "/etc/alternatives";
    "where libraries are": "/etc/ld.so.cache" "/etc/ld.so.conf" "/etc/ld.so.conf.d";
    "certificates of public authorities": "/etc/ssl/certs" "/etc/ssl/cert.pem" "/etc/ca-certificates/extracted"
        "/etc/pki/tls/certs" "/etc/pki/tls/cert.pem" "/etc/pki/ca-trust"
        "/etc/pki/java";
    "configuration of TLS libraries": "/etc/ssl/openssl.cnf" "/etc/pki/tls/openssl.cnf"
        "/etc/crypto-policies";
    "which distribution this is": "/etc/os-release" "/etc/debian_version" "/etc/lsb-release"
        "/etc/redhat-release" "/etc/fedora-release" "/etc/system-release" "/etc/alpine-release"
        "/etc/arch-release" "/etc/SuSE-release" "/etc/gentoo-release";
    "packaging: origins and vendor": "/etc/dpkg" "/etc/rpm";
    "packaging: sources and their keys": "/etc/apt/apt.conf" "/etc/apt/apt.conf.d" "/etc/apt/keyrings"
        "/etc/apt/preferences" "/etc/apt/preferences.d" "/etc/apt/sources.list"
        "/etc/apt/sources.list.d" "/etc/apt/trusted.gpg" "/etc/apt/trusted.gpg.d";
    "fonts for documents and images": "/etc/fonts" "/etc/X11/fonts";
    "terminal descriptions": "/etc/terminfo";
    "names of services and protocols": "/etc/services" "/etc/protocols" "/etc/rpc" "/etc/ethertypes";
    "file types": "/etc/mime.types" "/etc/magic" "/etc/magic.mime";
    "names of locales": "/etc/locale.alias";
    "interpreters": "/etc/perl" "/etc/ruby" "/etc/lua" "/etc/guile";
    "document tools": "/etc/texmf" "/etc/xml" "/etc/sgml" "/etc/groff" "/etc/papersize" "/etc/ghostscript"
        "/etc/papersize.d";
    "java build tools": "/etc/maven" "/etc/ant" "/etc/gradle";
    "OpenCL drivers": "/etc/OpenCL";
};

/// What covers a file.
pub(crate) const NOTHING: &str = "/dev/null";

/// Families of names in `/etc` that carry a version.
const ETC_FAMILIES: &[Line] = table! {
    "java runtimes": "java-" "java";
    "interpreters": "python2" "python3" "ruby" "php";
    "where libraries are": "ld-musl-";
    "image tools": "ImageMagick-";
};

/// Files below `/usr` that hold tokens where somebody made the machine so (images of cargo, npm's
/// system-wide configuration): an empty device covers them. Others are readable to the build as far
/// as any user may read them.
const SECRETS: [&str; 5] = [
    "/usr/etc/npmrc",
    "/usr/local/cargo/credentials",
    "/usr/local/cargo/credentials.toml",
    "/usr/local/etc/netrc",
    "/usr/local/etc/npmrc",
];

/// A regular file up to this size is copied instead of bound: three calls instead of a mount.
const COPIED: usize = 64 << 10;

/// The lines that this host has, in mount order.
pub(super) fn entries(view: &dyn View) -> Vec<HostEntry> {
    let mut table = Table {
        view,
        listed: BTreeMap::new(),
        entries: BTreeMap::new(),
    };
    for line in SYSTEM {
        table.add(
            Path::new(line.path),
            view.kind(Path::new(line.path)),
            line.reason,
        );
    }
    for line in ETC {
        let path = Path::new(line.path);
        let kind = table.kind(path);
        table.add(path, kind, line.reason);
    }
    for (name, kind) in table.folder(Path::new("/etc")).clone() {
        let family = |l: &&Line| name.to_str().is_some_and(|n| family(n, l.path));
        if let Some(line) = ETC_FAMILIES.iter().find(family) {
            table.add(&Path::new("/etc").join(&name), Some(kind), line.reason);
        }
    }
    for secret in SECRETS.map(Path::new) {
        if view.kind(secret) == Some(Kind::File) {
            table.entries.insert(secret.to_owned(), covered(secret));
        }
    }
    table.entries.into_values().collect()
}

/// What a build is not to read, in a folder that it sees.
fn covered(path: &Path) -> HostEntry {
    HostEntry {
        target: path.into(),
        kind: HostEntryKind::Bind {
            source: NOTHING.into(),
        },
        reason: "may hold a token: covered",
    }
}

/// `java-17-openjdk` is of the family `java-`, `python3.11` of `python3`, `javascript` of none.
fn family(name: &str, stem: &str) -> bool {
    name.strip_prefix(stem).is_some_and(|rest| {
        stem.ends_with('-')
            || rest.is_empty()
            || rest.starts_with(|c: char| c.is_ascii_digit() || c == '.')
    })
}

struct Table<'a> {
    view: &'a dyn View,
    /// Folders that were read: one reading answers for all lines in it.
    listed: BTreeMap<PathBuf, BTreeMap<OsString, Kind>>,
    entries: BTreeMap<PathBuf, HostEntry>,
}

impl Table<'_> {
    fn folder(&mut self, dir: &Path) -> &BTreeMap<OsString, Kind> {
        let view = self.view;
        self.listed
            .entry(dir.to_owned())
            .or_insert_with(|| view.names(dir))
    }

    fn kind(&mut self, path: &Path) -> Option<Kind> {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return None;
        };
        // Below /etc a folder is read only if the one above names it.
        if dir != Path::new("/etc") && self.kind(dir) != Some(Kind::Folder) {
            return None;
        }
        self.folder(dir).get(name).copied()
    }

    fn add(&mut self, path: &Path, kind: Option<Kind>, reason: &'static str) {
        let kind = match kind {
            Some(Kind::Folder) => HostEntryKind::Bind {
                source: path.to_owned(),
            },
            Some(Kind::File) => self.file(path),
            Some(Kind::Link) => match self.link(path) {
                Some(kind) => kind,
                None => return,
            },
            Some(Kind::Other) | None => return,
        };
        let entry = HostEntry {
            target: path.into(),
            kind,
            reason,
        };
        self.entries.insert(path.to_owned(), entry);
    }

    fn file(&self, path: &Path) -> HostEntryKind {
        match self.view.small(path) {
            Some(content) if content.len() <= COPIED => HostEntryKind::Made { content },
            _ => HostEntryKind::Bind {
                source: path.to_owned(),
            },
        }
    }

    /// A link stays one where what it points to stands inside too; else what it points to stands
    /// in its place. A link to nowhere is left out.
    fn link(&self, path: &Path) -> Option<HostEntryKind> {
        let to = self.view.link(path)?;
        let end = lexical(&path.parent()?.join(&to));
        if visible(&self.targets(), &end) {
            return Some(HostEntryKind::Symlink {
                to: to.into_os_string().into(),
            });
        }
        let source = self.view.canonical(path).ok()?;
        match self.view.kind(&source)? {
            Kind::Folder => Some(HostEntryKind::Bind { source }),
            Kind::File => Some(self.file(&source)),
            Kind::Link | Kind::Other => None,
        }
    }

    fn targets(&self) -> BTreeSet<&Path> {
        self.entries.keys().map(PathBuf::as_path).collect()
    }
}

/// Whether a path stands inside by one of these entries.
fn visible(targets: &BTreeSet<&Path>, path: &Path) -> bool {
    path.ancestors().any(|a| targets.contains(a))
}

/// Takes `.` and `..` out by the text alone.
pub(crate) fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// Whether a canonical path of the host stands at the same place inside.
pub(super) fn shows(entries: &[HostEntry], path: &Path) -> bool {
    entries.iter().any(|e| {
        let same =
            matches!(&e.kind, HostEntryKind::Bind { source } if source == e.target.as_path());
        same && path.starts_with(e.target.as_path())
    })
}

/// What documents say of the target of an entry: a path below the caller's home without naming
/// the caller.
pub(super) fn documented(target: &OsText, home: Option<&Path>) -> OsText {
    match home.and_then(|h| target.as_path().strip_prefix(h).ok()) {
        Some(rest) => Path::new("$HOME").join(rest).as_path().into(),
        None => target.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::facts::made_up::MadeUp;

    fn shown(nodes: &[(&str, &str)]) -> Vec<String> {
        entries(&MadeUp::new(nodes))
            .iter()
            .map(|e| match &e.kind {
                HostEntryKind::Bind { source } => format!("{} = {}", e.target, source.display()),
                HostEntryKind::Symlink { to } => format!("{} -> {to}", e.target),
                HostEntryKind::Made { content } => {
                    format!("{} : {}", e.target, String::from_utf8_lossy(content))
                }
                HostEntryKind::Cache { .. } | HostEntryKind::Covered { .. } => unreachable!(),
            })
            .collect()
    }

    #[test]
    fn folders_of_a_merged_usr_are_links_and_of_a_split_one_mounts() {
        let merged = [
            ("/usr/bin/x", ""),
            ("/bin", "-> usr/bin"),
            ("/lib64", "-> usr/lib64"),
        ];
        assert_eq!(
            shown(&merged),
            ["/bin -> usr/bin", "/lib64 -> usr/lib64", "/usr = /usr"]
        );
        let split = [("/usr/bin/x", ""), ("/bin/sh", ""), ("/lib/x", "")];
        assert_eq!(shown(&split), ["/bin = /bin", "/lib = /lib", "/usr = /usr"]);
    }

    #[test]
    fn a_link_out_of_the_table_is_replaced_by_what_it_points_to() {
        let nodes = [
            ("/usr/lib/os-release", "ID=x"),
            ("/etc/os-release", "-> ../usr/lib/os-release"),
            ("/etc/services", "-> /srv/services"),
            ("/srv/services", "ssh"),
            ("/etc/fonts", "-> /srv/fonts"),
            ("/srv/fonts/", ""),
            ("/etc/protocols", "-> /nowhere"),
            ("/etc/magic", "-> magic"),
        ];
        assert_eq!(
            shown(&nodes),
            [
                "/etc/fonts = /srv/fonts",
                "/etc/os-release -> ../usr/lib/os-release",
                "/etc/services : ssh",
                "/usr = /usr"
            ]
        );
    }

    #[test]
    fn nothing_secret_stands_inside() {
        let secret = [
            "/etc/shadow",
            "/etc/gshadow",
            "/etc/ssh/ssh_host_key",
            "/etc/machine-id",
            "/etc/ssl/private/key.pem",
            "/etc/pki/tls/private/key.pem",
            "/etc/apt/auth.conf",
            "/etc/apt/auth.conf.d/x",
            "/etc/hosts",
            "/etc/resolv.conf",
            "/etc/passwd",
            "/etc/krb5.keytab",
            "/etc/environment",
            "/etc/ld.so.preload",
            "/etc/javascript-common/x",
            "/etc/sudoers",
            "/etc/docker/key.json",
            "/etc/npmrc",
            "/etc/pip.conf",
            "/root/.ssh/id",
            "/home/ada/.ssh/id",
            "/var/lib/secret",
            "/run/secrets/x",
        ];
        let nodes: Vec<_> = secret.iter().map(|p| (*p, "secret")).collect();
        assert_eq!(shown(&nodes), Vec::<String>::new());
    }

    #[test]
    fn tokens_below_usr_are_covered() {
        let nodes = [
            ("/usr/local/cargo/credentials.toml", "secret"),
            ("/usr/local/cargo/config.toml", ""),
        ];
        assert_eq!(
            shown(&nodes),
            [
                "/usr = /usr",
                "/usr/local/cargo/credentials.toml = /dev/null"
            ]
        );
    }

    #[test]
    fn families_are_whole_words() {
        assert!(
            family("java-17-openjdk", "java-")
                && family("python3.11", "python3")
                && family("php", "php")
        );
        assert!(!family("javascript-common", "java") && !family("rubygems", "ruby"));
    }

    #[test]
    fn homes_are_not_named_in_documents() {
        let home = Some(Path::new("/home/ada"));
        assert_eq!(
            documented(&"/home/ada/.pyenv".into(), home),
            "$HOME/.pyenv".into()
        );
        assert_eq!(
            documented(&"/home/adam/x".into(), home),
            "/home/adam/x".into()
        );
        assert_eq!(documented(&"/usr".into(), None), "/usr".into());
    }

    #[test]
    fn each_line_has_its_reason_and_its_place() {
        let all: Vec<_> = SYSTEM.iter().chain(ETC).collect();
        let paths: BTreeSet<_> = all.iter().map(|l| l.path).collect();
        assert_eq!(paths.len(), all.len(), "a path stands twice");
        assert!(
            all.iter()
                .all(|l| l.path.starts_with('/') && !l.reason.is_empty())
        );
    }
}
