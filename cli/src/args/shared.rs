//! The options that `run` and `verify` share. Each has a key of the same name in `belljar.toml`
//! (with `_` for `-`), but for `--config` itself.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::values::{
    Allowed, CacheName, Count, Cpus, EnvName, EnvPair, Requirement, Size, WallTime,
};

/// What `run` and `verify` share.
#[derive(Debug, Default, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct SharedArgs {
    /// Where the build starts (default: the current folder)
    #[arg(long, value_name = "DIR", help_heading = "Source")]
    pub workdir: Option<PathBuf>,
    /// What stands at /build (default: the git toplevel of the workdir, else the workdir)
    #[arg(long, value_name = "DIR", help_heading = "Source")]
    pub root: Option<PathBuf>,
    /// Which files the build sees: `tree`, the folder as it is (default), or `git`, without
    /// ignored files
    #[arg(
        long,
        value_name = "tree|git",
        help_heading = "Source",
        hide_possible_values = true
    )]
    pub source: Option<SourceArg>,
    /// How the source is kept untouched: `auto` (default), `overlay` or `copy`
    #[arg(
        long,
        value_name = "auto|overlay|copy",
        help_heading = "Source",
        hide_possible_values = true
    )]
    pub workspace: Option<WorkspaceArg>,
    /// Where what the build writes is kept while it runs (default: /var/tmp)
    #[arg(long, value_name = "DIR", help_heading = "Source")]
    pub scratch: Option<PathBuf>,

    /// Show a path of the host inside, read-only, at the same place (repeatable)
    #[arg(long, value_name = "PATH", help_heading = "Tools and inputs")]
    pub ro: Vec<PathBuf>,
    /// Let the host's download cache serve the build: cargo, npm, go, pip or maven (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "Tools and inputs")]
    pub cache: Vec<CacheName>,
    /// Set a variable of the build (repeatable)
    #[arg(long, value_name = "K=V", help_heading = "Tools and inputs")]
    pub env: Vec<EnvPair>,
    /// Pass the caller's value of a variable on (repeatable)
    #[arg(long, value_name = "K", help_heading = "Tools and inputs")]
    pub pass_env: Vec<EnvName>,

    /// What counts as output, relative to the workdir (repeatable; default: all that is created
    /// or changed, minus known scratch files)
    #[arg(long, value_name = "GLOB", help_heading = "Outputs")]
    pub output: Vec<String>,
    /// Differences in scratch files count too
    #[arg(long, help_heading = "Outputs")]
    pub strict_outputs: bool,
    /// Times of modification count too
    #[arg(long, help_heading = "Outputs")]
    pub strict_mtime: bool,
    /// A build without outputs is fine
    #[arg(long, help_heading = "Outputs")]
    pub allow_empty: bool,
    /// Copy the outputs into this folder (`run`: instead of the workdir; `verify`: only if
    /// reproducible)
    #[arg(long, value_name = "DIR", help_heading = "Outputs")]
    pub export: Option<PathBuf>,
    /// Where evidence is written (default: artifacts, in the current folder)
    #[arg(long, value_name = "DIR", help_heading = "Outputs")]
    pub evidence: Option<PathBuf>,

    /// Let the build reach this host, or all below `*.SUFFIX` (repeatable; without a port: 80 and 443)
    #[arg(long, value_name = "HOST[:PORT,...]", help_heading = "Walls")]
    pub allow: Vec<Allowed>,
    /// What a refused call to the outside does: `record` (default), or `fail` with exit code 4
    #[arg(
        long,
        value_name = "record|fail",
        help_heading = "Walls",
        hide_possible_values = true
    )]
    pub on_deny: Option<OnDenyArg>,
    /// Refuse to run without this layer, such as `landlock=6` or `cgroup` (repeatable)
    #[arg(long, value_name = "LAYER[=LEVEL]", help_heading = "Walls")]
    pub require: Vec<Requirement>,
    /// Most memory, such as 4G
    #[arg(long, value_name = "SIZE", help_heading = "Walls")]
    pub memory: Option<Size>,
    /// Most processors, such as 2 or 0.5
    #[arg(long, value_name = "N", help_heading = "Walls")]
    pub cpus: Option<Cpus>,
    /// Most tasks at one time, such as 1024
    #[arg(long, value_name = "N", help_heading = "Walls")]
    pub pids: Option<Count>,
    /// Most bytes written, such as 8G
    #[arg(long, value_name = "SIZE", help_heading = "Walls")]
    pub disk: Option<Size>,
    /// Longest time, such as 30m; then TERM, a grace, KILL
    #[arg(long, value_name = "TIME", help_heading = "Walls")]
    pub timeout: Option<WallTime>,

    /// The file with the answers to what is not typed (default: belljar.toml in the workdir or
    /// the root)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print result.json to stdout at the end, and nothing else there
    #[arg(long)]
    pub json: bool,
    /// Say only what went wrong
    #[arg(short, long)]
    pub quiet: bool,
    /// Say more: layers, notices, run B's output
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,

    /// The build command and its arguments
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// See [`belljar_model::Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceArg {
    /// The folder as it is
    Tree,
    /// Tracked and untracked files; ignored ones are hidden
    Git,
}

/// See [`belljar_model::WorkspaceWish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkspaceArg {
    /// The first that works
    Auto,
    /// An overlay, or exit code 125
    Overlay,
    /// A copy
    Copy,
}

/// See [`belljar_model::OnDeny`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDenyArg {
    /// It is recorded
    Record,
    /// It is recorded and gates with exit code 4
    Fail,
}
