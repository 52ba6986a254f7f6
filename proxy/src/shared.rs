//! What all connections of a run have in common.

use std::sync::Arc;
use std::time::Duration;

use belljar_model::{EgressLimits, Tls};
use tokio::sync::{Semaphore, watch};

use crate::Role;
use crate::dial::Dialer;
use crate::exchange::Relay;
use crate::limits::Budgets;
use crate::log::Log;
use crate::policy::Compiled;
use crate::synthetic::Synthetic;
use crate::tunnel::Pool;

/// What all connections of a run have in common.
pub(crate) struct Shared {
    /// The policy.
    pub(crate) policy: Arc<Compiled>,
    /// Whom requests are answered by.
    pub(crate) role: Role,
    /// Limits of the run.
    pub(crate) limits: EgressLimits,
    /// Bytes that are left.
    pub(crate) budgets: Budgets,
    /// The way out.
    pub(crate) dialer: Dialer,
    /// What answers requests.
    pub(crate) relay: Relay,
    pub(crate) log: Log,
    pub(crate) names: Synthetic,
    pub(crate) pool: Pool,
    /// Connections that may still be taken.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Shared {
    /// How long a head, a hello or a greeting may take.
    pub(crate) fn head_time(&self) -> Duration {
        Duration::from_millis(self.limits.head_ms)
    }

    /// How long nothing may move on a connection.
    pub(crate) fn idle_time(&self) -> Duration {
        Duration::from_millis(self.limits.idle_ms)
    }

    /// Ends when the run is over.
    pub(crate) async fn stopped(&self) {
        // Whoever could say so is gone: that is the same.
        let _ = self.stop.clone().wait_for(|over| *over).await;
    }

    /// Whether TLS under this rule is opened.
    pub(crate) fn inspects(&self, rule: Option<u32>) -> bool {
        let rule = rule.and_then(|n| self.policy.rule(n));
        let always = match self.role {
            Role::Record | Role::Replay => true,
            Role::Learn => self.policy.policy().learn_inside,
            Role::Live => false,
        };
        always || rule.is_some_and(|rule| rule.tls == Tls::Inspect)
    }

    /// Whether anything may be spoken under this rule.
    pub(crate) fn raw(&self, rule: Option<u32>) -> bool {
        let rule = rule.and_then(|n| self.policy.rule(n));
        rule.is_some_and(|rule| rule.raw)
    }
}
