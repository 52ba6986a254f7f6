//! Globs, scratch, and the page that lists it.

use super::*;

fn chosen(globs: &[&str], cwd: &str, path: &str) -> bool {
    let outputs = Outputs {
        globs: globs.iter().map(|g| (*g).to_owned()).collect(),
        ..Outputs::default()
    };
    let selection = Selection::new(&outputs, &cwd.into()).unwrap();
    selection.choose(path.as_bytes(), false) == Choice::Output
}

#[test]
fn globs_are_relative_to_the_start_folder() {
    assert!(chosen(&["hello"], "", "hello"));
    assert!(!chosen(&["hello"], "", "sub/hello"));
    assert!(chosen(&["hello"], "sub", "sub/hello"));
    assert!(!chosen(&["hello"], "sub", "hello"));
    assert!(chosen(&["../target/x"], "member", "target/x"));
    assert!(chosen(&["./a/*.o"], "", "a/b.o"));
    assert!(!chosen(&["a/*.o"], "", "a/c/b.o"));
    assert!(chosen(&["a/**/*.o"], "", "a/c/d/b.o"));
    assert!(chosen(&["a/**/*.o"], "", "a/b.o"));
    assert!(!chosen(&["*"], "", "a/b"));
}

#[test]
fn a_named_folder_takes_what_is_below() {
    for glob in ["dist", "dist/", "./dist/"] {
        assert!(chosen(&[glob], "", "dist/x/y"), "{glob}");
        assert!(chosen(&[glob], "", "dist"), "{glob}");
        assert!(!chosen(&[glob], "", "distant"), "{glob}");
    }
    assert!(chosen(&["."], "sub", "sub/x/y"));
    assert!(!chosen(&["."], "sub", "x"));
    assert!(chosen(&[".."], "sub", "x/y"));
}

#[test]
fn names_of_any_bytes_are_matched() {
    let outputs = Outputs {
        globs: vec!["*".to_owned()],
        ..Outputs::default()
    };
    let selection = Selection::new(&outputs, &OsText::default()).unwrap();
    assert_eq!(selection.choose(b"\xff\n", false), Choice::Output);
}

#[test]
fn bad_globs_are_refused_by_name() {
    for glob in ["", "/etc", "a/../b", "..", "[", "{a"] {
        let outputs = Outputs {
            globs: vec![glob.to_owned()],
            ..Outputs::default()
        };
        let e = Selection::new(&outputs, &OsText::default()).unwrap_err();
        assert!(e.to_string().contains(&format!("`{glob}`")), "{e}");
    }
}

#[test]
fn unmatched_globs_are_named() {
    let outputs = Outputs {
        globs: vec!["a*".to_owned(), "b*".to_owned()],
        ..Outputs::default()
    };
    let selection = Selection::new(&outputs, &OsText::default()).unwrap();
    selection.note(b"a1");
    assert_eq!(selection.unmatched(), ["b*"]);
}

#[test]
fn scratch_is_told_apart() {
    for (path, is_dir, rule) in [
        (".git", true, Some(".git/**")),
        (".git/index", false, Some(".git/**")),
        ("sub/.git/hooks/x", false, Some(".git/**")),
        ("config.log", false, Some("config.log")),
        ("x/config.status", false, Some("config.status")),
        ("CMakeFiles/a.o", false, Some("CMakeFiles/**")),
        ("b/CMakeFiles", true, Some("CMakeFiles/**")),
        (".ninja_log", false, Some(".ninja_*")),
        ("a/foo.d", false, Some("*.d")),
        ("conf.d", true, None),
        ("conf.d/x", false, None),
        (
            "target/debug/.fingerprint/x/y",
            false,
            Some("target/**/.fingerprint/**"),
        ),
        (
            "target/release/build/x/out",
            false,
            Some("target/**/build/**"),
        ),
        ("target/.rustc_info.json", false, Some(".rustc_info.json")),
        ("target/release/app", false, None),
        ("build/app", false, None),
        ("app.log", false, None),
        (".gitignore", false, None),
    ] {
        let found = scratch(path.as_bytes(), is_dir).map(|s| s.rule);
        assert_eq!(found.as_deref(), rule, "{path}");
    }
}

#[test]
fn the_page_has_the_list() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/outputs.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(&format!("`{SCRATCH_LIST}`")));
    for rule in scratch_rules() {
        let line = format!("\n| `{}` | {} |", rule.glob, rule.reason);
        assert!(page.contains(&line), "{line}");
    }
}

#[test]
fn every_rule_compiles_and_has_a_reason() {
    assert!(
        scratch(b".git/x", false).is_some(),
        "the list did not compile"
    );
    for rule in scratch_rules() {
        assert!(!rule.reason.is_empty(), "{}", rule.glob);
        let example = rule.glob.replace("**", "x").replace('*', "x");
        assert!(scratch(example.as_bytes(), false).is_some(), "{example}");
    }
}
