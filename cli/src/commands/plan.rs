//! From what was typed to a frozen plan: the only place where flags, `belljar.toml` and the host
//! meet.

use std::collections::BTreeMap;

use belljar_model::Plan;
use belljar_proxy::credential::Origin;
use belljar_sandbox::launch::Ahead;
use belljar_sandbox::plan::{Caller, Host, PlanError, Real, Resolved, View as _, places, resolve};

use super::door;
use crate::config::{self, Export, Typed, Voice};
use crate::errors::CommandError;

/// All that `run` and `verify` need to know; after it is made nothing reads a flag.
#[derive(Debug)]
pub struct Prepared {
    /// What is to be run under which walls.
    pub plan: Plan,
    /// The host's side of it.
    pub host: Host,
    /// Where the values of the policy's credentials come from, by label. The plan never knows.
    pub credentials: BTreeMap<String, Origin>,
    /// Where outputs go after a pass: an absolute path.
    pub export: Option<std::path::PathBuf>,
    /// That place was named, and is not the tree that was built.
    pub elsewhere: bool,
    /// How belljar speaks.
    pub voice: Voice,
    /// What the caller should be told before the build starts, a line each.
    pub notices: Vec<String>,
}

/// Finds the configuration, merges and resolves. A launcher is started as soon as it is known whose
/// tree it is.
pub fn prepare(typed: Typed<'_>) -> Result<(Prepared, Option<Ahead>), CommandError> {
    let caller = Caller::read().map_err(|e| {
        CommandError::usage(format!(
            "could not read the current folder: {e:?} ({})",
            e.desc()
        ))
        .hint("change into a folder that exists")
    })?;
    let args = typed.shared();
    let workdir = args.workdir.as_deref().unwrap_or(".".as_ref());
    let found = places(workdir, args.root.as_deref(), &caller, &Real)?;
    let owner = Real.owner(&found.root).ok();
    let ahead = owner.and_then(|owner| Ahead::start(&found.root, owner, caller.ids));
    let file = config::find(args.config.as_deref(), &found.workdir, &found.root)?;
    let mut config = config::merge(typed, &file);
    let pair = matches!(typed, Typed::Verify(_));
    let (egress, credentials) = file.egress.policy(&args.allow, pair)?;
    config.request.egress = egress;
    let resolved = resolve(&config.request, &caller, &Real)?;
    let Resolved {
        mut plan,
        host,
        workdir,
        notices,
    } = resolved;
    door::set_variables(&mut plan);
    let elsewhere = matches!(config.export, Export::Into(_));
    let export = match config.export {
        Export::None => None,
        Export::Workdir => Some(workdir),
        Export::Into(dir) => Some(caller.cwd.join(dir)),
    };
    let prepared = Prepared {
        plan,
        host,
        credentials,
        export,
        elsewhere,
        voice: config.voice,
        notices,
    };
    Ok((prepared, ahead))
}

impl From<PlanError> for CommandError {
    fn from(e: PlanError) -> Self {
        Self::usage(e.to_string()).hint(e.hint())
    }
}
