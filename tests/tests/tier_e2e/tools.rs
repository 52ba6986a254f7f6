//! Toolchains of the caller, warm download caches, and the commands that write small files.

use std::os::unix::fs::PermissionsExt as _;

use belljar_tests::{Project, Ran};

use crate::{run, small};

/// Writes an executable script below the home of whoever runs belljar.
fn script(project: &Project, path: &str, content: &str) {
    let path = project.home().join(path);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    std::fs::write(&path, format!("#!/bin/sh\n{content}\n")).expect("a script");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("the mode");
}

/// `belljar run -- sh -c SCRIPT` with these folders of the home first in PATH.
fn with_path(project: &Project, folders: &[&str], options: &[&str], script: &str) -> Ran {
    let mut path: Vec<_> = folders
        .iter()
        .map(|f| project.home().join(f).display().to_string())
        .collect();
    path.push("/usr/bin:/bin".into());
    // Ownership of what was put into the home.
    project.write(".keep", "");
    let args = [&["run"], options, &["--", "sh", "-c", script]].concat();
    Ran::of(project.belljar_command(args).env("PATH", path.join(":")))
}

#[test]
fn a_toolchain_in_a_home_works_and_brings_no_secrets() {
    let project = small();
    script(&project, ".cargo/bin/cargo-mine", "echo mine");
    script(&project, ".cargo/credentials.toml", "secret");
    script(&project, ".ssh/id", "secret");
    let ran = with_path(
        &project,
        &[".cargo/bin"],
        &[],
        "cargo-mine; ls -A / /toolchains/* /home/* /root 2>&1; echo $PATH",
    );
    let seen = &ran.exits(0).stdout;
    assert!(seen.starts_with("mine\n"), "{ran}");
    assert!(
        seen.contains("/toolchains/cargo/bin:/usr/local/bin:/usr/bin:/bin"),
        "{ran}"
    );
    assert!(
        !seen.contains("credentials") && !seen.contains(".ssh"),
        "{ran}"
    );
}

/// pyenv's shims name their own home, so that path leads to the toolchain.
#[test]
fn a_toolchain_that_names_its_own_path_keeps_it() {
    let project = small();
    let root = project.home().join(".pyenv");
    script(
        &project,
        ".pyenv/libexec/pyenv",
        "echo python of \"$PYENV_ROOT\"",
    );
    script(
        &project,
        ".pyenv/shims/mypython",
        &format!("exec {}/libexec/pyenv", root.display()),
    );
    let ran = with_path(&project, &[".pyenv/shims"], &[], "mypython");
    assert_eq!(
        ran.exits(0).stdout,
        "python of /toolchains/pyenv\n",
        "{ran}"
    );
    let result = std::fs::read_to_string(project.dir().join("artifacts/result.json"));
    let result = result.expect("a result");
    assert!(result.contains("$HOME/.pyenv"), "{result}");
    assert!(!result.contains(root.to_str().expect("UTF-8")), "{result}");
}

#[test]
fn a_folder_on_the_path_that_no_table_knows_is_named_and_left_out() {
    let project = small();
    script(&project, "bin/mytool", "echo mine");
    let without = with_path(&project, &["bin"], &[], "mytool");
    without.exits(127);
    let bin = project.home().join("bin").display().to_string();
    assert!(
        without.stderr.contains(&bin) && without.stderr.contains("--ro"),
        "{without}"
    );
    let shown = with_path(
        &project,
        &["bin"],
        &["--ro", &bin],
        &format!("{bin}/mytool"),
    );
    assert_eq!(shown.exits(0).stdout, "mine\n");
    let write = format!("echo x >{bin}/mytool");
    let refused = with_path(&project, &["bin"], &["--ro", &bin], &write);
    assert_ne!(refused.code, 0, "it is read-only\n{refused}");
}

