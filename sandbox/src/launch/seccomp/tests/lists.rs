//! The programs against the data files: each rule does what it says, none is idle, and every call
//! that the kernel has is decided.

use std::collections::{BTreeMap, BTreeSet};

use libc::sock_filter;
use proptest::prelude::*;

use super::bpf::{self, Call};
use super::data::{self, Data, Rule};
use super::{
    ALL, ALLOW, ENOSYS, EPERM, INIT, KNOWN_BAD, OBSERVE, OBSERVE_AND_CLOCK, PROXY,
    PROXY_THAT_DIALS, Sysno, Verdict, ask, number,
};

/// A filter, the rules it was made of, and its two answers.
struct Filter<'a> {
    name: &'static str,
    program: &'static [sock_filter],
    rules: Vec<&'a Rule>,
    hit: Verdict,
    miss: Verdict,
}

fn filters(data: &Data) -> [Filter<'_>; 7] {
    let filter = |name, program, rules, hit, miss| Filter {
        name,
        program,
        rules,
        hit,
        miss,
    };
    let known_bad = data.known_bad.rules.iter().collect();
    let observe = data.notify.observe.iter().collect();
    let (pass, notify) = (Verdict::Allow, Verdict::Notify);
    [
        filter(
            "allow",
            &ALLOW,
            data.allow.rules.iter().collect(),
            pass,
            ENOSYS,
        ),
        filter(
            "init",
            &INIT,
            data.allow.init.iter().collect(),
            pass,
            ENOSYS,
        ),
        filter(
            "proxy",
            &PROXY,
            data.proxy.rules.iter().collect(),
            pass,
            ENOSYS,
        ),
        filter(
            "proxy that dials",
            &PROXY_THAT_DIALS,
            data.proxy.rules.iter().chain(&data.proxy.dials).collect(),
            pass,
            ENOSYS,
        ),
        filter("known-bad", &KNOWN_BAD, known_bad, EPERM, pass),
        filter("observe", &OBSERVE, observe, notify, pass),
        filter(
            "observe and clock",
            &OBSERVE_AND_CLOCK,
            data.all_notify(),
            notify,
            pass,
        ),
    ]
}

impl Filter<'_> {
    fn matching<'a>(
        &'a self,
        data: &'a Data,
        call: &'a str,
        args: &'a [u64; 6],
    ) -> impl Iterator<Item = usize> + 'a {
        self.rules.iter().enumerate().filter_map(move |(n, rule)| {
            let hit = rule.calls.iter().any(|c| c == call) && data.matches(rule, args);
            hit.then_some(n)
        })
    }

    fn check(&self, data: &Data, call: &str, args: &[u64; 6]) {
        let hit = self.matching(data, call, args).next().is_some();
        let expected = if hit { self.hit } else { self.miss };
        let nr = number(call).expect("of this architecture");
        let got = ask(&[self.program], &Call::new(nr, *args));
        assert_eq!(got, expected, "{}: {call}({args:x?})", self.name);
    }
}

fn calls_here() -> impl Iterator<Item = (&'static str, i32)> {
    Sysno::iter().map(|sysno| match sysno.name() {
        "fstatat" => ("newfstatat", sysno.id()),
        name => (name, sysno.id()),
    })
}

#[test]
fn each_rule_does_what_it_says_on_and_beside_its_conditions() {
    let data = data::load();
    for filter in filters(&data) {
        for (call, _) in calls_here() {
            for args in data.grid(call) {
                filter.check(&data, call, &args);
            }
        }
    }
}

proptest! {
    #[test]
    fn the_programs_and_the_data_agree_on_any_arguments(
        pick in any::<prop::sample::Index>(),
        args in prop::array::uniform6(any::<u64>()),
    ) {
        let calls: Vec<_> = calls_here().collect();
        let (call, _) = calls[pick.index(calls.len())];
        let data = data::load();
        for filter in filters(&data) {
            filter.check(&data, call, &args);
        }
    }
}

#[test]
fn no_rule_is_idle() {
    let data = data::load();
    for filter in filters(&data) {
        for (n, rule) in filter.rules.iter().enumerate() {
            for call in rule.calls.iter().filter(|call| number(call).is_some()) {
                let alone = data
                    .grid(call)
                    .iter()
                    .any(|args| filter.matching(&data, call, args).eq([n]));
                assert!(
                    alone,
                    "{}: {call}: another rule does the work of {:?}",
                    filter.name, rule.reason
                );
            }
        }
    }
}

