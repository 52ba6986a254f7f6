//! What of the host's files is there, and what can't be done to it.

use std::os::unix::net::UnixListener;

use belljar_tests::Project;

use crate::{inside, outside, syscalls};

#[test]
fn the_root_is_the_listed_one_and_read_only() {
    let project = Project::empty();
    project.write("source.txt", "s\n");
    let seen = inside(
        &project,
        "ls -A /; for f in /x /usr/x /etc/x /bin/x; do (: >$f) 2>/dev/null && echo WROTE $f; done; true",
    );
    let known = [
        "bin",
        "build",
        "dev",
        "etc",
        "home",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "nix",
        "opt",
        "proc",
        "run",
        "sbin",
        "sys",
        "tmp",
        "toolchains",
        "usr",
        "var",
    ];
    for name in seen.lines() {
        assert!(known.contains(&name), "/{name} in\n{seen}");
    }
    assert!(!seen.contains("WROTE"), "{seen}");
}

#[test]
fn nothing_of_the_hosts_places_is_told_by_the_mount_table() {
    let project = Project::empty();
    let table = inside(&project, "cat /proc/self/mountinfo; cat /proc/mounts");
    let place = project.dir();
    let place = place
        .parent()
        .and_then(|p| p.file_name())
        .and_then(|n| n.to_str())
        .expect("a name");
    assert!(!table.contains(place), "{table}");
    assert!(
        !table.contains("shared:") && !table.contains("master:"),
        "{table}"
    );
    assert!(!table.contains("belljar-"), "no scratch folder\n{table}");
}

#[test]
fn secrets_of_the_host_are_not_there() {
    let project = Project::empty();
    let script = "ls -d /root /home/* /etc/shadow /etc/ssh /etc/ssl/private /var/lib/[!d]* /var/lib/docker /var/run/* /run/* /mnt /media /boot /srv 2>/dev/null || true";
    let seen = inside(&project, script);
    assert_eq!(seen.trim(), "/home/builder", "{seen}");
    assert!(
        outside(&project, script).contains("/etc/shadow"),
        "there is something to hide"
    );
}

#[test]
fn mounting_and_unmounting_is_refused() {
    let project = Project::empty();
    let calls = syscalls(&[
        ("mount", "165, b'x', b'/tmp', b'tmpfs', 0, 0"),
        ("umount2", "166, b'/proc', 2"),
        ("pivot_root", "155, b'/', b'/tmp'"),
        ("chroot", "161, b'/tmp'"),
        ("open_tree", "428, -100, b'/', 1"),
        ("move_mount", "429, -100, b'/', -100, b'/tmp', 0"),
        ("fsopen", "430, b'tmpfs', 0"),
        ("mount_setattr", "442, -100, b'/', 0, 0, 0"),
    ]);
    let seen = inside(&project, &calls);
    assert_eq!(seen.lines().count(), 8, "{seen}");
    assert!(
        seen.lines()
            .all(|l| l.ends_with(": EPERM") || l.ends_with(": ENOSYS")),
        "{seen}"
    );
    // in a user namespace of the caller's own, they work
    let free = outside(
        &project,
        &format!("unshare -Urm sh -c \"$(cat <<'S'\n{calls}\nS\n)\""),
    );
    assert!(
        free.contains("mount: ok") && free.contains("fsopen: ok"),
        "{free}"
    );
}

#[test]
fn proc_is_its_own_with_the_host_masked() {
    let project = Project::empty();
    let script = "for f in kcore keys sysrq-trigger timer_list sched_debug interrupts kmsg kallsyms; do \
        [ -s /proc/$f ] && head -c1 /proc/$f 2>/dev/null | grep -q . && echo READ $f; done; \
        for f in sys/kernel/hostname sys/vm/overcommit_memory; do (echo x >/proc/$f) 2>/dev/null && echo WROTE $f; done; \
        ls /proc/acpi /proc/bus /proc/irq /proc/scsi 2>/dev/null | grep -v : | grep . ; true";
    assert_eq!(inside(&project, script).trim(), "");
    let free = outside(&project, "head -c1 /proc/interrupts | grep -c .");
    assert_eq!(free, "1\n", "there is something to mask");
}

#[test]
fn dev_is_the_listed_one() {
    let project = Project::empty();
    let seen = inside(
        &project,
        "ls /dev | tr '\\n' ' '; ls /dev/shm /dev/pts | tr '\\n' ' '",
    );
    let want = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero /dev/pts: ptmx  /dev/shm: ";
    assert_eq!(seen, want);
}

