//! A small interpreter of classic BPF, for what seccompiler emits. It refuses anything else.

use libc::sock_filter;

/// `struct seccomp_data`, apart from the instruction pointer, which no filter looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) nr: u32,
    pub(super) arch: u32,
    pub(super) args: [u64; 6],
}

/// `AUDIT_ARCH_*` of the architecture the tests run on.
pub(super) const NATIVE: u32 = if cfg!(target_arch = "x86_64") {
    0xc000_003e
} else {
    0xc000_00b7
};

impl Call {
    pub(super) fn new(nr: impl TryInto<i64>, args: [u64; 6]) -> Self {
        let nr = nr.try_into().ok().expect("a number");
        // the kernel's `int nr`, as the 32 bits a filter sees
        let nr = u32::try_from(nr & 0xffff_ffff).expect("32 bits");
        Self {
            nr,
            arch: NATIVE,
            args,
        }
    }

    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.nr,
            4 => self.arch,
            16..64 if offset.is_multiple_of(4) => {
                let arg = self.args[(offset as usize - 16) / 8];
                let half = if offset.is_multiple_of(8) {
                    arg
                } else {
                    arg >> 32
                };
                u32::try_from(half & 0xffff_ffff).expect("32 bits")
            }
            _ => panic!("a load from {offset}"),
        }
    }
}

/// Runs a filter on a call.
pub(super) fn run(filter: &[sock_filter], call: &Call) -> u32 {
    walk(filter, |offset| Some(call.word(offset))).expect("every load was answered")
}

/// What the kernel finds out when it fills its bitmap of calls that need no filter run: the answer for
/// a number, if that does not depend on any argument.
pub(super) fn constant(filter: &[sock_filter], nr: u32) -> Option<u32> {
    walk(filter, |offset| match offset {
        0 => Some(nr),
        4 => Some(NATIVE),
        _ => None,
    })
}

/// Follows a filter to its return; `None` as soon as `load` does not answer.
fn walk(filter: &[sock_filter], load: impl Fn(u32) -> Option<u32>) -> Option<u32> {
    let mut accumulator = 0;
    let mut at = 0;
    loop {
        let i = filter[at];
        at += 1;
        let mut jump = |yes: bool| at += usize::from(if yes { i.jt } else { i.jf });
        match u32::from(i.code) {
            0x20 => accumulator = load(i.k)?,
            0x54 => accumulator &= i.k,
            0x05 => at += i.k as usize,
            0x15 => jump(accumulator == i.k),
            0x25 => jump(accumulator > i.k),
            0x35 => jump(accumulator >= i.k),
            0x45 => jump(accumulator & i.k != 0),
            0x06 => return Some(i.k),
            other => panic!("instruction {other:#x} at {}", at - 1),
        }
    }
}

#[test]
fn the_interpreter_is_right_about_a_filter_written_by_hand() {
    let i = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    // if nr == 7 and (arg1's upper half & 0xf) > 3 return 1 else return 2
    let filter = [
        i(0x20, 0, 0, 0),
        i(0x15, 0, 3, 7),
        i(0x20, 0, 0, 28),
        i(0x54, 0, 0, 0xf),
        i(0x25, 1, 0, 3),
        i(0x06, 0, 0, 2),
        i(0x06, 0, 0, 1),
    ];
    let ask = |nr: i32, arg| run(&filter, &Call::new(nr, [0, arg, 0, 0, 0, 0]));
    assert_eq!(ask(7, 0x14_0000_0000), 1);
    assert_eq!(ask(7, 0x13_0000_0000), 2);
    assert_eq!(ask(7, 0x4), 2);
    assert_eq!(ask(8, 0x14_0000_0000), 2);
    assert_eq!(constant(&filter, 8), Some(2));
    assert_eq!(constant(&filter, 7), None);
}
