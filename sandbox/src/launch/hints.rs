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

/// The flags of the README's container recipes, as hints name them.
const DOCKER: &str = "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined";
const PODMAN: &str = "--security-opt seccomp=unconfined --security-opt unmask=ALL";
/// Ubuntu's switch.
const APPARMOR: &str = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";

/// What to do in a container, where this is one: its runtime's filter and its masked `/proc` are
/// the usual obstacles.
fn container() -> Option<String> {
    let there = |path: &str| std::path::Path::new(path).exists();
    if there("/run/.containerenv") {
        return Some(start_with("podman run", PODMAN));
    }
    let told = || fs::read_to_string("/proc/1/environ").is_ok_and(|e| e.contains("container="));
    (there("/.dockerenv") || told()).then(|| start_with("docker run", DOCKER))
}

fn start_with(engine: &str, flags: &str) -> String {
    format!("the container forbids it: start it with {engine} {flags}")
}

/// What stands in the way of user namespaces, as far as the host tells.
fn userns_obstacle() -> Option<String> {
    if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        return Some(format!(
            "AppArmor restricts user namespaces: install the profile from the README, or run `{APPARMOR}`"
        ));
    }
    if read("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        return Some(
            "user namespaces are switched off: run `sudo sysctl -w kernel.unprivileged_userns_clone=1`"
                .into(),
        );
    }
    if read("/proc/sys/user/max_user_namespaces") == "0" {
        return Some(
            "user namespaces are limited to 0: run `sudo sysctl -w user.max_user_namespaces=15000`"
                .into(),
        );
    }
    None
}

/// clone3(2) with namespaces failed.
pub(super) fn for_namespaces(errno: Errno) -> SetupError {
    let error = SetupError::new("make the namespaces", errno);
    let found = match errno {
        Errno::EPERM | Errno::EACCES => container().or_else(userns_obstacle),
        Errno::ENOSYS => container(),
        Errno::ENOSPC => userns_obstacle(),
        _ => None,
    };
    let else_ = match errno {
        Errno::EPERM | Errno::EACCES => {
            "something forbids user namespaces here (a seccomp filter or a security module): run `belljar doctor` outside of it to compare"
        }
        Errno::ENOSPC => {
            "a limit on namespaces is reached: see `sysctl user` and /proc/sys/user/max_*_namespaces"
        }
        Errno::EINVAL => "this kernel lacks a namespace type: see `zgrep _NS= /proc/config.gz`",
        _ => "run `belljar doctor` to see which layer is missing",
    };
    error.hint(found.unwrap_or_else(|| else_.into()))
}

/// The id maps could not be written.
pub(super) fn for_maps(error: SetupError) -> SetupError {
    match error.errno {
        Some(Errno::EPERM | Errno::EACCES) => {
            error.hint(container().or_else(userns_obstacle).unwrap_or_else(|| {
                "something forbids id maps here (a seccomp filter or a security module)".into()
            }))
        }
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
            error.hint(container().or_else(userns_obstacle).unwrap_or_else(|| {
                "a security module forbids mounts in user namespaces here".into()
            }))
        }
        Some(Errno::ENOSYS) => error.hint("belljar needs Linux 5.12 or newer for its mount calls"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader of the README is told and what a failing run says is the same.
    #[test]
    fn the_readme_and_the_hints_agree() {
        let readme = read(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"));
        let joined = readme.replace("\\\n", " ");
        let lines: Vec<String> = joined
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let recipe = |engine: &str| {
            let found: Vec<_> = lines.iter().filter(|l| l.starts_with(engine)).collect();
            assert_eq!(found.len(), 1, "{engine}: {found:?}");
            let options = found[0].split(" --user ").next().unwrap_or_default();
            options
                .strip_prefix(engine)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        assert_eq!(recipe("docker run"), DOCKER);
        assert_eq!(recipe("podman run"), PODMAN);
        assert!(lines.iter().any(|l| l == APPARMOR), "{lines:#?}");
    }
}
