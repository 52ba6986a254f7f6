//! The port doors, where programs arrive that know no proxy: the address that they connected to
//! stands for the name that they asked for.

use std::net::IpAddr;

use belljar_model::Class;

use super::{Door, about, judged};
use crate::authority::{Authority, Host};
use crate::client::Client;
use crate::guard::{self, Fixed};

/// Serves one connection.
pub(crate) async fn serve(client: Client) {
    let mut decision = client.seen.draft("transparent");
    let name = match client.server.ip() {
        IpAddr::V4(v4) => client.shared.names.name(v4),
        IpAddr::V6(_) => None,
    };
    let host = name.and_then(|name| Host::parse(name.as_bytes()).ok());
    let authority = host.map(|host| Authority::new(host, client.server.port()));
    let authority = authority.unwrap_or_else(|| {
        // The sandbox's own loopback, where nothing else listens on this port: it is judged as the
        // address that it is, and counts as one inside.
        decision.class = Class::Loopback;
        decision.exchange.detail = Some("no name was asked for this address".into());
        Authority::new(Host::Address(client.server.ip()), client.server.port())
    });
    about(&mut decision, &authority, None);
    let verdict = client.shared.policy.authority(&authority);
    judged(&mut decision, &verdict, &authority);
    let fixed = Fixed {
        door: Door::Port,
        authority,
        rule: verdict.rule,
        decision,
    };
    if verdict.allow {
        guard::pass(client, fixed).await;
    } else {
        guard::refuse_late(client, fixed).await;
    }
}
