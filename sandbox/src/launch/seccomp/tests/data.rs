//! The data files, and what they mean, read a second time and without a compiler.

use std::collections::{BTreeMap, BTreeSet};

use libc as c;
use serde::de::DeserializeOwned;

#[path = "../../../../seccomp/rules.rs"]
#[expect(unreachable_pub, reason = "shared with build.rs")]
mod rules;

pub(super) use rules::{Allow, Constants, Cookie, KnownBad, Notify, Proxy, Rule, Test};

/// Everything under `sandbox/seccomp`.
pub(super) struct Data {
    pub(super) constants: Constants,
    pub(super) allow: Allow,
    pub(super) known_bad: KnownBad,
    pub(super) notify: Notify,
    pub(super) proxy: Proxy,
}

fn parse<T: DeserializeOwned>(text: &str) -> T {
    toml::from_str(text).expect("build.rs has read it")
}

pub(super) fn load() -> Data {
    Data {
        constants: parse(include_str!("../../../../seccomp/constants.toml")),
        allow: parse(include_str!("../../../../seccomp/allow.toml")),
        known_bad: parse(include_str!("../../../../seccomp/known_bad.toml")),
        notify: parse(include_str!("../../../../seccomp/notify.toml")),
        proxy: parse(include_str!("../../../../seccomp/proxy.toml")),
    }
}

impl Data {
    /// Observe and clock together, as the larger filter has them.
    pub(super) fn all_notify(&self) -> Vec<&Rule> {
        self.notify
            .observe
            .iter()
            .chain(&self.notify.clock)
            .collect()
    }

    /// Does the rule match these arguments of one of its calls?
    pub(super) fn matches(&self, rule: &Rule, args: &[u64; 6]) -> bool {
        let cookie = self.constants["CLOCK_COOKIE"];
        let exempt = match rule.cookie {
            None => false,
            Some(Cookie::Arg5) => args[5] == cookie,
            Some(Cookie::Arg1High) => args[1] >> 32 == cookie,
            Some(Cookie::Arg3High) => args[3] >> 32 == cookie,
        };
        let all = rule.when.iter().all(|condition| {
            let arg = args[usize::from(condition.arg)];
            let arg = if condition.wide {
                arg
            } else {
                arg & 0xffff_ffff
            };
            match condition
                .test(&self.constants)
                .expect("build.rs has read it")
            {
                Test::Is { mask, values } => values.contains(&(arg & mask)),
                Test::Not { ignore, values } => !values.contains(&(arg & !ignore)),
                Test::Any { bits } => arg & bits != 0,
            }
        });
        all && !exempt
    }

    /// Argument lists that lie on, beside and far from every condition that any rule has on `call`.
    pub(super) fn grid(&self, call: &str) -> Vec<[u64; 6]> {
        let mut values: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        let proxy = self.proxy.rules.iter().chain(&self.proxy.dials);
        let rules = self
            .known_bad
            .rules
            .iter()
            .chain(self.all_notify())
            .chain(proxy);
        for rule in rules.filter(|rule| rule.calls.iter().any(|c| c == call)) {
            for condition in &rule.when {
                let at = values.entry(usize::from(condition.arg)).or_default();
                let test = condition
                    .test(&self.constants)
                    .expect("build.rs has read it");
                at.extend(beside(&test));
            }
            let cookie = self.constants["CLOCK_COOKIE"];
            match rule.cookie {
                None => {}
                Some(Cookie::Arg5) => {
                    values
                        .entry(5)
                        .or_default()
                        .extend([0, cookie, cookie + 1, 1 << 32 | cookie]);
                }
                Some(Cookie::Arg1High) => with_upper_halves(values.entry(1).or_default(), cookie),
                Some(Cookie::Arg3High) => with_upper_halves(values.entry(3).or_default(), cookie),
            }
        }
        let mut lists = vec![[0; 6]];
        for (arg, values) in values {
            lists = lists
                .iter()
                .flat_map(|list| {
                    values.iter().map(move |value| {
                        let mut list = *list;
                        list[arg] = *value;
                        list
                    })
                })
                .collect();
        }
        lists
    }
}

