//! Wrong flags, keys, paths, globs and sizes: exit code 2, or 125 after the plan is frozen, with one
//! sentence and a hint. Odd names and big trees: no harm.

use std::{
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
};

use belljar_tests::{Project, Ran};

use crate::{run, small, verify};

/// Exit code 2, and what is wrong is named in belljar's own words.
#[track_caller]
fn is_refused(project: &Project, args: &[&str], named: &str) {
    let ran = project.belljar(args);
    ran.exits(2);
    let own = ran.own_lines().join("\n");
    assert!(own.contains(named), "`{named}` is named in:\n{ran}");
    assert!(!ran.stderr.contains("panicked"), "{ran}");
    assert_eq!(ran.stdout, "", "{ran}");
}

#[test]
fn an_empty_command() {
    is_refused(&small(), &["run", "--"], "command");
    is_refused(&small(), &["verify"], "command");
    is_refused(&small(), &["verify", "--", ""], "command");
}

#[test]
fn a_missing_workdir() {
    is_refused(
        &small(),
        &["run", "--workdir", "nowhere", "--", "true"],
        "nowhere",
    );
}

#[test]
fn a_workdir_that_is_a_file() {
    is_refused(
        &small(),
        &["run", "--workdir", "source.txt", "--", "true"],
        "source.txt",
    );
}

#[test]
fn the_root_of_the_machine_as_workdir() {
    is_refused(&small(), &["run", "--workdir", "/", "--", "true"], "/");
}

#[test]
fn a_workdir_outside_of_the_root() {
    let project = small();
    project.write("inner/f", "");
    is_refused(
        &project,
        &["run", "--root", "inner", "--workdir", ".", "--", "true"],
        "inner",
    );
}

#[test]
fn an_output_glob_that_matches_nothing() {
    let project = small();
    let ran = verify(&project, &["--output", "dist/*.whl"], "echo made >out");
    ran.exits(6);
    assert!(ran.stderr.contains("dist/*.whl"), "{ran}");
}

#[test]
fn an_output_glob_that_is_none() {
    is_refused(
        &small(),
        &["verify", "--output", "dist/[", "--", "true"],
        "dist/[",
    );
}

#[test]
fn evidence_in_place_of_the_workdir_or_above_it() {
    let project = small();
    is_refused(
        &project,
        &["run", "--evidence", ".", "--", "true"],
        "evidence",
    );
    is_refused(
        &project,
        &["run", "--evidence", "..", "--", "true"],
        "evidence",
    );
    is_refused(
        &project,
        &["run", "--evidence", "/", "--", "true"],
        "evidence",
    );
}

#[test]
fn a_key_that_is_not_known_is_named_with_its_line() {
    let project = small();
    project.write("belljar.toml", "timeout = \"5m\"\n\nmemoty = \"4G\"\n");
    let ran = project.belljar(["run", "--", "true"]);
    ran.exits(2);
    assert!(
        ran.stderr.contains("memoty") && ran.stderr.contains('3'),
        "{ran}"
    );
    assert!(ran.stderr.contains("memory"), "what was meant\n{ran}");
}

#[test]
fn a_value_that_fits_no_key() {
    let project = small();
    project.write("belljar.toml", "memory = \"4Q\"\n");
    is_refused(&project, &["run", "--", "true"], "memory");
}

#[test]
fn a_configuration_that_is_no_toml() {
    let project = small();
    project.write("belljar.toml", "memory = = 4\n");
    is_refused(&project, &["run", "--", "true"], "belljar.toml");
}

#[test]
fn a_configuration_that_is_not_there() {
    is_refused(
        &small(),
        &["run", "--config", "other.toml", "--", "true"],
        "other.toml",
    );
}

#[test]
fn names_that_are_not_utf8_and_names_with_newlines() {
    let project = small();
    project.write(std::ffi::OsStr::from_bytes(b"in-\xff\xfe.txt"), "odd\n");
    let script = "printf a >'new\nline'; printf b >\"$(printf 'caf\\351')\"; printf c >\"$(printf 'esc\\033[31mred')\"; cat in-*";
    let ran = verify(&project, &[], script);
    ran.exits(0);
    let evidence = project.evidence();
    assert_eq!(evidence.verdict(), "reproducible", "{ran}");
    assert_eq!(evidence.result["counts"]["outputs"], 3, "{ran}");
    assert!(
        !ran.stderr.contains('\u{1b}'),
        "no escape of the build reaches belljar's own words"
    );
    let summary = evidence.text("determinism/summary.md");
    assert!(!summary.contains('\u{1b}'), "{summary}");
    run(&project, &[], script).exits(0);
    assert_eq!(
        fs::read(project.dir().join("new\nline")).expect("exported"),
        b"a"
    );
    let latin = project.dir().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    assert_eq!(fs::read(latin).expect("exported"), b"b");
}

