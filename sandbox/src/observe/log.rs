//! The records of one run, numbered without a gap.
//!
//! A call that gates is one record. Of the others the first of a program to a destination is one,
//! which counts the rest; of the probes the first of any program, since a C library looks for its
//! name service in every process that starts, and to look up the process costs more than the call.
//! A run with more records than [`MOST`] loses the rest by number, and counts as incomplete.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use belljar_model::door::Decision;
use belljar_model::{
    Ask, Bytes, Class, EgressLayer, EgressRecord, EgressVerdict, EgressWhen, Exchange, Label,
    OsText, Reason,
};

use super::classify::Judged;
use super::identify::{Known, unknown};

/// Records kept of a run.
pub(crate) const MOST: usize = 100_000;
/// A call that was seen as it was made.
pub(crate) const SEEN: &str = "notify";
/// Askers whose last question is kept.
const MAX_PAIRS: usize = 4096;

/// What was heard or seen, before it has a number.
pub(crate) struct Sight<'a> {
    pub(crate) layer: EgressLayer,
    pub(crate) event: &'a str,
    pub(crate) ask: Ask,
    pub(crate) judged: Judged,
    pub(crate) known: Option<&'a Arc<Known>>,
    pub(crate) racy: bool,
}

/// The log of a run.
#[derive(Debug)]
pub(crate) struct Log {
    run: Label,
    begun: OnceLock<Instant>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    records: Vec<Kept>,
    lost: u64,
    hinted: HashSet<OsText>,
    pairs: HashMap<(u32, OsText), Vec<u16>>,
    /// Where the first call of a kind is.
    firsts: HashMap<(String, Ask, Judged, OsText), usize>,
}

#[derive(Debug)]
struct Kept {
    layer: EgressLayer,
    event: String,
    ask: Ask,
    judged: Judged,
    known: Option<Arc<Known>>,
    racy: bool,
    repeated: u64,
    hint: Option<String>,
    exchange: Exchange,
    attrib: &'static str,
    when: EgressWhen,
}

impl Inner {
    /// Counts a call with the first of its kind, if there is one and nothing gates.
    fn repeats(&mut self, sight: &Sight<'_>) -> bool {
        let exe = match (sight.judged.class, sight.known) {
            (Class::External, _) | (Class::Loopback | Class::LocalIpc, None) => return false,
            (Class::Loopback | Class::LocalIpc, Some(known)) => known.proc.exe.clone(),
            (Class::Probe, _) => OsText::default(),
        };
        let kind = (sight.event.into(), sight.ask.clone(), sight.judged, exe);
        let first = *self.firsts.entry(kind).or_insert(self.records.len());
        let Some(record) = self.records.get_mut(first) else {
            return false;
        };
        record.repeated += 1;
        record.racy |= sight.racy;
        true
    }
}

impl Log {
    /// An empty log, which keeps nothing yet.
    pub(crate) fn new(run: Label) -> Self {
        Self {
            run,
            begun: OnceLock::new(),
            inner: Mutex::default(),
        }
    }

    /// From now on everything is kept.
    pub(crate) fn begin(&self) {
        self.begun.get_or_init(Instant::now);
    }

