//! Where the outputs of a run that passed go.

use std::os::fd::AsFd as _;

use belljar_model::{Manifest, OsText};
use belljar_sandbox::capture::{Destination, Workspace, export as write};

use super::plan::Prepared;
use super::work::shown;
use crate::evidence::dir::{give_to, open_or_make};

/// Exports outputs, if there is a place for them: how many paths, and whereto. Else why not, and
/// what to do.
pub fn export(
    prepared: &Prepared,
    from: &Workspace,
    manifest: &Manifest,
) -> Result<Option<(u64, String)>, (String, String)> {
    let Some(named) = &prepared.export else {
        return Ok(None);
    };
    let host = &prepared.host;
    let no = OsText::default();
    // Outputs keep their places in the tree that was built; elsewhere the start folder counts.
    let (to, strip) = if prepared.elsewhere {
        (named.as_path(), &prepared.plan.cwd)
    } else {
        (host.root.as_path(), &no)
    };
    let owner = give_to(host.owner);
    let folder = open_or_make(to, &host.root, owner).map_err(|e| {
        let hint = "name a folder that is there or can be made with --export";
        (e.to_string(), hint.to_owned())
    })?;
    // Wherever the outputs go: what a build wrote at the place of the evidence is never taken
    // for it.
    let evidence = host.evidence.strip_prefix(&host.root).ok();
    let keep = evidence.map(OsText::from);
    let to = Destination {
        folder: folder.as_fd(),
        strip,
        keep: keep.as_ref(),
        owner,
    };
    let done = write(from, manifest, to).map_err(|e| (e.to_string(), e.hint().to_owned()))?;
    let shown = if prepared.elsewhere {
        shown(named)
    } else {
        "the workdir".into()
    };
    Ok(Some((done.written, shown)))
}
