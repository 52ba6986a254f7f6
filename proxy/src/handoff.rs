//! Where a connection becomes a series of requests: the relay takes it from here.

use belljar_model::Reason;
use belljar_model::door::Decision;

use crate::authority::Authority;
use crate::client::Client;
use crate::deny::forbidden;
use crate::door::denied;
use crate::hello::alert;

/// Requests as they come; `fixed`: the one authority that they may be for, or absolute targets.
pub(crate) async fn requests(client: Client, fixed: Option<Authority>, rule: Option<u32>) {
    let mut decision = client.seen.draft("request");
    if let Some(fixed) = &fixed {
        crate::door::about(&mut decision, fixed, None);
    }
    decision.exchange.rule = rule;
    denied(
        &mut decision,
        Reason::FormDenied,
        "requests are not relayed",
    );
    let answer = forbidden(decision.reason, rule);
    client.seen.decide(decision).await;
    client.last(&answer).await;
}

/// TLS whose hello was held to the authority, to be opened.
pub(crate) async fn tls(
    client: Client,
    _authority: Authority,
    _rule: Option<u32>,
    mut decision: Decision,
) {
    denied(&mut decision, Reason::FormDenied, "TLS is not opened");
    client.seen.decide(decision).await;
    client.last(&alert(false)).await;
}