    /// Whether anything is kept.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.get().is_some()
    }

    /// Whether a probe is the repetition of one that is a record already: it is counted then.
    pub(crate) fn is_repeated_probe(&self, event: &str, ask: &Ask, judged: Judged) -> bool {
        if judged.class != Class::Probe {
            return false;
        }
        let mut inner = self.lock();
        let kind = (event.to_owned(), ask.clone(), judged, OsText::default());
        let first = inner.firsts.get(&kind).copied();
        let first = first.and_then(|n| inner.records.get_mut(n));
        first.map(|r| r.repeated += 1).is_some()
    }

    /// Adds what was seen.
    pub(crate) fn add(&self, sight: Sight<'_>) {
        let Some(begun) = self.begun.get() else {
            return;
        };
        let since = begun.elapsed();
        let mut inner = self.lock();
        if inner.repeats(&sight) {
            return;
        }
        if inner.records.len() >= MOST {
            inner.lost += 1;
            return;
        }
        let hint = Self::hint(&sight, &mut inner.hinted);
        inner.records.push(Kept {
            layer: sight.layer,
            event: sight.event.into(),
            ask: sight.ask,
            judged: sight.judged,
            racy: sight.racy,
            repeated: 0,
            hint,
            when: EgressWhen {
                ts: jiff::Timestamp::now().to_string(),
                since_start_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
                pid: sight.known.map_or(0, |k| k.pid),
                answers: Vec::new(),
                dialled: None,
                bytes: None,
                took_us: None,
            },
            exchange: Exchange::default(),
            attrib: SEEN,
            known: sight.known.cloned(),
        });
    }

    /// Adds what the proxy decided. `attrib` says how its process was found.
    pub(crate) fn add_decided(
        &self,
        decision: Decision,
        known: Option<Arc<Known>>,
        attrib: &'static str,
    ) {
        let Some(begun) = self.begun.get() else {
            return;
        };
        let since = begun.elapsed();
        let mut inner = self.lock();
        if inner.records.len() >= MOST {
            inner.lost += 1;
            return;
        }
        let address = decision.host.to_string().parse::<IpAddr>();
        let family = if address.is_ok_and(|ip| ip.is_ipv6()) {
            "inet6"
        } else {
            "inet"
        };
        inner.records.push(Kept {
            layer: decision.layer,
            event: decision.event,
            ask: Ask {
                family: family.into(),
                protocol: decision.protocol,
                host: decision.host,
                port: decision.port,
            },
            judged: Judged {
                class: decision.class,
                reason: decision.reason,
                verdict: decision.verdict,
            },
            racy: false,
            repeated: 0,
            hint: decision.hint,
            exchange: decision.exchange,
            attrib,
            when: EgressWhen {
                ts: jiff::Timestamp::now().to_string(),
                since_start_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
                pid: known.as_ref().map_or(0, |k| k.pid),
                answers: decision.answers,
                dialled: decision.dialled,
                bytes: Some(Bytes {
                    up: decision.up,
                    down: decision.down,
                }),
                took_us: Some(decision.took_us),
            },
            known,
        });
    }

    /// Whether this question is the other half of one that is a record already: a resolver asks
    /// for `A` and `AAAA` of a name, in any order; the same type again is another attempt.
    pub(crate) fn is_second_half(&self, pid: u32, name: &OsText, kind: u16) -> bool {
        let mut inner = self.lock();
        if inner.pairs.len() >= MAX_PAIRS {
            inner.pairs.clear();
        }
        let asked = inner.pairs.entry((pid, name.clone())).or_default();
        let again = asked.is_empty() || asked.contains(&kind);
        if again {
            asked.clear();
        }
        asked.push(kind);
        !again
    }

    /// Counts what was seen and could not be kept.
    pub(crate) fn lose(&self, count: u64) {
        self.lock().lost += count;
    }

    /// What to do about a destination, once for each.
    fn hint(sight: &Sight<'_>, hinted: &mut HashSet<OsText>) -> Option<String> {
        let fetch = matches!(
            sight.judged.reason,
            Reason::DnsNameDenied | Reason::IpLiteral | Reason::HostNotAllowed
        );
        let denied = sight.judged.verdict == EgressVerdict::Deny;
        let host = &sight.ask.host;
        // A name that is no host name does not belong into a line that invites to be pasted.
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':');
        let fetch = fetch && host.as_bytes().iter().all(plain);
        if sight.judged.class != Class::External
            || !fetch
            || !denied
            || !hinted.insert(host.clone())
        {
            return None;
        }
        Some(format!(
            "needs {host}: use `--cache`, `--allow {host}` or `belljar egress learn`"
        ))
    }

    /// Everything, in the order of the numbers, and how many were lost. `digest` knows the
    /// executables' digests.
    pub(crate) fn take(
        &self,
        digest: impl Fn(&Known) -> Option<belljar_model::Sha256>,
    ) -> (Vec<EgressRecord>, u64) {
        let inner = std::mem::take(&mut *self.lock());
        let records = inner.records.into_iter().enumerate().map(|(seq, kept)| {
            let mut proc = kept.known.as_ref().map_or_else(unknown, |k| k.proc.clone());
            proc.exe_sha256 = kept.known.as_deref().and_then(&digest);
            if kept.known.is_some() {
                kept.attrib.clone_into(&mut proc.attrib);
            }
            EgressRecord {
                schema: EgressRecord::SCHEMA.into(),
                run: self.run,
                seq: seq as u64,
                layer: kept.layer,
                event: kept.event,
                verdict: kept.judged.verdict,
                reason: kept.judged.reason,
                class: kept.judged.class,
                ask: kept.ask,
                exchange: kept.exchange,
                proc,
                racy: kept.racy,
                repeated: kept.repeated,
                hint: kept.hint,
                when: kept.when,
            }
        });
        (records.collect(), inner.lost)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(log: &Log, host: &str) {
        log.add(Sight {
            layer: EgressLayer::Dns,
            event: "query",
            ask: Ask {
                family: "inet".into(),
                protocol: "udp".into(),
                host: host.into(),
                port: 53,
            },
            judged: Judged {
                class: Class::External,
                reason: Reason::DnsNameDenied,
                verdict: EgressVerdict::Deny,
            },
            known: None,
            racy: false,
        });
    }

    #[test]
    fn numbers_begin_with_the_command_and_have_no_gap() {
        let log = Log::new(Label::A);
        see(&log, "self.test");
        log.begin();
        see(&log, "a.example");
        see(&log, "b.example");
        let (records, lost) = log.take(|_| None);
        assert_eq!(lost, 0);
        let seen: Vec<_> = records
            .iter()
            .map(|r| (r.seq, r.ask.host.to_string()))
            .collect();
        assert_eq!(seen, [(0, "a.example".into()), (1, "b.example".into())]);
        assert_eq!(records[0].proc.attrib, "unknown");
    }

    #[test]
    fn what_does_not_fit_is_lost_by_number() {
        let log = Log::new(Label::B);
        log.begin();
        for _ in 0..MOST + 3 {
            see(&log, "a.example");
        }
        let (records, lost) = log.take(|_| None);
        assert_eq!((records.len(), lost), (MOST, 3));
        assert_eq!(records.last().unwrap().seq, MOST as u64 - 1);
    }

    #[test]
    fn what_never_gates_is_counted_with_the_first_of_its_kind() {
        let log = Log::new(Label::A);
        log.begin();
        let me = i32::try_from(std::process::id()).unwrap();
        let known = super::super::identify::Processes::default()
            .find(me)
            .unwrap();
        let probe = |class, host: &str| {
            log.add(Sight {
                layer: EgressLayer::Notify,
                event: "connect",
                ask: Ask {
                    family: "unix".into(),
                    protocol: "unix".into(),
                    host: host.into(),
                    port: 0,
                },
                judged: Judged {
                    class,
                    reason: Reason::UnixSocketDenied,
                    verdict: EgressVerdict::Deny,
                },
                known: Some(&known),
                racy: false,
            });
        };
        for _ in 0..3 {
            probe(Class::Probe, "/run/nscd/socket");
            probe(Class::External, "/run/nscd/socket");
        }
        probe(Class::Probe, "/run/other");
        let (records, _) = log.take(|_| None);
        let seen: Vec<_> = records
            .iter()
            .map(|r| (r.seq, r.class, r.repeated))
            .collect();
        let (p, e) = (Class::Probe, Class::External);
        assert_eq!(
            seen,
            [(0, p, 2), (1, e, 0), (2, e, 0), (3, e, 0), (4, p, 0)]
        );
    }

    #[test]
    fn the_first_refusal_of_a_host_says_what_to_do() {
        let log = Log::new(Label::A);
        log.begin();
        for host in ["x.example", "x.example", "ok.example"] {
            see(&log, host);
        }
        let hints: Vec<_> = log.take(|_| None).0.into_iter().map(|r| r.hint).collect();
        let needs = |h: &str| {
            Some(format!(
                "needs {h}: use `--cache`, `--allow {h}` or `belljar egress learn`"
            ))
        };
        assert_eq!(hints, [needs("x.example"), None, needs("ok.example")]);
    }

    #[test]
    fn no_hint_repeats_what_is_no_host_name() {
        let log = Log::new(Label::A);
        log.begin();
        see(&log, "`rm -r x`.example");
        assert_eq!(log.take(|_| None).0[0].hint, None);
    }

    #[test]
    fn two_halves_of_a_question_are_one_attempt() {
        let log = Log::new(Label::A);
        let (x, y) = ("x.example".into(), "y.example".into());
        let asked = [
            (1, &x, 1),
            (1, &x, 28),
            (1, &x, 28),
            (1, &x, 1),
            (2, &x, 1),
            (1, &y, 28),
            (1, &y, 28),
        ];
        let second: Vec<_> = asked
            .iter()
            .map(|(pid, name, kind)| log.is_second_half(*pid, name, *kind))
            .collect();
        assert_eq!(second, [false, true, false, true, false, false, false]);
    }
}