/// A module proxy of files fills the cache; the build then has the cache alone.
#[test]
fn a_warm_go_cache_serves_the_build() {
    let project = Project::empty();
    project
        .write(
            "go.mod",
            "module app\n\ngo 1.19\n\nrequire example.test/hi v1.0.0\n",
        )
        .write(
            "main.go",
            "package main\n\nimport \"example.test/hi\"\n\nfunc main() { println(hi.Hi()) }\n",
        );
    let proxy = project.beside("proxy");
    let versions = proxy.join("example.test/hi/@v");
    std::fs::create_dir_all(&versions).expect("a folder");
    let put =
        |name: &str, content: &str| std::fs::write(versions.join(name), content).expect("a file");
    put("v1.0.0.mod", "module example.test/hi\n");
    put("v1.0.0.info", "{\"Version\": \"v1.0.0\"}");
    // Go takes no archive that has entries for folders.
    put(
        "pack.py",
        "import zipfile\n\
         with zipfile.ZipFile('v1.0.0.zip', 'w') as z:\n\
         \x20   z.writestr('example.test/hi@v1.0.0/go.mod', 'module example.test/hi\\n')\n\
         \x20   z.writestr('example.test/hi@v1.0.0/hi.go', 'package hi\\n\\nfunc Hi() string { return \"hi\" }\\n')\n",
    );
    project.write(".keep", "");
    let mut pack = project.command("python3");
    Ran::of(pack.arg("pack.py").current_dir(&versions)).exits(0);
    let fetch = Ran::of(
        project
            .command("go")
            .args(["mod", "tidy"])
            .env("GOPROXY", format!("file://{}", proxy.display()))
            .env("GONOSUMDB", "*"),
    );
    fetch.exits(0);
    let build = "go build -o app . && ./app 2>&1";
    let cold = run(&project, &[], build);
    assert_ne!(cold.code, 0, "{cold}");
    let warm = run(&project, &["--cache", "go"], build);
    assert_eq!(warm.exits(0).stdout, "hi\n", "{warm}");
}

#[test]
fn a_warm_npm_cache_serves_the_build() {
    let project = Project::empty();
    let manifest =
        "{\"name\": \"x\", \"version\": \"1.0.0\", \"dependencies\": {\"left-pad\": \"1.3.0\"}}";
    project.write("package.json", manifest);
    let install = ["install", "--no-audit", "--no-fund"];
    Ran::of(project.command("npm").args(install)).exits(0);
    std::fs::remove_dir_all(project.dir().join("node_modules")).expect("the packages");
    let script = "npm ci --no-audit --no-fund && cat node_modules/left-pad/package.json";
    let warm = run(&project, &["--cache", "npm", "--no-export"], script);
    assert!(
        warm.exits(0).stdout.contains("\"version\": \"1.3.0\""),
        "{warm}"
    );
    let other = run(
        &project,
        &["--cache", "npm"],
        "npm install --no-audit is-odd",
    );
    assert_ne!(
        other.code, 0,
        "what the cache lacks is not fetched\n{other}"
    );
}

/// pip built a wheel once; its cache serves it by name, without an index.
#[test]
fn a_warm_pip_cache_serves_the_build() {
    let project = Project::copy_of("fixtures/projects/python");
    let cache = project.home().join(".cache/pip/wheels/1a/b0/8c/4b75");
    std::fs::create_dir_all(&cache).expect("a folder");
    project.write(".keep", "");
    let wheel = "python3 -m pip wheel --no-build-isolation --no-deps --no-index -w";
    Ran::of(
        project
            .command("sh")
            .args(["-c", &format!("{wheel} {} .", cache.display())]),
    )
    .exits(0);
    let empty = small();
    let install = "python3 -m pip install --break-system-packages --target site tally && ls site";
    let cold = run(&empty, &[], install);
    assert_ne!(cold.code, 0, "{cold}");
    let mut warm = empty.belljar_command(["run", "--cache", "pip", "--", "sh", "-c", install]);
    let warm = Ran::of(warm.env("PIP_CACHE_DIR", project.home().join(".cache/pip")));
    assert!(warm.exits(0).stdout.contains("tally"), "{warm}");
}

