//! Reads of the clock by a raw system call, answered in the kernel's place.

use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

use crate::notify::{Answer, Call, Target};

use super::wait::is_wall_clock;

/// Answers `clock_gettime`, `gettimeofday` or `time` with the clock moved by `offset` seconds.
/// An error says that the caller's memory can't be written, though not for a bad pointer of its own.
pub(super) fn read_clock(call: &Call, target: &Target<'_>, offset: i64) -> Result<Answer, Errno> {
    let [first, second, ..] = call.args;
    match i64::from(call.nr) {
        libc::SYS_clock_gettime if is_wall_clock(first) => {
            #[expect(clippy::cast_possible_truncation, reason = "the kernel takes an int")]
            let clock = ClockId::from_raw(first as i32);
            let (seconds, nanos) = match moved(clock, offset) {
                Ok(time) => time,
                Err(errno) => return Ok(Answer::Errno(errno as i32)),
            };
            store(target, second, &pair(seconds, nanos))
        }
        libc::SYS_gettimeofday => {
            let (seconds, nanos) = moved(ClockId::CLOCK_REALTIME, offset)?;
            if first != 0 {
                let stored = store(target, first, &pair(seconds, nanos / 1000))?;
                if stored != Answer::Value(0) {
                    return Ok(stored);
                }
            }
            // The time zone, which the kernel has kept at zero since long.
            if second == 0 {
                Ok(Answer::Value(0))
            } else {
                store(target, second, &[0; 8])
            }
        }
        libc::SYS_time => {
            let (seconds, _) = moved(ClockId::CLOCK_REALTIME_COARSE, offset)?;
            let stored = if first == 0 {
                Answer::Value(0)
            } else {
                store(target, first, &seconds.to_ne_bytes())?
            };
            Ok(match stored {
                Answer::Value(_) => Answer::Value(seconds),
                other => other,
            })
        }
        _ => Ok(Answer::Continue),
    }
}

fn moved(clock: ClockId, offset: i64) -> Result<(i64, i64), Errno> {
    let now = clock_gettime(clock)?;
    Ok((now.tv_sec().saturating_add(offset), now.tv_nsec()))
}

fn pair(first: i64, second: i64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_ne_bytes());
    bytes[8..].copy_from_slice(&second.to_ne_bytes());
    bytes
}

fn store(target: &Target<'_>, address: u64, bytes: &[u8]) -> Result<Answer, Errno> {
    match target.write(address, bytes) {
        Ok(()) => Ok(Answer::Value(0)),
        Err(Errno::EFAULT) => Ok(Answer::Errno(libc::EFAULT)),
        Err(errno) => Err(errno),
    }
}
