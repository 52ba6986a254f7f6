//! What landlock lets through and what not, in children, with it and without it (attack cases 100
//! and 107; 101 for older kernels and too many layers; TCP rules, case 105, are not used). What to expect is
//! worked out from the kernel's ABI, which is asked for here a second time.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::kill;
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{Pid, getpid, getppid};

use super::*;
use crate::sys::probe::{in_child, raw};

/// The version of landlock that this kernel says it has; 0 without.
fn kernel_abi() -> i64 {
    const VERSION: u64 = 1;
    raw(libc::SYS_landlock_create_ruleset, [0, 0, VERSION, 0, 0, 0]).max(0)
}

/// A tree with two writable folders, a writable file and a folder that is not.
struct Tree {
    _folder: tempfile::TempDir,
    one: PathBuf,
    two: PathBuf,
    file: PathBuf,
    out: PathBuf,
    _outside: UnixListener,
    abstract_name: String,
}

impl Tree {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["one/sub", "two", "out/sub"] {
            fs::create_dir_all(at(name)).expect("a folder");
        }
        for name in ["one/a", "one/sub/b", "out/a", "out/file", "out/neighbour"] {
            fs::write(at(name), "content").expect("a file");
        }
        let abstract_name = format!("belljar-{}", at("name").display());
        let address = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
        Self {
            one: at("one"),
            two: at("two"),
            file: at("out/file"),
            out: at("out"),
            _outside: UnixListener::bind_addr(&address).expect("a listener"),
            abstract_name,
            _folder: folder,
        }
    }

    /// What each attempt comes to: `name: ok` or `name: EACCES`.
    fn attempts(&self, walled: bool) -> Vec<String> {
        let (text, status) = in_child(|| {
            let open = fs::OpenOptions::new().write(true).open(self.out.join("a"));
            let writable = [self.one.as_path(), &self.two, &self.file, Path::new("/dev")];
            match if walled {
                restrict(&writable).map(drop)
            } else {
                Ok(())
            } {
                Ok(()) => self.attempt(open),
                Err(e) => e.to_string(),
            }
        });
        assert!(
            matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)),
            "{status:?} {text}"
        );
        text.lines().map(Into::into).collect()
    }

    fn attempt(&self, opened_before: io::Result<fs::File>) -> String {
        let mut text = String::new();
        let mut say = |name: &str, result: io::Result<()>| {
            let errno = |e: io::Error| format!("{:?}", e.raw_os_error().map(Errno::from_raw));
            let _ = writeln!(
                text,
                "{name}: {}",
                result.map_or_else(errno, |()| "ok".into())
            );
        };
        let (one, two, out) = (&self.one, &self.two, &self.out);

        say("read outside", fs::read(out.join("a")).map(drop));
        say("list outside", fs::read_dir(out).map(drop));
        say("run a program", Command::new("true").status().map(drop));
        say("write inside", fs::write(one.join("new"), "x"));
        say("make folders inside", fs::create_dir_all(one.join("x/y/z")));
        say("make a fifo inside", make_fifo(&one.join("fifo")));
        say(
            "rename between the two",
            fs::rename(one.join("new"), two.join("new")),
        );
        say(
            "rename out of a subfolder",
            fs::rename(one.join("sub/b"), two.join("b")),
        );
        say(
            "link between the two",
            fs::hard_link(two.join("b"), one.join("linked")),
        );
        say("remove inside", fs::remove_dir_all(one.join("x")));
        say("write the file", fs::write(&self.file, "y"));
        say(
            "write what was open",
            opened_before.and_then(|mut f| f.write_all(b"z")),
        );
        say("write to a device", fs::write("/dev/null", "x"));
        say("name oneself", fs::write("/proc/self/comm", "build"));
        let inside = format!("{}-inside", self.abstract_name);
        say("an abstract socket inside", abstract_pair(&inside));
        say("signal oneself", kill(getpid(), None).map_err(Into::into));

        say(
            "write outside (1)",
            fs::OpenOptions::new()
                .write(true)
                .open(out.join("a"))
                .map(drop),
        );
        say(
            "create outside (1)",
            fs::File::create(out.join("new")).map(drop),
        );
        say("make a folder outside (1)", fs::create_dir(out.join("dir")));
        say(
            "make a link outside (1)",
            std::os::unix::fs::symlink("a", out.join("link")),
        );
        say("make a fifo outside (1)", make_fifo(&out.join("fifo")));
        say(
            "write the file's neighbour (1)",
            fs::write(out.join("neighbour"), "x"),
        );
        say(
            "rename from outside (2)",
            fs::rename(out.join("a"), one.join("stolen")),
        );
        say(
            "rename to outside (2)",
            fs::rename(one.join("a"), out.join("given")),
        );
        say(
            "link from outside (2)",
            fs::hard_link(out.join("neighbour"), one.join("writable")),
        );
        say("truncate outside (3)", truncate(&out.join("neighbour")));
        say("remove outside (1)", fs::remove_file(out.join("neighbour")));
        say(
            "remove a folder outside (1)",
            fs::remove_dir(out.join("sub")),
        );
        say(
            "signal the parent (6)",
            kill(getppid(), None).map_err(Into::into),
        );
        say(
            "an abstract socket outside (6)",
            connect(&self.abstract_name),
        );
        text
    }
}

