//! The stamps of System V objects.

use super::*;

#[track_caller]
fn assert_stamps(ran: &Ran, offset: i64) {
    assert_eq!(
        (ran.code, &ran.uncovered[..]),
        (Some(0), &[][..]),
        "{ran:?}"
    );
    let mut seen = 0;
    for line in ran.text.lines() {
        let (name, seconds) = line.split_once(' ').expect("a name and a number");
        let seconds = seconds.parse().expect("a number");
        if name.starts_with("never-") {
            assert_eq!(seconds, 0, "{line}: {ran:?}");
        } else {
            ran.assert_reads(name, seconds, offset);
        }
        seen += 1;
    }
    assert_eq!(seen, 10, "{ran:?}");
}

#[test]
fn stamps_of_system_v_objects_are_moved() {
    let folder = folder();
    for flags in [&[][..], &["-static"]] {
        let program = compile(folder.path(), "gcc", "objects.c", flags);
        for offset in [OFFSET, -OFFSET, 0] {
            assert_stamps(&skewed(command(&program, &[]), offset), offset);
        }
        assert_stamps(&plain(command(&program, &[])), 0);
    }
}
