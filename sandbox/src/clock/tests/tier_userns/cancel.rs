//! Threads that are cancelled, or unwound, while they wait in the stub.

use super::super::super::{image::Patch, image::Room, own};
use super::*;

const WAYS: [&str; 3] = ["cond", "sem", "nanosleep"];

/// As glibc from 2.41 on does it: whether a thread is cancelled depends on the very instruction.
const NEWER_WAYS: [&str; 3] = ["own-nanosleep", "own-futex", "own-mq"];

#[test]
fn a_cancelled_wait_cleans_up_as_without() {
    let folder = folder();
    let program = compile(
        folder.path(),
        "gcc",
        "cancel.c",
        &["-pthread", "-rdynamic", "-lrt"],
    );
    for how in WAYS.into_iter().chain(NEWER_WAYS) {
        let ran = skewed(command(&program, &[how, "cancel"]), OFFSET);
        let wanted = plain(command(&program, &[how, "cancel"]));
        assert!(wanted.text.starts_with("cancelled "), "{wanted:?}");
        assert_eq!(
            (&ran.text, ran.code),
            (&wanted.text, Some(0)),
            "{how}: {ran:?}"
        );
        assert!(ran.counters.redirected > 0, "{ran:?}");
    }
}

/// Whether a stack seen from a signal handler reaches `main`.
fn reaches_main(ran: &Ran) -> bool {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.text.starts_with("look"), "{ran:?}");
    ran.text.lines().any(|name| name == "main")
}

#[test]
fn a_stack_is_seen_through_the_stub() {
    let folder = folder();
    let flags = [
        "-pthread",
        "-rdynamic",
        "-lrt",
        "-fno-optimize-sibling-calls",
    ];
    let program = compile(folder.path(), "gcc", "cancel.c", &flags);
    for how in WAYS {
        let ran = skewed(command(&program, &[how, "look"]), OFFSET);
        assert!(reaches_main(&ran), "{how}: {ran:?}");
    }
    // Without the unwind table it ends at the stub: the table is what does it.
    let mut skewer = Skewer::make(OFFSET, now()).expect("the skewer");
    let image = own::image().expect("a readable vDSO").expect("a vDSO");
    let coverer = skewer.coverer.as_mut().expect("a vDSO");
    let room = Room {
        at: coverer.patch.blob.at,
        unwind: false,
        drops_sections: false,
    };
    coverer.patch =
        Patch::in_room(image, OFFSET, Stamps::new(now(), OFFSET), room).expect("a patch");
    let ran = skewed_by(command(&program, &["nanosleep", "look"]), &Arc::new(skewer));
    assert!(!reaches_main(&ran), "{ran:?}");
}

#[test]
fn an_exception_passes_through_the_stub() {
    let folder = folder();
    let flags = ["-fnon-call-exceptions", "-fasynchronous-unwind-tables"];
    let program = compile(folder.path(), "g++", "throw.cc", &flags);
    for ran in [
        skewed(command(&program, &[]), OFFSET),
        plain(command(&program, &[])),
    ] {
        assert_eq!(
            (ran.text.as_str(), ran.code),
            ("thrown\n", Some(0)),
            "{ran:?}"
        );
    }
}
