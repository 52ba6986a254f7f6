//! What may be used up: connections at one time, bytes under a rule, bytes of a whole run.

use std::sync::atomic::{AtomicU64, Ordering};

use belljar_model::Policy;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Out of the sandbox.
    Up,
    /// Into it.
    Down,
}

/// Bytes that are left, for each rule and for the run.
#[derive(Debug)]
pub struct Budgets {
    rules: Vec<Pair>,
    total: Budget,
}

#[derive(Debug)]
struct Pair {
    up: Budget,
    down: Budget,
}

/// `u64::MAX` is no limit, and is never taken from.
#[derive(Debug)]
struct Budget(AtomicU64);

impl Budget {
    fn new(limit: Option<u64>) -> Self {
        Self(AtomicU64::new(limit.unwrap_or(u64::MAX)))
    }

    /// Takes all of it or, where not so much is left, everything that is.
    fn take(&self, bytes: u64) -> bool {
        let taken = self
            .0
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                (left != u64::MAX).then(|| left.saturating_sub(bytes))
            });
        taken.is_ok_and(|before| before >= bytes) || self.0.load(Ordering::Relaxed) == u64::MAX
    }
}

impl Budgets {
    /// As the policy says.
    pub fn new(policy: &Policy) -> Self {
        let rules = policy.allow.iter().map(|rule| Pair {
            up: Budget::new(Some(rule.max_up)),
            down: Budget::new(rule.max_down),
        });
        Self {
            rules: rules.collect(),
            total: Budget::new(policy.limits.total_bytes),
        }
    }

    /// Uses so many bytes; `false`: so many are not left, and these must not pass.
    pub fn spend(&self, rule: Option<u32>, way: Way, bytes: u64) -> bool {
        let pair = rule.and_then(|rule| self.rules.get(rule as usize));
        let own = pair.is_none_or(|pair| match way {
            Way::Up => pair.up.take(bytes),
            Way::Down => pair.down.take(bytes),
        });
        own && self.total.take(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(max_up: u64, max_down: Option<u64>, total: Option<u64>) -> Policy {
        let mut policy = Policy::default();
        policy.limits.total_bytes = total;
        policy.allow.push(belljar_model::Rule {
            host: "a.example".into(),
            ports: vec![443],
            methods: Vec::new(),
            paths: Vec::new(),
            addresses: Vec::new(),
            tls: belljar_model::Tls::Tunnel,
            raw: false,
            websocket: false,
            max_up,
            max_down,
            reason: None,
        });
        policy
    }

    #[test]
    fn each_way_has_its_own_budget() {
        let budgets = Budgets::new(&policy(10, Some(5), None));
        assert!(budgets.spend(Some(0), Way::Up, 10));
        assert!(!budgets.spend(Some(0), Way::Up, 1));
        assert!(budgets.spend(Some(0), Way::Down, 5));
        assert!(!budgets.spend(Some(0), Way::Down, 1));
        assert!(budgets.spend(None, Way::Up, 1 << 40));
    }

    #[test]
    fn what_is_too_much_uses_up_the_rest() {
        let budgets = Budgets::new(&policy(10, None, None));
        assert!(!budgets.spend(Some(0), Way::Up, 11));
        assert!(!budgets.spend(Some(0), Way::Up, 1));
    }

    #[test]
    fn without_a_limit_nothing_runs_out() {
        let budgets = Budgets::new(&policy(10, None, None));
        for _ in 0..3 {
            assert!(budgets.spend(Some(0), Way::Down, u64::MAX / 2));
        }
    }

    #[test]
    fn the_run_has_a_budget_of_all() {
        let budgets = Budgets::new(&policy(1000, None, Some(100)));
        assert!(budgets.spend(Some(0), Way::Up, 60));
        assert!(budgets.spend(None, Way::Down, 40));
        assert!(!budgets.spend(Some(0), Way::Up, 1));
    }
}
