//! Call sites in texts, and what they become, on bytes.

use std::fs;

use proptest::prelude::*;

use super::super::process;
use super::super::sites::Sites;

const SYSCALL: [u8; 2] = [0x0f, 0x05];
const GO: [u8; 12] = [
    0x49, 0x89, 0xf2, 0x48, 0x89, 0xfa, 0x48, 0x89, 0xce, 0x48, 0x89, 0xdf,
];
const GO_AFTER: [u8; 6] = [0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff];
const GLIBC: [u8; 5] = [0x4c, 0x8b, 0x4c, 0x24, 0x08];

/// A text of `pages` pages with some code at an offset, and a return instruction as its last byte
/// before `tail` zeros.
fn text(pages: usize, at: usize, code: &[u8], tail: usize) -> Vec<u8> {
    let mut text = vec![0xcc; pages * 4096];
    text[at..at + code.len()].copy_from_slice(code);
    let end = text.len() - tail;
    text[end..].fill(0);
    text[end - 1] = 0xc3;
    text
}

fn mov(nr: u32) -> Vec<u8> {
    [&[0xb8][..], &nr.to_le_bytes()].concat()
}

/// The text with all spans written.
fn patched(text: &[u8], sites: &Sites) -> Vec<u8> {
    let mut new = text.to_vec();
    for span in std::iter::once(&sites.slots).chain(&sites.jumps) {
        let place = span.at..span.at + span.before.len();
        assert_eq!(text[place.clone()], span.before);
        assert_eq!(span.before.len(), span.after.len());
        new[place].copy_from_slice(&span.after);
    }
    new
}

fn jump(text: &[u8], at: usize) -> usize {
    assert_eq!(text[at], 0xe9, "a jump at {at:#x}");
    target(text, at + 1)
}

fn target(text: &[u8], field: usize) -> usize {
    let distance = i32::from_le_bytes(text[field..field + 4].try_into().unwrap());
    (field + 4).checked_add_signed(distance as isize).unwrap()
}

/// Follows what a thread does that comes to `site`: `displaced`, then to the stub with the address
/// behind the call.
#[track_caller]
fn assert_leads_to_the_stub(new: &[u8], sites: &Sites, site: usize, displaced: &[u8], back: usize) {
    let slot = jump(new, site);
    assert_eq!(new[slot..slot + displaced.len()], *displaced);
    let lea = slot + displaced.len();
    assert_eq!(new[lea..lea + 3], [0x48, 0x8d, 0x0d]);
    assert_eq!(target(new, lea + 3), back);
    assert_eq!(new[back - 2..back], SYSCALL, "the call itself stays");
    let exit = jump(new, lea + 7);
    assert_eq!(new[exit..exit + 2], [0x49, 0xbb]);
    assert_eq!(exit + 2, sites.slots.at + sites.address_at);
    assert_eq!(new[exit + 10..exit + 13], [0x41, 0xff, 0xe3]);
    assert!(sites.returns.contains(&back));
}

#[test]
fn each_kind_of_site_is_found() {
    let moves = [0x48, 0x89, 0xef, 0x4c, 0x89, 0xce, 0x49, 0x8b, 0xd0];
    for (displaced, replaced, after) in [
        (mov(4), 5, &[][..]),
        (mov(5), 5, &[]),
        (mov(6), 5, &[]),
        (mov(262), 5, &[]),
        (mov(332), 5, &[]),
        ([&mov(4)[..], &moves[..3]].concat(), 5, &[]),
        ([&mov(332)[..], &moves].concat(), 5, &[]),
        (GLIBC.to_vec(), 5, &[]),
        (GO[6..].to_vec(), 6, &GO_AFTER[..]),
    ] {
        let before = if after.is_empty() {
            &[0xc3][..]
        } else {
            &GO[..6]
        };
        let code = [before, &displaced, &SYSCALL, after].concat();
        for at in [0, 77, 4090, 4096 * 2 - 9] {
            let text = text(3, at, &code, 400);
            let sites = Sites::find(&text).unwrap_or_else(|| panic!("{code:x?}"));
            let new = patched(&text, &sites);
            let site = at + before.len();
            let back = site + displaced.len() + 2;
            assert_eq!(sites.returns, [back]);
            assert_leads_to_the_stub(&new, &sites, site, &displaced, back);
            // Nothing else has changed in front of the slots.
            let kept = |i: &usize| !(site..site + replaced).contains(i);
            let front = (0..sites.slots.at).filter(kept);
            assert!(front.clone().all(|i| text[i] == new[i]));
        }
    }
}