fn make_fifo(path: &Path) -> io::Result<()> {
    Ok(mknod(path, SFlag::S_IFIFO, Mode::S_IRWXU, 0)?)
}

/// Without opening for writing, which would be refused for itself.
fn truncate(path: &Path) -> io::Result<()> {
    Ok(nix::unistd::truncate(path, 0)?)
}

fn connect(name: &str) -> io::Result<()> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?).map(drop)
}

fn abstract_pair(name: &str) -> io::Result<()> {
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    connect(name)?;
    listener.accept().map(drop)
}

#[test]
fn each_right_is_enforced_as_far_as_the_kernel_can() {
    let abi = kernel_abi();
    let walled = Tree::new().attempts(true);
    assert_eq!(walled.len(), 30, "{walled:#?}");
    for line in &walled {
        // the number is the ABI since when the attempt is refused
        let since = line
            .split(['(', ')'])
            .nth(1)
            .map(|n| n.parse::<i64>().expect("an ABI"));
        let since = if abi < 2 { None } else { since };
        match since {
            Some(since) if abi >= since => {
                let refused = ["EACCES", "EPERM", "EXDEV"]
                    .iter()
                    .any(|e| line.contains(e));
                assert!(refused, "{line} of {walled:#?}");
            }
            _ => assert!(line.ends_with(": ok"), "{line} of {walled:#?}"),
        }
    }
}

#[test]
fn without_it_every_attempt_succeeds() {
    let open = Tree::new().attempts(false);
    for line in &open {
        assert!(line.ends_with(": ok"), "{line} of {open:#?}");
    }
    assert_eq!(open.len(), 30);
}

#[test]
fn the_report_says_what_the_kernel_has() {
    let abi = u32::try_from(kernel_abi()).expect("a small number");
    let (text, _) = in_child(|| format!("{:?}", restrict(&[Path::new("/dev")])));
    let full = abi >= 9;
    let got = abi.min(9);
    assert!(
        text.contains(&format!("abi_wanted: 9, abi_got: {got}, full: {full}, ")),
        "{text}"
    );
    assert_eq!(text.contains("why: None"), full, "{text}");
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(missing(9), None);
    let seven = missing(7).expect("something");
    assert!(
        seven.contains("sockets by path") && !seven.contains("signals"),
        "{seven}"
    );
    let two = missing(2).expect("something");
    assert!(
        two.contains("truncation") && two.contains("signals"),
        "{two}"
    );
    assert!(missing(1).expect("something").contains("renames"));
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let missing = Path::new("/belljar/no such folder");
    let error = restrict(&[missing]).expect_err("nothing to restrict to");
    assert_eq!(error.errno, Some(Errno::ENOENT));
    assert_eq!(
        error.to_string(),
        "could not open a path for landlock at /belljar/no such folder: ENOENT (No such file or directory)"
    );
}

/// Landlock stacks: a build may confine itself further, and more than sixteen times is its problem.
#[test]
fn a_build_may_stack_its_own() {
    let (text, _) = in_child(|| {
        let results: Vec<bool> = (0..17)
            .map(|_| restrict(&[Path::new("/dev")]).is_ok())
            .collect();
        format!("{} {}", results[..8].iter().all(|ok| *ok), results[16])
    });
    let expected = if kernel_abi() < 2 {
        "true true"
    } else {
        "true false"
    };
    assert_eq!(text, expected);
}

const PTRACE_ATTACH: u64 = 16;

/// strace and gdb trace what they started: a child is in the same landlock domain.
#[test]
fn a_process_may_still_trace_its_child() {
    let (text, _) = in_child(|| {
        if let Err(e) = restrict(&[Path::new("/dev")]) {
            return e.to_string();
        }
        let Ok(mut child) = Command::new("sleep").arg("60").spawn() else {
            return "no child".into();
        };
        let pid = u64::from(child.id());
        let mut memory = [0u8; 1];
        let read = fs::File::open(format!("/proc/{pid}/mem")).map(|_| ());
        let environ = fs::File::open(format!("/proc/{pid}/environ"))
            .and_then(|mut f| f.read(&mut memory))
            .map(drop);
        let attached = raw(libc::SYS_ptrace, [PTRACE_ATTACH, pid, 0, 0, 0, 0]);
        let _ = child.kill();
        let _ = child.wait();
        let parent = Pid::parent().as_raw();
        let above = fs::File::open(format!("/proc/{parent}/mem")).map(drop);
        format!(
            "{} {} {attached} {}",
            read.is_ok(),
            environ.is_ok(),
            above.is_err()
        )
    });
    let bounded = kernel_abi() >= 2;
    assert_eq!(text, format!("true true 0 {bounded}"));
}