#[test]
fn sys_is_the_processors_alone() {
    let project = Project::empty();
    let seen = inside(
        &project,
        "ls /sys /sys/devices /sys/fs /sys/fs/cgroup; (echo 1 >/sys/fs/cgroup/cgroup.procs) 2>/dev/null && echo WROTE; true",
    );
    for name in seen.lines().filter(|l| !l.ends_with(':') && !l.is_empty()) {
        assert!(
            ["devices", "fs", "system", "cgroup"].contains(&name) || name.contains('.'),
            "{seen}"
        );
    }
    assert!(!seen.contains("WROTE"), "{seen}");
}

#[test]
fn places_with_every_awkward_name_work() {
    for name in [
        "a:b",
        "a,b",
        "a\\b",
        "a\"b",
        "a b",
        "a\nb",
        "-a",
        "a=b,upperdir=x",
    ] {
        let project = Project::empty();
        project.write(format!("{name}/source.txt"), "source\n");
        let ran = project.belljar([
            "run",
            &format!("--root={name}"),
            &format!("--workdir={name}"),
            "--",
            "sh",
            "-c",
            "cat source.txt; pwd; echo x >out",
        ]);
        assert_eq!(ran.exits(0).stdout, "source\n/build\n", "{name:?}: {ran}");
        assert!(project.dir().join(name).join("out").exists(), "{name:?}");
    }
}

#[test]
fn devices_can_not_be_made_and_fifos_are_flagged() {
    let project = Project::empty();
    let seen = inside(
        &project,
        "mknod d c 1 3 2>/dev/null && echo MADE; mkfifo f && echo x >out; true",
    );
    assert!(!seen.contains("MADE"), "{seen}");
    let ran = project.belljar(["verify", "--", "sh", "-c", "mkfifo f; echo x >out"]);
    ran.exits(0);
    let manifest = project.evidence().document("determinism/manifest-a.json");
    let fifo = manifest["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .find(|e| e["path"] == "f");
    assert!(fifo.is_some_and(|e| e["flag"].is_string()), "{manifest:#}");
}

#[test]
fn case_39_set_id_bits_are_refused_and_never_exported() {
    let project = Project::empty();
    let script = "for m in 4755 2755 6755; do echo x >out$m; chmod $m out$m 2>/dev/null; echo $? $(stat -c %a out$m); done
        install -m 4755 out4755 installed 2>/dev/null; echo $? $(stat -c %a installed 2>/dev/null)
        mkdir -m 2755 folder; stat -c %a folder";
    let free = outside(&project, &format!("mkdir free; cd free; {script}"));
    let set = "0 4755\n0 2755\n0 6755\n0 4755\n2755\n";
    assert_eq!(free, set, "without belljar they are set");
    let seen = inside(&project, script);
    let refused = "1 644\n1 644\n1 644\n";
    assert!(seen.starts_with(refused), "{seen}");
    outside(&project, "rm -r free");
    let ran = project.belljar(["run", "--", "sh", "-c", script]);
    assert!(ran.exits(0).stdout.starts_with(refused), "{ran}");
    let exported = outside(
        &project,
        "find . -perm /6000; stat -c %a out4755 out2755 out6755",
    );
    assert_eq!(exported, "644\n644\n644\n");
}

/// A socket that lies in the tree, or in the abstract space of the host, answers nobody inside.
#[test]
fn local_sockets_of_the_host_can_not_be_reached() {
    let project = Project::empty();
    let name = format!("belljar-test-{}", std::process::id());
    let _tree = UnixListener::bind(project.dir().join("service.sock")).expect("a socket");
    project.write("reach.py", format!(
        "import socket\nfor where in ('service.sock', '\\0{name}'):\n    try:\n        socket.socket(socket.AF_UNIX).connect(where)\n        print('CONNECTED')\n    except OSError as e:\n        print('refused')\n"
    ));
    let address =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(
            name.as_bytes(),
        )
        .expect("a name");
    let _abstract = UnixListener::bind_addr(&address).expect("a socket");
    assert_eq!(
        outside(&project, "chmod 777 service.sock; python3 reach.py"),
        "CONNECTED\nCONNECTED\n"
    );
    assert_eq!(inside(&project, "python3 reach.py"), "refused\nrefused\n");
}