#[test]
fn what_only_looks_like_one_is_left_alone() {
    let stat = mov(4);
    for (code, why) in [
        (mov(1), "another number"),
        (mov(0x104), "a number that starts the same"),
        ([&[0x41][..], &stat].concat(), "%r8d"),
        ([&[0x49][..], &stat].concat(), "%r8"),
        ([&[0x66][..], &stat].concat(), "a shorter number"),
        ([&stat[..], &[0x90]].concat(), "something else between"),
        ([&stat[..], &[0x48, 0x89, 0xc8]].concat(), "changes rax"),
        ([&stat[..], &[0x48, 0x89, 0xd1]].concat(), "changes rcx"),
        ([&stat[..], &[0x48, 0x89, 0xfc]].concat(), "changes rsp"),
        ([&stat[..], &[0x48, 0x8b, 0x07]].concat(), "reads memory"),
        ([&stat[..], &[0x48, 0x89, 0x07]].concat(), "writes memory"),
        (
            [&stat[..], &[0x48, 0x89, 0xef].repeat(5)].concat(),
            "too far",
        ),
        (GLIBC[1..].to_vec(), "half an instruction"),
        (GO[6..].to_vec(), "not all of Go's"),
    ] {
        let code = [&[0xc3][..], &code, &SYSCALL].concat();
        assert_eq!(Sites::find(&text(2, 50, &code, 400)), None, "{why}");
    }
    let code = [&GO[..], &SYSCALL, &[0xc3]].concat();
    assert_eq!(Sites::find(&text(2, 50, &code, 400)), None, "compares else");
}

#[test]
fn without_room_nothing_is_patched() {
    let code = [&mov(5)[..], &SYSCALL].concat();
    let room = |tail| Sites::find(&text(2, 50, &code, tail)).is_some();
    // Zeros that may belong to the last instruction, the way out, one slot.
    assert!(!room(0) && !room(16) && !room(16 + 13 + 16));
    assert!(room(16 + 15 + 13 + 17));
    let mut cut = text(2, 50, &code, 400);
    cut.truncate(8191);
    assert_eq!(Sites::find(&cut), None);
    assert_eq!(Sites::find(&[]), None);
    assert_eq!(Sites::find(&[0; 8192]), None);
}

#[test]
fn as_many_as_there_is_room_for() {
    let code = [&mov(5)[..], &SYSCALL].concat().repeat(70);
    let full = Sites::find(&text(3, 4000, &code, 2048)).unwrap();
    assert_eq!(full.returns.len(), 64);
    assert_eq!(full.jumps.len(), 2, "one span for each page");
    let few = Sites::find(&text(3, 4000, &code, 16 + 16 + 13 + 3 * 17)).unwrap();
    assert!((3..=4).contains(&few.returns.len()), "{few:?}");
}

/// The text of a file that a program of this machine has mapped.
fn mapped(pid: u32, name: &str) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let is_text = |l: &&str| l.contains(" r-xp ") && l.contains(name);
    let (maps, start) = loop {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        // Not yet loaded.
        if let Some(line) = maps.lines().find(is_text) {
            let (start, _) = line.split_once('-').unwrap();
            let start = u64::from_str_radix(start, 16).unwrap();
            break (maps, start);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let text = process::text_around(&maps, start).expect("a text").text;
    let mut bytes = vec![0; usize::try_from(text.end - text.start).unwrap()];
    let memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    memory.read_exact_at(&mut bytes, start).unwrap();
    bytes
}

#[test]
fn this_machine_s_c_library_and_loader_have_sites() {
    let mut program = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    for (name, least) in [("/libc.so.6", 4), ("/ld-linux", 1)] {
        let text = mapped(program.id(), name);
        let sites = Sites::find(&text).expect(name);
        assert!(sites.returns.len() >= least, "{name}: {sites:?}");
        let new = patched(&text, &sites);
        for &back in &sites.returns {
            assert_eq!(new[back - 2..back], SYSCALL);
        }
        // A text that is patched already has none left.
        assert_eq!(Sites::find(&new), None);
    }
    program.kill().unwrap();
    program.wait().unwrap();
}

proptest! {
    #[test]
    fn any_text_is_taken(
        seed in proptest::collection::vec(any::<u8>(), 1..200),
        places in proptest::collection::vec((0usize..8000, 0usize..6, 0usize..4), 0..20),
        tail in 0usize..600,
    ) {
        let mut bytes: Vec<u8> = seed.iter().copied().cycle().take(8192).collect();
        let moves = [0x48, 0x89, 0xef].repeat(4);
        for (at, kind, between) in places {
            let code = match kind {
                0 => GLIBC.to_vec(),
                1 => GO.to_vec(),
                n => [&mov([4, 5, 262, 332][n - 2])[..], &moves[..3 * between]].concat(),
            };
            let code = [&code[..], &SYSCALL, &GO_AFTER].concat();
            bytes[at..at + code.len()].copy_from_slice(&code);
        }
        let end = bytes.len() - tail;
        bytes[end..].fill(0);
        if let Some(sites) = Sites::find(&bytes) {
            let new = patched(&bytes, &sites);
            prop_assert_eq!(new.len(), bytes.len());
            for span in &sites.jumps {
                prop_assert!(span.at + span.after.len() <= sites.slots.at);
            }
            for &back in &sites.returns {
                prop_assert_eq!(&new[back - 2..back], &SYSCALL);
            }
            prop_assert!(sites.slots.at + sites.slots.after.len() <= bytes.len());
        }
    }
}
