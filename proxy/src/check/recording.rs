//! Recordings.

use std::fs::File;
use std::io::Write as _;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::http::{Framing, parse_response};
use crate::record::{Tape, index, seal};

/// Of a recording that opens, every body can be read and every head is one; its index written again
/// is the same. One whose end does not fit does not open.
///
/// The first byte says how many of those after it are bodies; the rest is the index.
pub fn recording(bytes: &[u8]) {
    if let Some(file) = file(bytes) {
        let digest_fits = Tape::open(file).is_ok();
        assert!(!digest_fits || bytes.len() >= 128);
    }
    let Some((&length, rest)) = bytes.split_first() else {
        return;
    };
    let (bodies, text) = rest.split_at(usize::from(length).min(rest.len()));
    let Some(tape) = sealed(bodies, text) else {
        return;
    };
    let lines = text.split(|b| *b == b'\n').filter(|l| !l.is_empty());
    assert_eq!(tape.len(), lines.count(), "a question that stands twice");
    for (_, answers) in tape.iter() {
        assert!(!answers.is_empty());
        for entry in answers {
            for piece in entry.pieces() {
                assert!(tape.read(piece).is_ok());
            }
            let head = entry.head(Framing::Empty, true);
            let read = parse_response(&head, usize::MAX, "HEAD");
            assert!(matches!(&read, Ok(Some((_, end))) if *end == head.len()));
        }
    }
    let all = || {
        tape.iter()
            .map(|(key, answers)| (key.clone(), answers.clone()))
    };
    let Ok(again) = index(all()) else {
        panic!("an index that can't be written");
    };
    let Some(again) = sealed(bodies, &again) else {
        panic!("an index that is none when it is written");
    };
    assert!(again.iter().eq(tape.iter()));
}

fn sealed(bodies: &[u8], text: &[u8]) -> Option<Tape> {
    let file = file(bodies)?;
    seal(&file, bodies.len() as u64, text).ok()?;
    Tape::open(file).ok()
}

fn file(bytes: &[u8]) -> Option<File> {
    let mut file = File::from(memfd_create("recording", MFdFlags::MFD_CLOEXEC).ok()?);
    file.write_all(bytes).ok()?;
    Some(file)
}
