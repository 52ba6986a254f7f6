//! The vDSO parser and the patch, on bytes.

use proptest::prelude::*;

use super::super::elf::{Elf, ImageError};
use super::super::image::{Patch, Reader, Room, mapped_len, time_symbols};
use super::super::stamps::Stamps;
use super::super::{blob, own};

const SHOFF: usize = 0x28;
const LOAD_SIZES: [usize; 2] = [64 + 32, 64 + 40];

fn rule() -> Stamps {
    Stamps::new(1_800_000_000, 7)
}

fn image() -> Vec<u8> {
    own::image()
        .expect("a readable vDSO")
        .expect("a vDSO")
        .to_vec()
}

/// The image after the patch.
fn apply(patch: &Patch, image: &[u8]) -> Vec<u8> {
    let mut new = image.to_vec();
    let head = patch.head.at..patch.head.at + patch.head.bytes.len();
    assert_eq!(new[head], patch.head_before);
    for write in [&patch.blob, &patch.head] {
        new[write.at..write.at + write.bytes.len()].copy_from_slice(&write.bytes);
    }
    new
}

#[test]
fn this_kernel_s_vdso_has_all_readers_and_room() {
    let image = image();
    assert_eq!(mapped_len(&image), Ok(image.len()));
    let symbols = time_symbols(&image).unwrap();
    for reader in [Reader::ClockGettime, Reader::Gettimeofday, Reader::Time] {
        // Under two names each.
        assert_eq!(
            symbols.iter().filter(|s| s.reader == reader).count(),
            2,
            "{reader:?}"
        );
    }
    let patch = Patch::new(&image, 1, rule()).unwrap();
    let new = apply(&patch, &image);
    // Only the symbols' values have changed of what programs look at.
    let moved = time_symbols(&new).unwrap();
    for (old, new) in symbols.iter().zip(&moved) {
        assert_eq!((old.reader, old.value_at), (new.reader, new.value_at));
        let blob = patch.blob.at as u64..(patch.blob.at + patch.blob.bytes.len()) as u64;
        assert!(blob.contains(&new.value) && !blob.contains(&old.value));
    }
    let text = symbols.iter().map(|s| s.value).min().unwrap();
    let text = usize::try_from(text).unwrap()..patch.blob.at;
    assert_eq!(new[text.clone()], image[text], "the code is as it was");
    assert!(
        patch
            .own_calls
            .iter()
            .all(|&at| image[..usize::try_from(at).unwrap()].ends_with(&[0x0f, 0x05]))
    );
}

/// The kernel of Debian's backports, 6.12, leaves the least behind its vDSO: 992 bytes.
#[test]
fn the_blob_fits_where_there_is_least_room() {
    let patch = Patch::new(&image(), 1, rule()).unwrap();
    assert!(patch.blob.bytes.len() <= 992, "{}", patch.blob.bytes.len());
}

#[test]
fn whole_words_are_written() {
    for offset in [0, 1, -1, i64::MAX] {
        let patch = Patch::new(&image(), offset, rule()).unwrap();
        for write in [&patch.blob, &patch.head] {
            assert_eq!((write.at % 8, write.bytes.len() % 8), (0, 0));
            let bytes: Vec<u8> = write.words().flat_map(|(_, w)| w.to_le_bytes()).collect();
            assert_eq!(bytes, write.bytes);
            assert_eq!(write.words().next().unwrap().0, write.at as u64);
        }
        assert_eq!(patch.mark[8..], offset.to_le_bytes());
    }
}

/// The image with its segment so long that `free` bytes are left behind it, without moving anything.
fn with_tail(free: usize) -> Vec<u8> {
    let mut image = image();
    let end = (image.len() - free) as u64;
    for field in LOAD_SIZES {
        image[field..field + 8].copy_from_slice(&end.to_le_bytes());
    }
    image
}

