//! The `prctl` calls on capabilities that the `caps` crate lacks or offers only for capabilities it
//! knows by name.

use libc::c_ulong;
use nix::errno::Errno;

/// Is capability `number` in the bounding set? `EINVAL` if the kernel has no such capability.
pub fn in_bounding_set(number: u8) -> nix::Result<bool> {
    // SAFETY: takes only integers
    let result = unsafe {
        libc::prctl(
            libc::PR_CAPBSET_READ,
            c_ulong::from(number),
            0u64,
            0u64,
            0u64,
        )
    };
    Errno::result(result).map(|set| set == 1)
}

/// Takes capability `number` out of the bounding set, for good.
pub fn drop_from_bounding_set(number: u8) -> nix::Result<()> {
    // SAFETY: takes only integers
    let result = unsafe {
        libc::prctl(
            libc::PR_CAPBSET_DROP,
            c_ulong::from(number),
            0u64,
            0u64,
            0u64,
        )
    };
    Errno::result(result).map(drop)
}

/// How the kernel computes capabilities at exec and on a change of user.
pub fn set_securebits(bits: libc::c_int) -> nix::Result<()> {
    // SAFETY: takes only integers
    let result = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, bits, 0u64, 0u64, 0u64) };
    Errno::result(result).map(drop)
}

/// What `set_securebits` set.
pub fn securebits() -> nix::Result<libc::c_int> {
    // SAFETY: takes only integers
    let result = unsafe { libc::prctl(libc::PR_GET_SECUREBITS, 0u64, 0u64, 0u64, 0u64) };
    Errno::result(result)
}
