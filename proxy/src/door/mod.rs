//! The doors: each takes exactly one form of asking, and ends with one authority that is fixed.

pub(crate) mod http;
pub(crate) mod names;
pub(crate) mod port;
pub(crate) mod socks;

use belljar_model::door::Decision;
use belljar_model::{EgressVerdict, Reason};

use crate::authority::{Authority, Host};
use crate::dial::Refused;
use crate::policy::Verdict;

/// Which door somebody came by, and so how it is told what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Http,
    Socks,
    Port,
}

/// Says in the record whom this is about.
pub(crate) fn about(decision: &mut Decision, authority: &Authority, raw: Option<&[u8]>) {
    let host = match authority.host() {
        Host::Name(name) => name.clone(),
        Host::Address(ip) => ip.to_string(),
    };
    decision.exchange.raw = raw
        .filter(|raw| *raw != host.as_bytes())
        .map(crate::log::shown);
    decision.host = host.as_str().into();
    decision.port = authority.port();
}

/// Says in the record what the policy says.
pub(crate) fn judged(decision: &mut Decision, verdict: &Verdict, authority: &Authority) {
    decision.verdict = if verdict.allow {
        EgressVerdict::Allow
    } else {
        EgressVerdict::Deny
    };
    decision.reason = verdict.reason;
    decision.exchange.rule = verdict.rule;
    decision.exchange.would = verdict.would;
    if !verdict.allow {
        decision.hint = crate::deny::hint(verdict.reason, authority);
    }
}

/// Says in the record that it is denied, and why.
pub(crate) fn denied(decision: &mut Decision, reason: Reason, detail: &str) {
    decision.verdict = EgressVerdict::Deny;
    decision.reason = reason;
    decision.exchange.detail = Some(detail.into());
}

/// Says in the record that it could not be reached.
pub(crate) fn refused(decision: &mut Decision, refused: Refused) {
    denied(decision, refused.reason, &refused.detail);
    decision.answers = refused.answers;
}
