//! Evidence as root writes it.

use belljar_tests::{Project, Ran, belljar_bin};

/// A file system with room for the documents, and none for the log.
#[test]
fn a_full_folder_changes_the_code_and_leaves_the_old_result() {
    let project = Project::empty_for_caller();
    let script = "set -e
        mkdir $FULL; mount -t tmpfs -o size=256k none $FULL
        $BELLJAR run --evidence $FULL -- echo first
        cp $FULL/result.json before
        $BELLJAR run --evidence $FULL -- sh -c 'yes | head -c 2000000' >out 2>err && code=0 || code=$?
        echo code $code; cat err
        cmp $FULL/result.json before && echo the same
        ls -a $FULL
        $BELLJAR explain $FULL; echo explained $?";
    let mut command = project.command("unshare");
    command
        .args(["-m", "sh", "-c", script])
        .env("BELLJAR", belljar_bin())
        .env("FULL", project.beside("full"));
    let ran = Ran::of(&mut command);
    ran.exits(0);
    let said = "evidence is not written: could not write logs/a.log: ENOSPC";
    for word in ["code 6\n", said, "the same\n", "explained 0\n"] {
        assert!(ran.stdout.contains(word), "{word}{ran}");
    }
    assert!(!ran.stdout.contains("\n.belljar"), "{ran}");
}
