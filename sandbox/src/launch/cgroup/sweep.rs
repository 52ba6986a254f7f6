//! Finds and removes the leaves of dead runs.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use super::find::{Map, Place};
use super::group::{Folder, Group, Taken};
use super::v2;
use crate::SetupError;
use crate::launch::sweep::{Found, Swept};

/// Removes the leaves that dead runs of the caller left, wherever in the host's hierarchies they
/// are, and nothing else.
pub fn sweep() -> Swept {
    let mut swept = Swept::default();
    match Map::read() {
        Ok(map) => {
            let tops = map
                .v2
                .iter()
                .chain(map.v1.iter().filter_map(|(_, place)| place.as_ref()));
            tops.for_each(|Place { top, .. }| sweep_below(top, &mut swept));
        }
        Err(e) => swept.failed.push(e),
    }
    for ids in [&mut swept.removed, &mut swept.alive] {
        ids.sort_unstable();
        ids.dedup();
    }
    swept
}

fn sweep_below(dir: &Path, swept: &mut Swept) {
    for name in sweep_in(dir, swept) {
        sweep_below(&dir.join(name), swept);
    }
}

/// Sweeps the leaves that lie directly in `dir`; returns the names of the other cgroups there.
pub(super) fn sweep_in(dir: &Path, swept: &mut Swept) -> Vec<OsString> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut others = Vec::new();
    for entry in entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
    {
        let name = entry.file_name();
        match v2::id_of_name(name.as_bytes()) {
            Some(id) => swept.note(id, sweep_one(dir, &name.to_string_lossy())),
            None => others.push(name),
        }
    }
    others
}

fn sweep_one(dir: &Path, name: &str) -> Result<Found, SetupError> {
    let failed = |e: Errno| {
        SetupError::new("remove the cgroup of a dead run", e).at(dir.join(name).as_path())
    };
    match Folder::open(dir)
        .and_then(|parent| Group::take_over(parent, name))
        .map_err(failed)?
    {
        Taken::Alive => Ok(Found::Alive),
        Taken::Foreign => Ok(Found::Foreign),
        Taken::Dead(group) => {
            // The run's own processes are gone; what they had started may still be dying.
            group.kill().and_then(|()| group.remove()).map_err(failed)?;
            Ok(Found::Dead)
        }
    }
}