#[test]
fn no_rule_is_without_a_reason_and_every_call_is_decided_once() {
    let data = data::load();
    let mut decided: BTreeMap<&str, usize> = BTreeMap::new();
    let always_bad = data
        .known_bad
        .rules
        .iter()
        .filter(|rule| rule.when.is_empty());
    for rule in data
        .allow
        .rules
        .iter()
        .chain(&data.allow.absent)
        .chain(always_bad)
    {
        assert!(
            rule.when.is_empty(),
            "{:?}: conditions go to known_bad.toml",
            rule.calls
        );
        for call in &rule.calls {
            *decided.entry(call).or_default() += 1;
        }
    }
    let twice: Vec<_> = decided.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "decided more than once: {twice:?}");
    let open: Vec<_> = syscalls::x86_64::Sysno::iter()
        .map(|sysno| sysno.name())
        .filter(|call| !decided.contains_key(call))
        .collect();
    assert!(
        open.is_empty(),
        "neither allowed, absent nor known bad: {open:?}"
    );

    let all = data
        .allow
        .rules
        .iter()
        .chain(&data.allow.init)
        .chain(&data.allow.absent)
        .chain(&data.known_bad.rules);
    for rule in all.chain(data.all_notify()) {
        assert!(rule.reason.len() > 3, "{:?}: {:?}", rule.calls, rule.reason);
    }
}

#[test]
fn a_condition_on_a_call_that_is_not_allowed_is_an_error() {
    let data = data::load();
    let allowed: BTreeSet<&String> = data
        .allow
        .rules
        .iter()
        .flat_map(|rule| &rule.calls)
        .collect();
    let conditional = data
        .known_bad
        .rules
        .iter()
        .filter(|rule| !rule.when.is_empty());
    for rule in conditional.chain(data.all_notify()) {
        for call in &rule.calls {
            assert!(allowed.contains(call), "{call} never gets that far");
        }
    }
}

#[test]
fn init_may_do_nothing_that_the_walls_refuse() {
    let data = data::load();
    for rule in &data.allow.init {
        assert!(rule.when.is_empty(), "{:?}", rule.calls);
        for call in &rule.calls {
            let Some(nr) = number(call) else { continue };
            let nr = u32::try_from(nr).expect("a number");
            let walls = [&ALLOW[..], &KNOWN_BAD[..]];
            let passes = |wall| bpf::constant(wall, nr) == Some(libc::SECCOMP_RET_ALLOW);
            assert!(walls.into_iter().all(passes), "{call}");
        }
    }
}

/// The kernel keeps a bitmap of calls for which every filter allows whatever the arguments are, and
/// does not run the filters for them. One load of an argument too early would empty it.
#[test]
fn a_call_without_conditions_costs_no_filter_run() {
    let data = data::load();
    let looked_at: BTreeSet<&String> = data
        .known_bad
        .rules
        .iter()
        .chain(data.all_notify())
        .flat_map(|rule| &rule.calls)
        .collect();
    let mut free = 0;
    for call in data.allow.rules.iter().flat_map(|rule| &rule.calls) {
        let Some(nr) = number(call) else { continue };
        let nr = u32::try_from(nr).expect("a number");
        let constant = ALL
            .iter()
            .all(|f| bpf::constant(f, nr) == Some(libc::SECCOMP_RET_ALLOW));
        assert_eq!(constant, !looked_at.contains(call), "{call}");
        free += usize::from(constant);
    }
    assert!(free > 200, "{free}");
}

#[test]
fn unknown_numbers_are_enosys() {
    let known: BTreeSet<i32> = calls_here().map(|(_, nr)| nr).collect();
    for nr in (0..2000)
        .chain([-1, i32::MAX, i32::MIN])
        .filter(|nr| !known.contains(nr))
    {
        assert_eq!(ask(&ALL, &Call::new(nr, [0; 6])), ENOSYS, "{nr}");
    }
}

#[test]
fn foreign_abis_do_not_get_in() {
    const I386: u32 = 0x4000_0003;
    const ARM: u32 = 0x4000_0028;
    const X32_BIT: i32 = 0x4000_0000;
    for nr in 0..600 {
        for arch in [I386, ARM, 0, bpf::NATIVE ^ 1] {
            let call = Call {
                arch,
                ..Call::new(nr, [0; 6])
            };
            for filter in ALL {
                assert_eq!(ask(&[filter], &call), Verdict::Kill, "{nr} of {arch:#x}");
            }
        }
        assert_eq!(
            ask(&ALL, &Call::new(nr | X32_BIT, [0; 6])),
            ENOSYS,
            "x32 {nr}"
        );
    }
}

#[test]
fn programs_fit_the_kernel() {
    for filter in ALL {
        assert!(filter.len() <= 4096, "{}", filter.len());
    }
}