#[test]
fn a_tree_of_300_000_files() {
    let project = small();
    let make = "mkdir many && cd many && for d in $(seq 300); do mkdir $d; (cd $d && seq 1000 | xargs touch); done";
    Ran::of(project.command("sh").args(["-c", make])).exits(0);
    let ran = verify(&project, &[], "find many -type f | wc -l | tee count");
    ran.exits(0);
    assert!(ran.stdout.contains("300000\n"), "{ran}");
}

#[test]
fn a_build_that_writes_300_000_files() {
    let project = small();
    let make = "mkdir many && cd many && for d in $(seq 300); do mkdir $d; (cd $d && seq 1000 | xargs touch); done";
    verify(&project, &[], make).exits(0);
    let outputs = &project.evidence().result["counts"]["outputs"];
    assert!(outputs.as_u64().is_some_and(|n| n >= 300_000), "{outputs}");
}

#[test]
fn a_build_that_writes_10_gib_against_a_disk_budget_of_1() {
    let project = small();
    let ran = run(
        &project,
        &["--disk", "1G"],
        "dd if=/dev/zero of=big bs=1M count=10240",
    );
    assert_ne!(ran.code, 0, "{ran}");
    assert_eq!(project.evidence().ended_by(), "disk", "{ran}");
    assert!(
        !project.dir().join("big").exists(),
        "nothing of it is exported"
    );
}

/// One sentence, the kernel's answer by name, one next step.
#[track_caller]
fn is_one_sentence(ran: &Ran, errno: &str, hint: &str) {
    let own = ran.own_lines();
    let sentence = own
        .iter()
        .find(|l| l.contains("could not") || l.contains("can't"));
    let sentence = sentence.unwrap_or_else(|| panic!("a sentence\n{ran}"));
    assert!(sentence.contains(errno), "{errno} is named\n{ran}");
    assert!(!ran.stderr.contains("os error"), "{ran}");
    let hints: Vec<_> = ran
        .stderr
        .lines()
        .filter(|l| l.starts_with("  hint: "))
        .collect();
    assert_eq!(hints.len(), 1, "{ran}");
    assert!(hints[0].contains(hint), "{ran}");
    assert!(!ran.stderr.contains("panicked"), "{ran}");
}

#[test]
fn a_file_that_a_copy_can_not_read_is_named_and_the_hint_works() {
    let project = small();
    project.write("secret.txt", "s");
    let mode = |m| {
        fs::set_permissions(
            project.dir().join("secret.txt"),
            fs::Permissions::from_mode(m),
        )
    };
    mode(0o000).expect("a mode");
    let ran = run(&project, &["--workspace", "copy"], "echo x >out");
    is_one_sentence(ran.exits(125), "secret.txt: EACCES (", "chmod u+rX");
    let evidence = project.evidence().result.to_string();
    assert!(
        !evidence.contains("secret.txt"),
        "no host path in evidence: {evidence}"
    );
    Ran::of(project.command("chmod").args(["u+rX", "secret.txt"])).exits(0);
    run(&project, &["--workspace", "copy"], "echo x >out").exits(0);
}

#[test]
fn a_stdout_that_takes_nothing() {
    let project = small();
    run(&project, &[], "echo x >out").exits(0);
    let say_on_stdout = [
        "man",
        "completions bash",
        "init --print",
        "--help",
        "run --help",
        "--version",
        "explain",
        "clean --json",
        "diff source.txt source.txt",
        "diff --json source.txt source.txt",
    ];
    for args in say_on_stdout {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full");
        let ran = Ran::of(project.belljar_command(args.split(' ')).stdout(full));
        is_one_sentence(ran.exits(6), "ENOSPC", "room");
        let (reader, closed) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ran = Ran::of(project.belljar_command(args.split(' ')).stdout(closed));
        assert_eq!(ran.exits(0).stderr, "", "`| head -1` is no error\n{ran}");
    }
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full");
    let ran = Ran::of(
        project
            .belljar_command(["run", "--json", "--", "true"])
            .stdout(full),
    );
    assert!(
        ran.exits(6)
            .stderr
            .contains("could not write to stdout: ENOSPC"),
        "{ran}"
    );
}

