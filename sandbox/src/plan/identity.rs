//! The identity that every build has, everywhere the same: host, user, names, time zone.

use super::{HostEntry, HostEntryKind};

/// The home folder inside.
pub(super) const HOME: &str = "/home/builder";

/// The user inside.
pub(super) const USER: &str = "builder";

/// The files that belljar makes, with the reason for each.
const MADE: &[(&str, &str, &str)] = &[
    (
        "/etc/passwd",
        "the users: root, builder, nobody",
        "root:x:0:0:root:/root:/bin/sh\n\
         builder:x:1000:1000:builder:/home/builder:/bin/sh\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    (
        "/etc/group",
        "the groups: root, tty, builder, nogroup",
        "root:x:0:\ntty:x:5:\nbuilder:x:1000:\nnogroup:x:65534:\n",
    ),
    ("/etc/hostname", "the host's name", "belljar\n"),
    (
        "/etc/hosts",
        "loopback and the host itself, nobody else",
        "127.0.0.1 localhost belljar\n::1 localhost ip6-localhost ip6-loopback\n",
    ),
    // Loopback is where the sandbox's own name socket hears who asks for which name and answers
    // that there is none. One attempt of a second: where it is not served, nobody waits long.
    (
        "/etc/resolv.conf",
        "name look-ups end at the sandbox's own name socket",
        "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n",
    ),
    // `files` for all, so that nothing asks nscd, sssd or systemd; hosts with `dns`, so that a
    // look-up is seen and its record names the host.
    (
        "/etc/nsswitch.conf",
        "names come from these files",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n\
         protocols: files\nservices: files\nethers: files\nrpc: files\n",
    ),
    (
        "/etc/gitconfig",
        "git trusts the mounted source, whoever owns it",
        "[safe]\n\tdirectory = *\n",
    ),
    ("/etc/timezone", "UTC", "Etc/UTC\n"),
];

/// The identity's files.
pub(super) fn entries() -> Vec<HostEntry> {
    let made = MADE.iter().map(|(path, reason, content)| HostEntry {
        target: (*path).into(),
        kind: HostEntryKind::Made {
            content: content.as_bytes().to_vec(),
        },
        reason,
    });
    let links = [
        ("/etc/localtime", "/usr/share/zoneinfo/Etc/UTC", "UTC"),
        (
            "/etc/mtab",
            "/proc/self/mounts",
            "mounts, for tools that look there",
        ),
    ];
    let links = links.into_iter().map(|(path, to, reason)| HostEntry {
        target: path.into(),
        kind: HostEntryKind::Symlink { to: to.into() },
        reason,
    });
    made.chain(links).collect()
}
