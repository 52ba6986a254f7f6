//! The same resource limits for every run, whatever the caller has.
//!
//! A build can see its limits (`ulimit -a`), so they are constants. They are a backstop against
//! accidents, never counted as a budget: those are the cgroup's. A limit is never raised above the
//! caller's hard limit; where that is lower, it stays, and is reported.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, rlim_t, setrlimit};

use crate::SetupError;

/// A limit that the caller's own hard limit keeps below what every other run has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lowered {
    /// Its name as in `getrlimit(2)`, such as `RLIMIT_NOFILE`.
    pub limit: &'static str,
    /// The hard limit that a run should have; `None` is no limit.
    pub wanted: Option<u64>,
    /// The one it has.
    pub got: u64,
}

struct Limit {
    resource: Resource,
    name: &'static str,
    soft: rlim_t,
    hard: rlim_t,
}

const KIB: rlim_t = 1024;
const MIB: rlim_t = 1024 * KIB;

/// Every limit there is.
const LIMITS: [Limit; 16] = {
    const fn limit(resource: Resource, name: &'static str, soft: rlim_t, hard: rlim_t) -> Limit {
        Limit {
            resource,
            name,
            soft,
            hard,
        }
    }
    const NONE: rlim_t = RLIM_INFINITY;
    use Resource as R;
    [
        // Memory: the budget's business. An address space limit breaks Go, Java and sanitizers.
        limit(R::RLIMIT_AS, "RLIMIT_AS", NONE, NONE),
        limit(R::RLIMIT_DATA, "RLIMIT_DATA", NONE, NONE),
        limit(R::RLIMIT_RSS, "RLIMIT_RSS", NONE, NONE),
        // The usual stack; make and ld raise theirs up to the hard limit.
        limit(R::RLIMIT_STACK, "RLIMIT_STACK", 8 * MIB, NONE),
        // The kernel's own default since 5.16.
        limit(R::RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK", 8 * MIB, 8 * MIB),
        // 1, not 0: with 0 the kernel still runs a core_pattern that is a pipe, that is a program of
        // the host, on what crashed in here. 1 turns that off, and is too small for a file.
        limit(R::RLIMIT_CORE, "RLIMIT_CORE", 1, 1),
        // What systemd gives: select() is safe below 1024, and who needs more may ask for it.
        limit(R::RLIMIT_NOFILE, "RLIMIT_NOFILE", 1024, 524_288),
        // Stops a fork bomb before the machine does; the most parallel builds stay far below.
        limit(R::RLIMIT_NPROC, "RLIMIT_NPROC", 16_384, 16_384),
        // Time: the run's own timeout, by another clock.
        limit(R::RLIMIT_CPU, "RLIMIT_CPU", NONE, NONE),
        limit(R::RLIMIT_RTTIME, "RLIMIT_RTTIME", NONE, NONE),
        // Disk is watched or bounded elsewhere; a signal at a size would look like a crash.
        limit(R::RLIMIT_FSIZE, "RLIMIT_FSIZE", NONE, NONE),
        // Ignored by the kernel since 2.4, but seen by `ulimit -x`.
        limit(R::RLIMIT_LOCKS, "RLIMIT_LOCKS", NONE, NONE),
        // The kernel derives this from the machine's memory; fixed, it does not tell of the host.
        limit(R::RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING", 4096, 4096),
        limit(R::RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE", 800 * KIB, 800 * KIB),
        // Nobody's priority goes up.
        limit(R::RLIMIT_NICE, "RLIMIT_NICE", 0, 0),
        limit(R::RLIMIT_RTPRIO, "RLIMIT_RTPRIO", 0, 0),
    ]
};

/// Sets every limit, and says which of them the caller's hard limit keeps lower.
pub fn set_fixed() -> Result<Vec<Lowered>, SetupError> {
    let step = "set the resource limits";
    let mut lowered = Vec::new();
    for limit in LIMITS {
        let fail = |errno| SetupError {
            detail: Some(limit.name.into()),
            ..SetupError::new(step, errno)
        };
        let (_, ceiling) = getrlimit(limit.resource).map_err(fail)?;
        let hard = limit.hard.min(ceiling);
        setrlimit(limit.resource, limit.soft.min(hard), hard).map_err(fail)?;
        if hard < limit.hard {
            lowered.push(Lowered {
                limit: limit.name,
                wanted: (limit.hard != RLIM_INFINITY).then_some(limit.hard),
                got: hard,
            });
        }
    }
    Ok(lowered)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::sys::probe::in_child;

    /// `/proc/self/limits` of a program that a child starts, as `name: soft hard`.
    fn limits(before: impl FnOnce() -> String) -> Vec<String> {
        let (text, _) = in_child(|| {
            let said = before();
            let shown = Command::new("cat").arg("/proc/self/limits").output();
            let shown = shown.map_or_else(|e| e.to_string().into_bytes(), |o| o.stdout);
            said + &String::from_utf8_lossy(&shown)
        });
        let row = |line: &str| {
            let (name, values) = line.strip_prefix("Max ")?.split_at_checked(22)?;
            let mut values = values.split_whitespace();
            Some(format!(
                "{}: {} {}",
                name.trim(),
                values.next()?,
                values.next()?
            ))
        };
        text.lines()
            .map(|line| row(line).unwrap_or_else(|| line.into()))
            .collect()
    }

    #[test]
    fn every_limit_is_the_constant_or_the_callers_lower_one() {
        let shown = limits(|| match set_fixed() {
            Ok(_) => String::new(),
            Err(e) => format!("{e}\n"),
        });
        // 16 limits and a heading
        assert_eq!(shown.len(), LIMITS.len() + 1, "{shown:#?}");
        for wanted in [
            "core file size: 1 1",
            "nice priority: 0 0",
            "realtime priority: 0 0",
        ] {
            assert!(
                shown.iter().any(|line| line == wanted),
                "{wanted}: {shown:#?}"
            );
        }
        let open = shown.iter().find(|line| line.starts_with("open files:"));
        assert!(
            open.is_some_and(|line| line.starts_with("open files: 1024 ")),
            "{open:?}"
        );
    }

    #[test]
    fn a_callers_lower_hard_limit_stays_and_is_reported() {
        let shown = limits(|| {
            let lower = setrlimit(Resource::RLIMIT_NOFILE, 200, 300);
            let lower = lower.and_then(|()| setrlimit(Resource::RLIMIT_STACK, 4 * MIB, 4 * MIB));
            match lower.map(|()| set_fixed()) {
                Ok(Ok(lowered)) => lowered.iter().fold(String::new(), |text, l| {
                    text + &format!("{} {:?} {}\n", l.limit, l.wanted, l.got)
                }),
                other => format!("{other:?}\n"),
            }
        });
        for wanted in [
            "RLIMIT_NOFILE Some(524288) 300",
            &format!("RLIMIT_STACK None {}", 4 * MIB),
            "open files: 300 300",
            &format!("stack size: {0} {0}", 4 * MIB),
        ] {
            assert!(
                shown.iter().any(|line| line == wanted),
                "{wanted}: {shown:#?}"
            );
        }
    }

    #[test]
    fn what_the_caller_had_is_not_seen() {
        let set = |core, files| {
            limits(move || {
                let own = setrlimit(Resource::RLIMIT_CORE, core, RLIM_INFINITY)
                    .and_then(|()| setrlimit(Resource::RLIMIT_NOFILE, files, 2048));
                match own.map(|()| set_fixed()) {
                    Ok(Ok(_)) => String::new(),
                    other => format!("{other:?}\n"),
                }
            })
        };
        assert_eq!(set(0, 64), set(5000, 2048));
    }
}
