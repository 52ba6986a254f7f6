//! Why belljar ends a run before its command does, and how: asking first, then ordering.

use std::time::{Duration, Instant};

use belljar_model::EndedBy;
use nix::sys::signal::{Signal, kill};

use super::Supervisor;
use crate::SetupError;
use crate::launch::stop::{Asked, Stop};
use crate::launch::streams::resize;
use crate::launch::wire::ToInit;

/// Between the request to end and the order.
const GRACE: Duration = Duration::from_secs(5);

impl Supervisor<'_> {
    pub(super) fn fail(&mut self, error: SetupError) {
        self.failure.get_or_insert(error);
        self.order_the_end();
    }

    pub(super) fn asked(&mut self, stop: &Stop) {
        while let Some(asked) = stop.next() {
            match asked {
                Asked::Resize => self.ends.outputs.iter().for_each(|(_, fd)| resize(fd)),
                // The second request is not one for patience.
                Asked::Stop if self.ending.is_some() => self.order_the_end(),
                Asked::Stop => self.ask_to_end(EndedBy::Interrupt),
            }
        }
    }

    pub(super) fn check_budgets(&mut self) {
        let spent = self
            .plan
            .budgets
            .wall_ms
            .is_some_and(|ms| self.begun.elapsed() >= Duration::from_millis(ms))
            && self.started_ns != 0;
        if let Some(why) = self.budgets.exceeded()
            && !matches!(self.ending, Some((EndedBy::Oom | EndedBy::Disk, _)))
        {
            // Asking takes time, and time is more memory and more disk.
            self.ending = Some((why, Instant::now()));
        }
        match self.ending {
            Some((_, at)) if Instant::now() >= at => self.order_the_end(),
            None if spent => self.ask_to_end(EndedBy::Timeout),
            Some(_) | None => {}
        }
    }

    /// SIGTERM to the build's process group, SIGKILL to everything after the grace.
    fn ask_to_end(&mut self, why: EndedBy) {
        self.ending = Some((why, Instant::now() + GRACE));
        let asked = self
            .to_init
            .as_ref()
            .map(|c| c.send(&ToInit::Signal(Signal::SIGTERM as i32)));
        if self.started_ns == 0 || !matches!(asked, Some(Ok(()))) {
            self.order_the_end();
        }
    }

    /// Kills init, and with it all that is inside.
    fn order_the_end(&mut self) {
        let target = self.init.unwrap_or(self.launcher);
        // It may have ended by itself meanwhile; its pid is not reused before the launcher is reaped.
        let _ = kill(target, Signal::SIGKILL);
        // A stopped launcher could not reap it.
        let _ = kill(self.launcher, Signal::SIGCONT);
    }
}
