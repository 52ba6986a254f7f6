//! Other kernels, each in an emulated machine of its own.
#![forbid(unsafe_code)]

use belljar_tests::{KERNELS, Vm};

#[test]
fn each_kernel_boots_and_hands_output_and_exit_code_back() {
    for (series, _) in KERNELS {
        let ran = Vm::of(series).shell("uname -r; ls /sys/fs/cgroup/cgroup.controllers; exit 7");
        ran.exits(7);
        assert!(ran.stdout.starts_with(&format!("{series}.")), "{ran}");
        assert!(
            ran.stdout.contains("/sys/fs/cgroup/cgroup.controllers\n"),
            "{ran}"
        );
    }
}
