//! Other kernels, each in an emulated machine of its own.
#![forbid(unsafe_code)]

use std::process::Command;

use belljar_tests::Ran;

#[test]
fn the_emulator_of_this_tier_is_there() {
    Ran::of(Command::new("qemu-system-x86_64").arg("--version")).exits(0);
}
