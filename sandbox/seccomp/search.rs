//! Puts the calls of a filter in order, for binary search on the number.
//!
//! seccompiler compiles the conditions, but compares the number with each one of its list in turn,
//! which made an `openat` (whose arguments must be looked at every time) dearer by a third, and the
//! programs four times as long, which every run pays for when it installs them. Here each call that
//! has conditions is a program of seccompiler's, and a stretch of numbers that are treated alike
//! whatever their arguments is a single return.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

/// `BPF_LD | BPF_W | BPF_ABS`
const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JGE | BPF_K`
const JUMP_IF_GE: u16 = 0x35;
/// `BPF_JMP | BPF_JA`
const JUMP: u16 = 0x05;
/// `BPF_RET | BPF_K`
pub const RETURN: u16 = 0x06;
/// Where the number is in `struct seccomp_data`.
const NUMBER: u32 = 0;

/// The rules of a call, of which any one may match; none at all match always.
pub type Chains = BTreeMap<u32, Vec<SeccompRule>>;

/// The filter that answers `hit` to what `chains` match, and `miss` to all else.
pub fn program(
    chains: Chains,
    hit: &SeccompAction,
    miss: &SeccompAction,
    target: TargetArch,
) -> Result<BpfProgram, BackendError> {
    let filter = |chains: Chains| -> Result<BpfProgram, BackendError> {
        let chains = chains.into_iter().map(|(nr, rules)| (i64::from(nr), rules));
        SeccompFilter::new(chains.collect(), miss.clone(), hit.clone(), target)?.try_into()
    };
    let answer = |action: &SeccompAction| vec![instruction(RETURN, 0, 0, action.clone().into())];

    // each with the first number it is for
    let mut leaves: Vec<(u32, BpfProgram)> = vec![(0, answer(miss))];
    for (nr, rules) in chains {
        let leaf = if rules.is_empty() {
            answer(hit)
        } else {
            filter(Chains::from([(nr, rules)]))?
        };
        leaves.retain(|(first, _)| *first != nr);
        leaves.push((nr, leaf));
        leaves.push((nr + 1, answer(miss)));
    }
    leaves.dedup_by(|next, before| next.1 == before.1);

    // a filter without calls is the test of the architecture and a return
    let mut program = filter(Chains::new())?;
    program.pop();
    program.push(instruction(LOAD, 0, 0, NUMBER));
    program.extend(tree(&leaves));
    Ok(program)
}

/// Finds the leaf by the number, which is loaded.
fn tree(leaves: &[(u32, BpfProgram)]) -> BpfProgram {
    if let [(_, program)] = leaves {
        return program.clone();
    }
    let (low, high) = leaves.split_at(leaves.len() / 2);
    let (pivot, low, high) = (high[0].0, tree(low), tree(high));
    let branch = if let Ok(over) = u8::try_from(low.len()) {
        vec![instruction(JUMP_IF_GE, over, 0, pivot)]
    } else {
        // too far for a conditional jump
        let over = u32::try_from(low.len()).expect("a program has at most 4096 instructions");
        vec![
            instruction(JUMP_IF_GE, 0, 1, pivot),
            instruction(JUMP, 0, 0, over),
        ]
    };
    [branch, low, high].concat()
}

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}