#[test]
fn what_init_writes_verifies() {
    let project = Project::copy_of("fixtures/hello-c");
    assert_eq!(project.belljar(["init", "--print"]).exits(0).stderr, "");
    let wrote = project.belljar(["init"]);
    assert!(wrote.exits(0).stderr.contains("belljar.toml"), "{wrote}");
    project.belljar(["init"]).exits(2);
    project.belljar(["verify"]).exits(0);
    assert_eq!(project.evidence().verdict(), "reproducible");
}

/// A home without any cache is that of a fresh machine.
#[test]
fn what_init_writes_builds_where_no_cache_is_yet() {
    let cargo = Project::empty_for_caller();
    cargo
        .write(
            "Cargo.toml",
            "[package]\nname = \"one\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
        )
        .write("src/main.rs", "fn main() { println!(\"one\"); }\n");
    let go = Project::empty_for_caller();
    go.write("go.mod", "module one\n\ngo 1.19\n// require nothing\n")
        .write(
            "main.go",
            "package main\n\nfunc main() { println!(1) }\n".replace('!', ""),
        );
    let npm = Project::empty();
    let lock = "{\"name\": \"one\", \"version\": \"1.0.0\", \"lockfileVersion\": 2, \"packages\": {\"\": {\"name\": \"one\", \"version\": \"1.0.0\"}}}";
    npm.write("package.json", "{\"name\": \"one\", \"version\": \"1.0.0\", \"scripts\": {\"build\": \"mkdir -p dist && echo 1 >dist/one\"}}")
        .write("package-lock.json", lock);
    let home = std::env::var_os("HOME").expect("HOME");
    let home = home.to_str().expect("a path");
    std::fs::create_dir(cargo.home().join(".cargo")).expect("a folder");
    let proxies = cargo.home().join(".cargo/bin");
    Ran::of(
        cargo
            .command("cp")
            .args(["-a", &format!("{home}/.cargo/bin")])
            .arg(&proxies),
    )
    .exits(0);
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", proxies.display());
    for (project, fill) in [
        (cargo, "cargo fetch"),
        (go, "go mod download"),
        (npm, "npm ci"),
    ] {
        let belljar = |args: &[&str]| {
            let mut command = project.belljar_command(args);
            command.env("PATH", &path);
            command.env("RUSTUP_HOME", format!("{home}/.rustup"));
            Ran::of(&mut command)
        };
        let wrote = belljar(&["init"]);
        assert!(wrote.exits(0).stderr.contains(fill), "{wrote}");
        let file = std::fs::read_to_string(project.dir().join("belljar.toml"));
        assert!(file.expect("a file").contains("\ncache = "), "{wrote}");
        let ran = belljar(&["run"]);
        assert!(
            ran.exits(0).stderr.contains(fill),
            "what is missing is told\n{ran}"
        );
        let typed = belljar(&[
            "run",
            "--cache",
            &fill[..fill.find(' ').expect("two words")],
        ]);
        typed.exits(2);
    }
}

#[test]
fn completions_and_man_pages_are_well_formed() {
    let project = small();
    let bash = project.belljar(["completions", "bash"]);
    project.write("completion.bash", &bash.exits(0).stdout);
    let load = "set -eu; . ./completion.bash; complete -p belljar";
    let loaded = Ran::of(project.command("bash").args(["-c", load]));
    assert!(loaded.exits(0).stdout.contains("belljar"), "{loaded}");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let script = project.belljar(["completions", shell]);
        assert!(script.exits(0).stdout.contains("skew"), "{script}");
    }
    let page = project.belljar(["man"]);
    assert!(page.exits(0).stdout.contains(".TH belljar 1"), "{page}");
    std::fs::create_dir(project.dir().join("man1")).expect("a folder");
    project.write(".keep", "");
    project.belljar(["man", "--dir", "man1"]).exits(0);
    let verify = std::fs::read_to_string(project.dir().join("man1/belljar-verify.1"));
    assert!(verify.expect("a page").contains("skew"));
    project.belljar(["man", "--dir", "nowhere"]).exits(2);
}
