//! What to do when a host forbids a step: recognised by errno and by what the host shows.

use std::fs;

use nix::errno::Errno;

use crate::SetupError;

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// In a container: its runtime's filter and its masked `/proc` are the usual obstacles.
fn in_container() -> bool {
    ["/run/.containerenv", "/.dockerenv"]
        .iter()
        .any(|p| std::path::Path::new(p).exists())
        || fs::read_to_string("/proc/1/environ").is_ok_and(|e| e.contains("container="))
}

/// What stands in the way of user namespaces, as far as the host tells.
fn userns_obstacle() -> Option<&'static str> {
    if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        return Some(
            "AppArmor restricts user namespaces: install the profile from the README, or run `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
        );
    }
    if read("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        return Some(
            "user namespaces are switched off: run `sudo sysctl kernel.unprivileged_userns_clone=1`",
        );
    }
    if read("/proc/sys/user/max_user_namespaces") == "0" {
        return Some(
            "user namespaces are limited to 0: run `sudo sysctl user.max_user_namespaces=15000`",
        );
    }
    None
}

/// clone3(2) with namespaces failed.
pub(super) fn for_namespaces(errno: Errno) -> SetupError {
    let error = SetupError::new("make the namespaces", errno);
    let hint = match errno {
        Errno::EPERM | Errno::EACCES | Errno::ENOSYS if in_container() => {
            "the container's seccomp profile forbids it: start the container with the flags of the README's container recipe"
        }
        Errno::EPERM | Errno::EACCES => userns_obstacle().unwrap_or(
            "something forbids user namespaces here (a seccomp filter or a security module): run `belljar doctor` outside of it to compare",
        ),
        Errno::ENOSPC => userns_obstacle().unwrap_or(
            "a limit on namespaces is reached: see `sysctl user` and /proc/sys/user/max_*_namespaces",
        ),
        Errno::EINVAL => "this kernel lacks a namespace type: see `zgrep _NS= /proc/config.gz`",
        _ => "run `belljar doctor` to see which layer is missing",
    };
    error.hint(hint)
}

/// The id maps could not be written.
pub(super) fn for_maps(error: SetupError) -> SetupError {
    match error.errno {
        Some(Errno::EPERM | Errno::EACCES) => error.hint(userns_obstacle().unwrap_or(
            "something forbids id maps here: in a container, see the container recipe in the README",
        )),
        _ => error,
    }
}

/// A mount step inside the new namespaces failed.
pub(super) fn for_mounts(error: SetupError) -> SetupError {
    if !["mount", "file system", "pivot"]
        .iter()
        .any(|word| error.step.contains(word))
    {
        return error;
    }
    match error.errno {
        Some(Errno::EPERM | Errno::EACCES) => {
            let hint = if in_container() {
                "the container forbids mounts: start it with the flags of the README's container recipe"
            } else {
                userns_obstacle()
                    .unwrap_or("a security module forbids mounts in user namespaces here")
            };
            error.hint(hint)
        }
        Some(Errno::ENOSYS) => error.hint("belljar needs Linux 5.12 or newer for its mount calls"),
        _ => error,
    }
}
