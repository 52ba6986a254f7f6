//! What was asked for, typed, with every default filled in and nothing looked up yet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use belljar_model::{
    Budgets, CacheKind, Layer, OnDeny, OsText, Outputs, Policy, Skew, Source, WorkspaceWish,
};

/// A run or a pair, as asked for. Relative paths are relative to the caller's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to run.
    pub command: Command,
    /// How run B's clock is moved; absent for a single run.
    pub skew: Option<Skew>,
    /// Of a pair: whether a third run is made far ahead.
    pub far: bool,
    /// Where the build starts.
    pub workdir: PathBuf,
    /// What stands at `/build`; absent: the git toplevel, else the workdir.
    pub root: Option<PathBuf>,
    /// Which files the build sees.
    pub source: Source,
    /// Which workspace.
    pub workspace: WorkspaceWish,
    /// Where scratch folders are made; absent: the first of the usual places that will do.
    pub scratch: Option<PathBuf>,
    /// Further paths of the host to show.
    pub ro: Vec<PathBuf>,
    /// Download caches.
    pub caches: BTreeSet<CacheKind>,
    /// A cache that is not there is no error, but told.
    pub caches_may_lack: bool,
    /// Variables to set.
    pub env: BTreeMap<OsText, OsText>,
    /// Variables of the caller to pass on.
    pub pass_env: BTreeSet<OsText>,
    /// What counts as output.
    pub outputs: Outputs,
    /// Where evidence goes.
    pub evidence: PathBuf,
    /// What may be reached.
    pub egress: Policy,
    /// What an external denial does.
    pub on_deny: OnDeny,
    /// Layers required beyond the default ones.
    pub require: BTreeMap<Layer, Option<String>>,
    /// The limits.
    pub budgets: Budgets,
    /// `SOURCE_DATE_EPOCH`, if it is to be held.
    pub source_date_epoch: Option<DateEpoch>,
}

impl Request {
    /// This command in the current folder, everything else by default.
    pub fn new(command: Vec<OsText>) -> Self {
        Self {
            command: Command::Words(command),
            skew: None,
            far: false,
            workdir: ".".into(),
            root: None,
            source: Source::default(),
            workspace: WorkspaceWish::default(),
            scratch: None,
            ro: Vec::new(),
            caches: BTreeSet::new(),
            caches_may_lack: false,
            env: BTreeMap::new(),
            pass_env: BTreeSet::new(),
            outputs: Outputs::default(),
            evidence: "artifacts".into(),
            egress: Policy::default(),
            on_deny: OnDeny::default(),
            require: BTreeMap::new(),
            budgets: Budgets::default(),
            source_date_epoch: None,
        }
    }
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A program and its arguments.
    Words(Vec<OsText>),
    /// An interactive shell.
    Shell,
}

/// `SOURCE_DATE_EPOCH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateEpoch {
    /// The committer time of the root folder's last commit.
    Auto,
    /// Seconds since 1970.
    At(i64),
}
