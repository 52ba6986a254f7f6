//! What a sweep found: the leftovers of dead runs go, everything else stays.

use crate::SetupError;
use crate::launch::id::RunId;

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// The runs whose leftovers are gone.
    pub removed: Vec<RunId>,
    /// The runs that live, and keep theirs.
    pub alive: Vec<RunId>,
    /// What could not be removed.
    pub failed: Vec<SetupError>,
}

/// What something with one of our names turned out to be.
pub(super) enum Found {
    /// Its run had ended; it is gone.
    Dead,
    /// A living process of its run holds the lock.
    Alive,
    /// Another user's, or not what the name says.
    Foreign,
}

impl Swept {
    /// Notes what was found of run `id`.
    pub(super) fn note(&mut self, id: RunId, found: Result<Found, SetupError>) {
        match found {
            Ok(Found::Dead) => self.removed.push(id),
            Ok(Found::Alive) => self.alive.push(id),
            Ok(Found::Foreign) => {}
            Err(e) => self.failed.push(e),
        }
    }
}
