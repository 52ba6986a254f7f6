//! Where a leaf is made on cgroup v2, and where not. Needs root and a machine whose root cgroup
//! has all controllers, so these tests are started in the machines of the VM tier, by name:
//! `budget --ignored --test-threads=1 on_v2`.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use belljar_model::Budgets;
use belljar_sandbox::launch::cgroup::{Leaf, sweep};
use belljar_sandbox::launch::id::RunId;

use crate::cgroup::{HOG, MIB, end, go, memory, named, shell, until};
use crate::parts::{part, told};

const TOP: &str = "/sys/fs/cgroup";
const NOBODY: u32 = 65534;

fn three() -> Budgets {
    Budgets {
        cpu_milli: Some(1_500),
        pids: Some(20),
        ..memory(32 * MIB)
    }
}

fn write(dir: &Path, file: &str, value: &str) {
    fs::write(dir.join(file), value).unwrap_or_else(|e| panic!("{value} to {file}: {e}"));
}

fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file))
        .unwrap()
        .trim()
        .to_owned()
}

/// A cgroup of a test's own; what is left in it ends with it.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(above: &Path) -> Self {
        let dir = above.join(format!("test-{}", RunId::new().unwrap()));
        fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    fn top() -> Self {
        Self::new(Path::new(TOP))
    }

    fn hands_on(self, controllers: &str) -> Self {
        write(&self.0, "cgroup.subtree_control", controllers);
        self
    }

    /// Gives it to a plain user, as systemd does with `Delegate=yes`.
    fn given(self) -> Self {
        for file in [
            "",
            "cgroup.procs",
            "cgroup.subtree_control",
            "cgroup.threads",
        ] {
            std::os::unix::fs::chown(self.0.join(file), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        self
    }

    /// A process that sits in it.
    fn with_another(&self) -> Child {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        write(&self.0, "cgroup.procs", &child.id().to_string());
        child
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        until("the test's cgroup is empty", || {
            fs::remove_dir(&self.0).is_ok()
        });
    }
}

/// Runs a part as `uid` from within a cgroup, and hands back what it printed.
fn runs_in(cgroup: &Cgroup, uid: u32, function: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("own"), cgroup.0.to_str().unwrap()).unwrap();
    fs::set_permissions(
        dir.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let mut command = part(function, dir.path());
    command.uid(uid).gid(uid).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    write(&cgroup.0, "cgroup.procs", &child.id().to_string());
    go(&mut child);
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success() && text.contains("1 passed"),
        "{text}{stderr}"
    );
    text
}

/// In a part: the cgroup that it was put into, once it is there.
fn put_into() -> Option<PathBuf> {
    let dir = told()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    Some(fs::read_to_string(dir.join("own")).unwrap().into())
}

/// Makes a leaf with all budgets, sees it hold, and hands back where it was.
fn holds() -> PathBuf {
    let id = RunId::new().unwrap();
    let leaf = Leaf::create(&three(), id).unwrap().unwrap();
    assert_eq!(leaf.held_by(), "cgroup2");
    assert!(leaf.clone_fd().is_some());
    let [dir] = &named(&id.name())[..] else {
        panic!("one leaf")
    };
    assert_eq!(read(dir, "memory.max"), (32 * MIB).to_string());
    assert_eq!(read(dir, "memory.oom.group"), "1");
    assert_eq!(read(dir, "cpu.max"), "150000 100000");
    assert_eq!(read(dir, "pids.max"), "21");
    let child = shell(&leaf, HOG);
    until("the kernel counts it", || leaf.hits().unwrap().oom > 0);
    until("all of it is killed", || !leaf.populated().unwrap());
    let usage = leaf.usage();
    assert!(usage.throttled_ms.is_some(), "{usage:?}");
    let counted = fs::read("/proc/pressure/memory").is_ok();
    assert_eq!(usage.waited_memory_ms.is_some(), counted, "{usage:?}");
    end(leaf, child);
    assert!(!dir.exists());
    dir.clone()
}

fn refused() {
    let refused = Leaf::create(&three(), RunId::new().unwrap()).unwrap_err();
    println!("{refused}: {}", refused.hint.as_deref().unwrap());
}

#[test]
#[ignore = "a part of another test, which starts it"]
fn part_holds() {
    let Some(own) = put_into() else { return };
    let before = (
        read(&own, "cgroup.procs"),
        read(&own, "cgroup.subtree_control"),
    );
    println!("\nleaf in {}", holds().parent().unwrap().display());
    let after = (
        read(&own, "cgroup.procs"),
        read(&own, "cgroup.subtree_control"),
    );
    assert_eq!(before, after, "all is as it was");
    assert!(
        fs::read_dir(&own)
            .unwrap()
            .all(|e| !e.unwrap().file_type().unwrap().is_dir())
    );
}

#[test]
#[ignore = "a part of another test, which starts it"]
fn part_holds_two() {
    let Some(own) = put_into() else { return };
    let me = read(&own, "cgroup.procs");
    let budgets = three();
    let ids = [RunId::new().unwrap(), RunId::new().unwrap()];
    let leaves = ids.map(|id| Leaf::create(&budgets, id).unwrap().unwrap());
    for id in ids {
        assert_eq!(named(&id.name())[0].parent().unwrap(), own);
    }
    assert_eq!(read(&own, "cgroup.procs"), "");
    let [a, b] = leaves;
    let (child_a, mut child_b) = (shell(&a, HOG), shell(&b, "read go; exit 7"));
    until("the kernel counts it", || a.hits().unwrap().oom > 0);
    end(a, child_a);
    go(&mut child_b);
    assert_eq!(child_b.wait().unwrap().code(), Some(7));
    end(b, child_b);
    assert_eq!(read(&own, "cgroup.procs"), me, "back where it was");
    assert_eq!(read(&own, "cgroup.subtree_control"), "");
}

