//! Where the caller stands in the host's cgroup hierarchies, read from `/proc/self`.
//!
//! Pure parsing, but for [`Map::read`]. Three kinds of host are told apart: cgroup v2 alone, v1
//! alone, and v1 with an empty v2 hierarchy beside it.

use std::path::{Component, Path, PathBuf};

use crate::SetupError;
use crate::error::At;

/// A controller that holds a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Controller {
    Cpu,
    Memory,
    Pids,
}

impl Controller {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

/// One hierarchy: where the caller's cgroup is, and where the hierarchy is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The mount point: nothing above it is a cgroup.
    pub(super) top: PathBuf,
    /// The caller's cgroup.
    pub(super) own: PathBuf,
}

/// The caller's place in every hierarchy that is mounted and shows it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Map {
    /// cgroup v2.
    pub(super) v2: Option<Place>,
    /// v1 hierarchies with the names of their controllers.
    pub(super) v1: Vec<(Vec<String>, Option<Place>)>,
}

impl Map {
    /// The map of this process.
    pub(super) fn read() -> Result<Self, SetupError> {
        let read =
            |path: &'static str| std::fs::read(path).step_at("find the caller's cgroup", path);
        let member = read("/proc/self/cgroup")?;
        let mounts = read("/proc/self/mountinfo")?;
        Ok(Self::parse(
            &String::from_utf8_lossy(&member),
            &String::from_utf8_lossy(&mounts),
        ))
    }

    /// The v1 hierarchy that has `controller`, mounted or not.
    pub(super) fn v1_of(&self, controller: Controller) -> Option<&(Vec<String>, Option<Place>)> {
        self.v1
            .iter()
            .find(|(names, _)| names.iter().any(|n| n == controller.name()))
    }

    /// From the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`.
    fn parse(member: &str, mountinfo: &str) -> Self {
        let mounts: Vec<Mount> = mountinfo.lines().filter_map(Mount::parse).collect();
        let mut map = Self::default();
        for line in member.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(_), Some(names), Some(path)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let names: Vec<String> = names.split(',').map(str::to_owned).collect();
            let unified = names == [""];
            let place = mounts
                .iter()
                .filter(|m| m.unified == unified && (unified || m.has_all(&names)))
                .find_map(|m| m.place(Path::new(path)));
            if unified {
                map.v2 = place;
            } else {
                map.v1.push((names, place));
            }
        }
        map
    }
}

/// A mounted cgroup hierarchy.
struct Mount {
    unified: bool,
    root: PathBuf,
    point: PathBuf,
    options: Vec<String>,
}

impl Mount {
    /// A line of mountinfo (proc_pid_mountinfo(5)) if it is of a cgroup hierarchy.
    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let mut after = after.split(' ');
        let unified = match after.next()? {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        Some(Self {
            unified,
            root: unescape(before.next()?),
            point: unescape(before.next()?),
            options: after.nth(1)?.split(',').map(str::to_owned).collect(),
        })
    }

    fn has_all(&self, names: &[String]) -> bool {
        names.iter().all(|n| self.options.contains(n))
    }

    /// The folder of the cgroup `path` below this mount; `None` if the mount does not show it.
    fn place(&self, path: &Path) -> Option<Place> {
        // A cgroup outside the namespace's root begins with `/..`.
        let plain = !path.components().any(|c| c == Component::ParentDir);
        let below = path.strip_prefix(&self.root).ok()?;
        let own = if below.as_os_str().is_empty() {
            self.point.clone()
        } else {
            self.point.join(below)
        };
        (plain && below.is_relative()).then(|| Place {
            top: self.point.clone(),
            own,
        })
    }
}

/// mountinfo writes blanks and backslashes as `\ooo`.
fn unescape(field: &str) -> PathBuf {
    let mut out = String::new();
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let octal = after.get(..3).and_then(|o| u8::from_str_radix(o, 8).ok());
        match octal {
            Some(byte) if byte.is_ascii() => {
                out.push(char::from(byte));
                rest = &after[3..];
            }
            _ => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    PathBuf::from(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(top: &str, own: &str) -> Place {
        Place {
            top: top.into(),
            own: own.into(),
        }
    }

    #[test]
    fn a_desk_with_v2() {
        let map = Map::parse(
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope\n",
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n\
             31 23 8:1 / / rw - ext4 /dev/sda1 rw\n",
        );
        let own =
            "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope";
        assert_eq!(map.v2, Some(place("/sys/fs/cgroup", own)));
        assert_eq!(map.v1, []);
        assert!(map.v1_of(Controller::Memory).is_none());
    }

    #[test]
    fn v1_with_joined_controllers_and_an_empty_v2() {
        let map = Map::parse(
            "5:cpu,cpuacct:/a\n4:memory:/a/b\n3:pids:/\n1:name=systemd:/\n0::/\n",
            "1 0 0:1 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
             2 0 0:2 / /cg/memory rw - cgroup cgroup rw,memory\n\
             4 0 0:4 / /cg/unified rw - cgroup2 cgroup2 rw\n",
        );
        assert_eq!(map.v2, Some(place("/cg/unified", "/cg/unified")));
        let of = |c| map.v1_of(c).unwrap().1.clone();
        assert_eq!(
            of(Controller::Cpu),
            Some(place("/cg/cpu,cpuacct", "/cg/cpu,cpuacct/a"))
        );
        assert_eq!(
            of(Controller::Memory),
            Some(place("/cg/memory", "/cg/memory/a/b"))
        );
        // Known to the kernel, mounted nowhere.
        assert_eq!(of(Controller::Pids), None);
    }

    #[test]
    fn a_container_sees_its_own_part() {
        // Without a cgroup namespace: the mount's root is the container's cgroup.
        let map = Map::parse(
            "0::/docker/abc/init\n",
            "9 8 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
        );
        assert_eq!(map.v2, Some(place("/sys/fs/cgroup", "/sys/fs/cgroup/init")));
        // The process stands outside of what is mounted, or of its namespace.
        for member in ["0::/docker/other\n", "0::/../other\n"] {
            let map = Map::parse(member, "9 8 0:26 /docker/abc /cg ro - cgroup2 cgroup rw\n");
            assert_eq!(map.v2, None);
        }
        assert_eq!(
            Map::parse("0::/../x\n", "9 8 0:26 / /cg ro - cgroup2 c rw\n").v2,
            None
        );
    }

    #[test]
    fn blanks_in_paths() {
        let map = Map::parse(
            "0::/a b\n",
            "9 8 0:26 / /c\\040g\\134x rw - cgroup2 cgroup rw\n",
        );
        assert_eq!(map.v2, Some(place("/c g\\x", "/c g\\x/a b")));
    }

    proptest! {
        #[test]
        fn any_text_is_safe_and_never_leads_above_the_mount(member: String, mounts: String) {
            let _ = Map::parse(&member, &mounts);
        }
        #[test]
        fn a_place_is_below_its_mount(path in "(/[a-z.]{0,3}){0,5}", root in "(/[a-z.]{0,3}){0,3}") {
            let map = Map::parse(&format!("0::{path}\n"), &format!("9 8 0:26 {root} /cg rw - cgroup2 c rw\n"));
            if let Some(place) = map.v2 {
                prop_assert!(place.own.starts_with("/cg"));
                prop_assert!(!place.own.components().any(|c| c == Component::ParentDir));
            }
        }
    }
}
