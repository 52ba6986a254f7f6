//! Compiles `seccomp/*.toml` into BPF programs, so that a run only has to install them.
//!
//! A rule with several alternatives becomes several of seccompiler's rules, of which any one may
//! match; `seccomp/search.rs` puts the calls in order. seccompiler has no word for "notify": such a program is compiled with a stand-in action,
//! which is then replaced.

#[path = "seccomp/rules.rs"]
#[expect(
    unreachable_pub,
    reason = "shared with the tests as a module of its own"
)]
mod rules;
#[path = "seccomp/search.rs"]
#[expect(unreachable_pub, reason = "written like the module beside it")]
mod search;

use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr as _;
use std::{env, fs};

use rules::{Allow, Condition, Constants, Cookie, KnownBad, Notify, Proxy, Rule, Test};
use search::{Chains, RETURN};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompRule, TargetArch,
};
use serde::de::DeserializeOwned;

type Failure = Box<dyn std::error::Error>;

/// The argument lists of one way in which a rule matches: all must hold.
type Conjunction = Vec<SeccompCondition>;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// Stands for "notify" until the program is compiled: nothing else here traces.
const STAND_IN: SeccompAction = SeccompAction::Trace(0);
const SECCOMP_RET_TRACE: u32 = 0x7ff0_0000;
const SECCOMP_RET_USER_NOTIF: u32 = 0x7fc0_0000;
fn main() -> Result<(), Failure> {
    let source = env::var("CARGO_MANIFEST_DIR")?;
    let source = Path::new(&source).join("seccomp");
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rerun-if-changed=build.rs");

    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let out = Path::new(&env::var("OUT_DIR")?).join("filters.rs");
    let target = match arch.as_str() {
        "x86_64" => TargetArch::x86_64,
        "aarch64" => TargetArch::aarch64,
        _ => {
            let sentence = format!("belljar's seccomp lists do not cover {arch}");
            fs::write(out, format!("compile_error!({sentence:?});"))?;
            return Ok(());
        }
    };

    let constants: Constants = read(&source, "constants.toml")?;
    let allow: Allow = read(&source, "allow.toml")?;
    let bad: KnownBad = read(&source, "known_bad.toml")?;
    let notify: Notify = read(&source, "notify.toml")?;
    let proxy: Proxy = read(&source, "proxy.toml")?;
    let dialling: Vec<Rule> = [&proxy.rules[..], &proxy.dials[..]].concat();
    let both: Vec<Rule> = [&notify.observe[..], &notify.clock[..]].concat();

    for rule in allow
        .rules
        .iter()
        .chain(&allow.init)
        .chain(&allow.absent)
        .chain(&bad.rules)
        .chain(&both)
        .chain(&dialling)
    {
        if rule.reason.trim().is_empty() {
            return Err(format!("{:?}: a rule needs a reason", rule.calls).into());
        }
    }

    let compile = |rules: &[Rule], hit: &SeccompAction, else_: &SeccompAction| {
        Compiler {
            constants: &constants,
            target,
        }
        .program(rules, hit, else_)
    };
    let deny = SeccompAction::Errno(EPERM);
    let unknown = SeccompAction::Errno(ENOSYS);
    let pass = SeccompAction::Allow;
    let programs = [
        ("ALLOW", compile(&allow.rules, &pass, &unknown)?),
        ("INIT", compile(&allow.init, &pass, &unknown)?),
        ("PROXY", compile(&proxy.rules, &pass, &unknown)?),
        ("PROXY_THAT_DIALS", compile(&dialling, &pass, &unknown)?),
        ("KNOWN_BAD", compile(&bad.rules, &deny, &pass)?),
        (
            "OBSERVE",
            notifying(compile(&notify.observe, &STAND_IN, &pass)?),
        ),
        (
            "OBSERVE_AND_CLOCK",
            notifying(compile(&both, &STAND_IN, &pass)?),
        ),
    ];

    let mut text = String::new();
    for (name, program) in programs {
        writeln!(
            text,
            "pub(super) static {name}: [sock_filter; {}] = [",
            program.len()
        )?;
        for i in program {
            writeln!(
                text,
                "    sock_filter {{ code: {}, jt: {}, jf: {}, k: {:#x} }},",
                i.code, i.jt, i.jf, i.k
            )?;
        }
        writeln!(text, "];")?;
    }
    let cookie = constants
        .get("CLOCK_COOKIE")
        .ok_or("constants.toml lacks CLOCK_COOKIE")?;
    writeln!(text, "pub(super) const CLOCK_COOKIE: u32 = {cookie:#x};")?;
    fs::write(out, text)?;
    Ok(())
}

fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<T, Failure> {
    let path = folder.join(name);
    toml::from_str(&fs::read_to_string(&path)?)
        .map_err(|e| format!("{}: {e}", path.display()).into())
}

/// Puts the notification where the stand-in is.
fn notifying(mut program: BpfProgram) -> BpfProgram {
    for instruction in &mut program {
        if instruction.code == RETURN && instruction.k == SECCOMP_RET_TRACE {
            instruction.k = SECCOMP_RET_USER_NOTIF;
        }
    }
    program
}

struct Compiler<'a> {
    constants: &'a Constants,
    target: TargetArch,
}