#[test]
fn a_short_tail_costs_the_section_headers_and_then_the_unwind_table() {
    let need = blob::assembled().0.len();
    let roomy = Patch::new(&with_tail(1024), 5, rule()).unwrap();
    let full = roomy.blob.bytes.len();
    assert!(full > need);

    let short = with_tail(need - 16);
    let patch = Patch::new(&short, 5, rule()).unwrap();
    let new = apply(&patch, &short);
    assert!(
        patch.blob.at < image().len() - need,
        "over what is not needed"
    );
    assert_eq!(new[SHOFF..SHOFF + 8], [0; 8]);
    assert_eq!(patch.blob.bytes.len(), full, "with its unwind table");

    // Sections that end where only the blob itself fits: the last needed one made as long.
    let mut shorter = short.clone();
    let shoff = usize::try_from(u64::from_le_bytes(
        shorter[SHOFF..SHOFF + 8].try_into().unwrap(),
    ))
    .unwrap();
    let end = (shorter.len() - need.next_multiple_of(16)) as u64;
    let dynsym_size = shoff + 3 * 64 + 32;
    let dynsym_start =
        u64::from_le_bytes(shorter[dynsym_size - 8..dynsym_size].try_into().unwrap());
    shorter[dynsym_size..dynsym_size + 8].copy_from_slice(&(end - 16 - dynsym_start).to_le_bytes());
    // A section that only the linker reads, so that the symbols are counted by the hash table.
    let patch = Patch::new(&shorter, 5, rule()).unwrap();
    assert_eq!(patch.blob.bytes.len(), need.next_multiple_of(8), "without");

    shorter[dynsym_size..dynsym_size + 8].copy_from_slice(&(end + 32 - dynsym_start).to_le_bytes());
    let error = Patch::new(&shorter, 5, rule()).unwrap_err();
    assert!(
        matches!(error, ImageError::NoRoom { free, need: n } if free < n),
        "{error}"
    );
}

#[test]
fn what_is_no_vdso_is_refused_in_a_sentence() {
    let mut other_class = image();
    other_class[4] = 1;
    assert_eq!(
        Patch::new(&other_class, 0, rule()).unwrap_err().to_string(),
        "the vDSO can't be read: not a 64-bit ELF image"
    );
    let mut nameless = image();
    for symbol in time_symbols(&nameless).unwrap() {
        nameless[symbol.value_at..symbol.value_at + 8].fill(0);
    }
    assert_eq!(Patch::new(&nameless, 0, rule()), Err(ImageError::NoSymbols));
    assert!(Patch::new(&image()[..200], 0, rule()).is_err());
    assert!(Patch::new(&[], 0, rule()).is_err());
}

#[test]
fn symbols_are_found_without_a_hash_table() {
    // As linkers on other architectures leave it out: by the section header, then by the tables' places.
    let mut image = image();
    let dynamic = (0..image.len() - 16)
        .step_by(8)
        .find(|&at| {
            image[at..at + 8] == 4u64.to_le_bytes() && Elf(&image).dynamic().unwrap().0 <= at
        })
        .expect("DT_HASH");
    image[dynamic..dynamic + 8].copy_from_slice(&0x6fff_0000u64.to_le_bytes());
    assert_eq!(time_symbols(&image).unwrap().len(), 6);
    super::super::elf::drop_sections(&mut image).unwrap();
    assert_eq!(time_symbols(&image).unwrap().len(), 6);
}

proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Patch::new(&bytes, 0, rule());
        let _ = mapped_len(&bytes);
    }

    #[test]
    fn a_damaged_image_is_refused_or_patched_in_bounds(
        damage in proptest::collection::vec((0usize..0x1700, any::<u8>()), 1..12),
        cut in 0usize..0x2000,
    ) {
        let mut image = image();
        for (at, byte) in damage {
            image[at] = byte;
        }
        image.truncate(image.len() - cut.min(image.len()));
        let _ = mapped_len(&image);
        if let Ok(patch) = Patch::new(&image, 7, rule()) {
            apply(&patch, &image);
        }
    }

    #[test]
    fn any_room_is_taken(at in 0usize..0x3000, unwind: bool, drops_sections: bool) {
        let image = image();
        let room = Room { at: at / 16 * 16, unwind, drops_sections };
        let _ = Patch::in_room(&image, 7, rule(), room);
    }
}