fn with_upper_halves(values: &mut BTreeSet<u64>, cookie: u64) {
    values.insert(0);
    let low: Vec<u64> = values.iter().map(|v| v & 0xffff_ffff).collect();
    for half in [cookie - 1, cookie, cookie + 1] {
        values.extend(low.iter().map(|v| half << 32 | v));
    }
}

/// Values on and beside a condition, some with a high bit, and some plain ones.
fn beside(test: &Test) -> BTreeSet<u64> {
    let bits_of = |bits: u64| {
        (0..64)
            .map(|n| 1u64 << n)
            .filter(move |bit| bits & bit != 0)
    };
    let mut values = BTreeSet::from([0, 1, 2, 7, 0xffff_ffff, u64::MAX]);
    match test {
        Test::Is {
            mask,
            values: named,
        } => {
            for value in named {
                values.extend([*value, value.wrapping_sub(1), value + 1]);
                // a bit that counts, and one that does not
                values.extend(bits_of(*mask).take(1).map(|bit| value ^ bit));
                values.extend(bits_of(!mask).take(1).map(|bit| value ^ bit));
            }
        }
        Test::Not {
            ignore,
            values: named,
        } => {
            for value in named {
                values.extend([*value, value.wrapping_sub(1), value + 1, value | ignore]);
                values.extend(bits_of(*ignore).map(|bit| value | bit));
            }
        }
        Test::Any { bits } => {
            values.extend(bits_of(*bits));
            values.extend([*bits, !bits]);
        }
    }
    let high: Vec<u64> = values.iter().map(|v| v | 1 << 32).collect();
    values.extend(high);
    values
}

#[test]
fn constants_are_those_of_the_headers() {
    let constants = load().constants;
    macro_rules! same {
        ($($name:ident)*) => {$({
            let theirs = i64::from(c::$name).cast_unsigned();
            assert_eq!(constants[stringify!($name)], theirs, stringify!($name));
        })*};
    }
    same!(CLONE_THREAD PROT_EXEC PR_SET_NAME F_GETFD F_SETFD F_GETFL F_SETFL F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ);
    same!(CLONE_NEWNS CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET);
    same!(S_IFMT S_IFCHR S_IFBLK S_ISUID S_ISGID O_CREAT);
    same!(AF_UNIX AF_INET AF_INET6 AF_NETLINK SOCK_STREAM SOCK_DGRAM SOCK_NONBLOCK SOCK_CLOEXEC);
    same!(IPPROTO_TCP IPPROTO_UDP NETLINK_ROUTE TCP_ULP);
    same!(PR_SET_SECUREBITS PR_MCE_KILL PR_SET_MM PR_SCHED_CORE ADDR_NO_RANDOMIZE);
    same!(CLOCK_REALTIME CLOCK_REALTIME_COARSE CLOCK_REALTIME_ALARM CLOCK_TAI TIMER_ABSTIME TFD_TIMER_ABSTIME);
    same!(FUTEX_LOCK_PI FUTEX_CLOCK_REALTIME);
    macro_rules! same_request {
        ($($name:ident)*) => {$(assert_eq!(constants[stringify!($name)], c::$name as u64, stringify!($name));)*};
    }
    same_request!(FIONREAD FIONBIO TIOCSTI TIOCLINUX TIOCCONS TIOCSETD FS_IOC_SETFLAGS FS_IOC32_SETFLAGS FS_IOC_SETVERSION);
    same_request!(FS_IOC32_SETVERSION FICLONE FICLONERANGE);
    let tmpfile = c::O_TMPFILE & !c::O_DIRECTORY;
    assert_eq!(constants["__O_TMPFILE"], i64::from(tmpfile).cast_unsigned());
    for (word, op) in [
        ("FUTEX_WAIT_BITSET_REALTIME", c::FUTEX_WAIT_BITSET),
        ("FUTEX_WAIT_REQUEUE_PI_REALTIME", c::FUTEX_WAIT_REQUEUE_PI),
        ("FUTEX_LOCK_PI2_REALTIME", c::FUTEX_LOCK_PI2),
    ] {
        assert_eq!(
            constants[word],
            i64::from(op | c::FUTEX_CLOCK_REALTIME).cast_unsigned()
        );
    }
}
