use std::path::PathBuf;

use super::*;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path: PathBuf = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

#[test]
fn what_is_written_is_understood_and_small() {
    let projects: &[&[(&str, &str)]] = &[
        &[("Makefile", "all:")],
        &[("configure", ""), ("Makefile.in", "")],
        &[("CMakeLists.txt", ""), ("Makefile", "")],
        &[
            ("Cargo.toml", ""),
            ("Cargo.lock", "source = \"registry+x\""),
            (".git/HEAD", ""),
        ],
        &[
            ("Cargo.toml", ""),
            ("Cargo.lock", "source = \"registry+x\""),
            ("vendor/x", ""),
        ],
        &[("Cargo.toml", ""), ("Cargo.lock", "[[package]]")],
        &[("go.mod", "module x\nrequire y v1\n")],
        &[("go.mod", "module x\n")],
        &[
            ("package.json", "{\"scripts\": {\"build\": \"x\"}}"),
            ("package-lock.json", ""),
        ],
        &[
            ("package.json", "{\"scripts\": {\"build\": \"x\"}}"),
            ("node_modules/x", ""),
            (".git/HEAD", ""),
        ],
        &[("package.json", "{}")],
        &[("pyproject.toml", "")],
        &[("README", "")],
    ];
    let mut all = String::new();
    for files in projects {
        let dir = folder(files);
        let project = Project::look(dir.path());
        let text = text(&project);
        let file = crate::config::read(&dir.path().join(NAME), &text).unwrap();
        let command: Vec<_> = project
            .command
            .iter()
            .map(std::ffi::OsString::from)
            .collect();
        assert_eq!(file.command, command, "{text}");
        assert!(text.lines().count() < 25, "{text}");
        let names: Vec<_> = files.iter().map(|(name, _)| *name).collect();
        let _ = writeln!(all, "===== {} ({})\n{text}", project.kind, names.join(", "));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_file_that_is_there_is_kept() {
    let dir = folder(&[("belljar.toml", "mine")]);
    let args = InitArgs {
        workdir: dir.path().into(),
        print: false,
    };
    let e = run(&args).unwrap_err();
    assert!(e.message.contains("is there already"), "{e}");
    let kept = std::fs::read_to_string(dir.path().join("belljar.toml")).unwrap();
    assert_eq!(kept, "mine");
}

#[test]
fn it_is_written_once() {
    let dir = folder(&[("Makefile", "all:")]);
    let args = InitArgs {
        workdir: dir.path().into(),
        print: false,
    };
    assert!(run(&args).is_ok());
    let text = std::fs::read_to_string(dir.path().join("belljar.toml")).unwrap();
    assert!(text.contains("command = [\"make\"]"), "{text}");
    assert!(run(&args).is_err());
    let nowhere = InitArgs {
        workdir: dir.path().join("nowhere"),
        print: true,
    };
    assert!(run(&nowhere).is_err());
}