impl Compiler<'_> {
    fn program(
        &self,
        rules: &[Rule],
        hit: &SeccompAction,
        else_: &SeccompAction,
    ) -> Result<BpfProgram, Failure> {
        let mut chains = Chains::new();
        for rule in rules {
            let ways = self
                .ways(rule)
                .map_err(|e| format!("{:?}: {e}", rule.calls))?;
            let always = ways.iter().any(Vec::is_empty);
            for call in &rule.calls {
                let Some(number) = number(call, self.target)? else {
                    continue;
                };
                let chain = chains.get(&number);
                if chain.is_some_and(|chain| always || chain.is_empty()) {
                    return Err(
                        format!("{call}: one rule is for every call, so another is idle").into(),
                    );
                }
                let chain = chains.entry(number).or_default();
                for way in ways.iter().filter(|way| !way.is_empty()) {
                    // seccompiler tests the last condition first; the order here is the file's
                    let conditions = way.iter().rev().cloned().collect();
                    chain.push(SeccompRule::new(conditions)?);
                }
            }
        }
        Ok(search::program(chains, hit, else_, self.target)?)
    }

    /// Every way in which a rule can match: one alternative of each condition.
    fn ways(&self, rule: &Rule) -> Result<Vec<Conjunction>, Failure> {
        let mut ways: Vec<Conjunction> = vec![Vec::new()];
        let mut conditions: Vec<Vec<Conjunction>> = Vec::new();
        for condition in &rule.when {
            conditions.push(self.alternatives(condition)?);
        }
        if let Some(place) = rule.cookie {
            conditions.push(self.without_cookie(place)?);
        }
        for alternatives in conditions {
            ways = ways
                .iter()
                .flat_map(|way| {
                    alternatives
                        .iter()
                        .map(|more| [&way[..], &more[..]].concat())
                })
                .collect();
        }
        Ok(ways)
    }

    fn alternatives(&self, condition: &Condition) -> Result<Vec<Conjunction>, Failure> {
        let len = if condition.wide {
            Len::Qword
        } else {
            Len::Dword
        };
        let one = |op: Op, value: u64| SeccompCondition::new(condition.arg, len.clone(), op, value);
        let all = if condition.wide {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        };
        Ok(match condition.test(self.constants)? {
            Test::Is { mask, values } => values
                .into_iter()
                .map(|v| {
                    let op = if mask == all {
                        Op::Eq
                    } else {
                        Op::MaskedEq(mask)
                    };
                    Ok(vec![one(op, v)?])
                })
                .collect::<Result<_, Failure>>()?,
            Test::Any { bits } => single_bits(bits)
                .map(|bit| Ok(vec![one(Op::MaskedEq(bit), bit)?]))
                .collect::<Result<_, Failure>>()?,
            // none of them: each differs, in each form that the ignored bits give it
            Test::Not { ignore, values } => {
                let forms = values
                    .iter()
                    .flat_map(|v| combinations(ignore).into_iter().map(move |bits| v | bits));
                vec![forms.map(|v| one(Op::Ne, v)).collect::<Result<_, _>>()?]
            }
        })
    }

    /// The call does not carry the cookie.
    fn without_cookie(&self, place: Cookie) -> Result<Vec<Conjunction>, Failure> {
        let cookie = self
            .constants
            .get("CLOCK_COOKIE")
            .ok_or("no CLOCK_COOKIE")?;
        let one = |arg, op, value| {
            Ok::<_, Failure>(vec![SeccompCondition::new(arg, Len::Qword, op, value)?])
        };
        // an upper half differs if the whole is below or above all that have it
        let high = |arg| {
            Ok(vec![
                one(arg, Op::Lt, cookie << 32)?,
                one(arg, Op::Ge, (cookie + 1) << 32)?,
            ])
        };
        match place {
            Cookie::Arg5 => Ok(vec![one(5, Op::Ne, *cookie)?]),
            Cookie::Arg1High => high(1),
            Cookie::Arg3High => high(3),
        }
    }
}

/// Each bit of `bits` alone.
fn single_bits(bits: u64) -> impl Iterator<Item = u64> {
    (0..u64::BITS)
        .map(|n| 1 << n)
        .filter(move |bit| bits & bit != 0)
}

/// Every value that can be made of `bits`.
fn combinations(bits: u64) -> Vec<u64> {
    single_bits(bits).fold(vec![0], |mut made, bit| {
        made.extend(made.clone().iter().map(|m| m | bit));
        made
    })
}

/// The number of a call: `None` if this architecture lacks it, an error if no architecture has it.
fn number(call: &str, target: TargetArch) -> Result<Option<u32>, Failure> {
    // one call has two names
    let arm_name = if call == "newfstatat" {
        "fstatat"
    } else {
        call
    };
    let x86 = syscalls::x86_64::Sysno::from_str(call)
        .ok()
        .map(|nr| nr.id().cast_unsigned());
    let arm = syscalls::aarch64::Sysno::from_str(arm_name)
        .ok()
        .map(|nr| nr.id().cast_unsigned());
    if x86.or(arm).is_none() {
        return Err(format!("there is no system call {call:?}").into());
    }
    Ok(if target == TargetArch::x86_64 {
        x86
    } else {
        arm
    })
}