#[test]
fn streams_that_are_closed_change_nothing() {
    let project = small();
    for streams in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"] {
        let belljar = belljar_tests::belljar_bin();
        let line = format!(
            "exec '{}' verify -- sh -c 'echo hi; echo x >out' {streams}",
            belljar.display()
        );
        Ran::of(project.command("sh").args(["-c", &line])).exits(0);
        assert_eq!(project.evidence().verdict(), "reproducible", "{streams}");
    }
}

#[test]
fn a_configuration_that_can_not_be_read() {
    let project = small();
    let sh = |script: &str| {
        Ran::of(project.command("sh").args(["-c", script]))
            .exits(0)
            .code
    };
    for (make, errno) in [
        ("mkfifo belljar.toml", "no regular file"),
        ("mkdir belljar.toml", "no regular file"),
        ("ln -s belljar.toml belljar.toml", "ELOOP ("),
        ("touch belljar.toml; chmod 000 belljar.toml", "EACCES ("),
        ("printf '\\377' >belljar.toml", "UTF-8"),
        ("yes '#' | head -c 2000000 >belljar.toml", "1 MiB"),
    ] {
        sh(make);
        let ran = project.belljar(["run", "--", "true"]);
        is_one_sentence(ran.exits(2), errno, "small text file");
        sh("rm -rf belljar.toml");
    }
}

#[test]
fn folders_that_can_not_serve() {
    let project = small();
    Ran::of(
        project
            .command("sh")
            .args(["-c", "mkdir ro && chmod 555 ro"]),
    )
    .exits(0);
    for (args, errno, hint, code) in [
        ("run --evidence source.txt", "ENOTDIR (", "--evidence", 2),
        (
            "run --scratch ro",
            "EACCES (",
            "may be written: --scratch",
            2,
        ),
        ("run --ro /nowhere", "ENOENT (", "exists and may be read", 2),
        ("run --evidence ro/new", "EACCES (", "--evidence", 6),
        (
            "run --evidence /proc/new",
            "ENOENT (",
            "another folder with --evidence",
            6,
        ),
        (
            "explain source.txt",
            "ENOTDIR (",
            "wrote and you may read",
            2,
        ),
        ("clean --scratch source.txt", "ENOTDIR (", "--scratch", 2),
        ("man --dir ro", "EACCES (", "may be written", 2),
        ("init --workdir ro", "EACCES (", "--print", 2),
    ] {
        let command: &[&str] = if args.starts_with("run") {
            &["--", "true"]
        } else {
            &[]
        };
        let ran = project.belljar(args.split(' ').chain(command.iter().copied()));
        is_one_sentence(ran.exits(code), errno, hint);
    }
}

#[test]
fn limits_of_the_callers_shell() {
    let project = small();
    let limited = |limit: &str| {
        let belljar = belljar_tests::belljar_bin();
        let line = format!(
            "ulimit {limit} && exec '{}' run -- seq 100000",
            belljar.display()
        );
        Ran::of(project.command("bash").args(["-c", &line]))
    };
    is_one_sentence(limited("-n 40").exits(125), "EMFILE (", "ulimit -n");
    is_one_sentence(limited("-u 1").exits(125), "EAGAIN (", "ulimit -u");
    is_one_sentence(limited("-f 200").exits(6), "EFBIG (", "--evidence");
}

#[test]
fn a_path_that_is_not_set() {
    let project = small();
    let mut belljar = project.belljar_command(["run", "--", "/bin/true"]);
    let ran = Ran::of(belljar.env_remove("PATH"));
    assert!(!ran.exits(0).stderr.contains("of your PATH"), "{ran}");
}

#[test]
fn a_command_whose_interpreter_is_not_there() {
    let project = small();
    project.write("build.sh", "#!/nowhere/sh\n");
    Ran::of(project.command("chmod").args(["+x", "build.sh"])).exits(0);
    let ran = project.belljar(["run", "--", "./build.sh"]);
    is_one_sentence(ran.exits(127), "./build.sh: ENOENT (", "interpreter");
}

#[test]
fn a_shell_without_a_terminal_reads_a_script() {
    let project = small();
    let mut shell = project.belljar_command(["run", "--shell"]);
    fs::write(project.beside("script"), "hostname").expect("a script");
    let script = fs::File::open(project.beside("script")).expect("a script");
    let ran = Ran::of(shell.stdin(script));
    assert_eq!(ran.exits(0).stdout, "belljar\n", "{ran}");
    assert!(!ran.stderr.contains("job control"), "{ran}");
}