#[test]
#[ignore = "a part of another test, which starts it"]
fn part_is_refused() {
    if put_into().is_some() {
        refused();
    }
}

#[test]
#[ignore = "a part of another test, which starts it"]
fn part_stays_for_ever() {
    let Some(own) = put_into() else { return };
    let _leaf = Leaf::create(&three(), RunId::new().unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(read(&own, "cgroup.procs"), "");
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap();
}

mod on_v2 {
    use super::*;

    #[test]
    #[ignore = "needs cgroup v2 and root: the VM tier runs it"]
    fn root_in_the_root_cgroup() {
        assert_eq!(holds().parent(), Some(Path::new(TOP)));
    }

    #[test]
    #[ignore = "needs cgroup v2 and root: the VM tier runs it"]
    fn a_user_alone_in_a_cgroup_of_its_own() {
        let own = Cgroup::top().given();
        let text = runs_in(&own, NOBODY, "delegation::part_holds");
        assert!(
            text.contains(&format!("leaf in {}\n", own.0.display())),
            "{text}"
        );
        runs_in(&own, NOBODY, "delegation::part_holds_two");
    }

    #[test]
    #[ignore = "needs cgroup v2 and root: the VM tier runs it"]
    fn a_user_with_others_in_a_cgroup_below_one_of_its_own() {
        let above = Cgroup::top().given().hands_on("+memory +pids");
        let own = Cgroup::new(&above.0).given();
        let mut other = own.with_another();
        let text = runs_in(&own, NOBODY, "delegation::part_holds");
        assert!(
            text.contains(&format!("leaf in {}\n", above.0.display())),
            "{text}"
        );
        assert_eq!(other.try_wait().unwrap(), None);
        assert!(read(&own.0, "cgroup.procs").contains(&other.id().to_string()));
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    #[ignore = "needs cgroup v2 and root: the VM tier runs it"]
    fn a_user_with_others_in_its_only_cgroup_is_refused() {
        let own = Cgroup::top().given();
        let mut other = own.with_another();
        let text = runs_in(&own, NOBODY, "delegation::part_is_refused");
        assert!(
            text.contains("other processes stand in the same cgroup"),
            "{text}"
        );
        assert!(
            text.contains("systemd-run --user --scope -p Delegate=yes belljar"),
            "{text}"
        );
        assert_eq!(read(&own.0, "cgroup.subtree_control"), "");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    #[ignore = "needs cgroup v2 and root: the VM tier runs it"]
    fn a_leaf_is_no_way_out_of_the_callers_own_limit() {
        let above = Cgroup::top().given().hands_on("+memory +pids +cpu");
        let own = Cgroup::new(&above.0).given();
        write(&own.0, "memory.max", &(64 * MIB).to_string());
        let mut other = own.with_another();
        let text = runs_in(&own, NOBODY, "delegation::part_is_refused");
        assert!(
            text.contains("other processes stand in the same cgroup"),
            "{text}"
        );
        other.kill().unwrap();
        other.wait().unwrap();
        // Alone, the leaf is below the limit.
        let text = runs_in(&own, NOBODY, "delegation::part_holds");
        assert!(
            text.contains(&format!("leaf in {}\n", own.0.display())),
            "{text}"
        );
    }

    #[test]
    #[ignore = "needs cgroup v2 and root: the VM tier runs it"]
    fn a_user_whose_cgroup_is_roots_is_refused() {
        let own = Cgroup::top();
        let text = runs_in(&own, NOBODY, "delegation::part_is_refused");
        assert!(text.contains("EACCES"), "{text}");
        assert!(
            text.contains("systemd-run --user --scope -p Delegate=yes belljar"),
            "{text}"
        );
    }

    #[test]
    #[ignore = "needs cgroup v2 and root: the VM tier runs it"]
    fn a_controller_that_was_not_handed_on_is_named() {
        let above = Cgroup::top().hands_on("+memory +pids");
        let own = Cgroup::new(&above.0).given();
        let text = runs_in(&own, NOBODY, "delegation::part_is_refused");
        assert!(text.contains("was not given the cpu controller"), "{text}");
        assert!(
            text.contains("Delegate=cpu cpuset io memory pids"),
            "{text}"
        );
        // And belljar stands again where it stood: the cgroup can be filled and removed.
        runs_in(&own, NOBODY, "delegation::part_is_refused");
    }

    #[test]
    #[ignore = "needs cgroup v2 and root: the VM tier runs it"]
    fn root_in_a_cgroup_with_others() {
        let own = Cgroup::top();
        let mut other = own.with_another();
        let text = runs_in(&own, 0, "delegation::part_holds");
        assert!(text.contains(&format!("leaf in {TOP}\n")), "{text}");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    #[ignore = "needs cgroup v2 and root: the VM tier runs it"]
    fn what_a_killed_run_left_is_swept_its_own_group_too() {
        let own = Cgroup::top();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("own"), own.0.to_str().unwrap()).unwrap();
        let mut child = part("delegation::part_stays_for_ever", dir.path())
            .spawn()
            .unwrap();
        write(&own.0, "cgroup.procs", &child.id().to_string());
        go(&mut child);
        child.wait().unwrap();
        let left = || {
            fs::read_dir(&own.0)
                .unwrap()
                .filter(|e| e.as_ref().unwrap().path().is_dir())
                .count()
        };
        assert_eq!(left(), 2, "the leaf and the group that belljar stood in");
        let swept = sweep();
        assert_eq!(
            (swept.removed.len(), swept.failed.len()),
            (1, 0),
            "{swept:?}"
        );
        assert_eq!(left(), 0);
    }
}
