//! `belljar egress`: what a build may reach.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::{Allowed, CacheName, EnvName, EnvPair};
use super::{RunArgs, SharedArgs};

/// `belljar egress`.
#[derive(Debug, Args)]
pub struct EgressArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: EgressCommand,
}

/// What can be done about egress.
#[derive(Debug, Subcommand)]
pub enum EgressCommand {
    /// Say what the policy makes of a URL, without asking anybody
    Check(CheckArgs),
    /// Run a build once with the network open, and write the smallest rules that allow what it fetched
    Learn(LearnArgs),
}

/// `belljar egress check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belljar egress check https://crates.example/index/config.json
  belljar egress check --method POST https://api.example/upload
  belljar egress check --allow crates.example https://crates.example/ --json

Nothing is resolved and nothing is sent. Exit codes: 0 allowed, 2 usage, 4 denied.")]
pub struct CheckArgs {
    /// What is to be fetched: http:// or https://
    #[arg(value_name = "URL")]
    pub url: String,
    /// By which method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub method: String,
    /// A rule as in `run` (repeatable; adds to the rules of the file)
    #[arg(long, value_name = "HOST[:PORT,...]")]
    pub allow: Vec<Allowed>,
    /// The file with the policy (default: belljar.toml in this folder or the root)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// `belljar egress learn`.
#[derive(Debug, Args)]
#[command(
    override_usage = "belljar egress learn [OPTIONS] -- CMD...",
    after_help = "\
Examples:
  belljar egress learn -- cargo fetch                  the rules on stdout
  belljar egress learn -- make >> belljar.toml         and into the file that `run` reads
  belljar egress learn --inspect --output rules.toml -- npm ci

Public destinations are let through in this one run; private addresses and cloud metadata
stay denied and are listed. Beside each rule stand the programs that asked. The exit code is
the command's own, or 6 if records were lost, in which case no rules are written."
)]
pub struct LearnArgs {
    /// Where the build starts (default: the current folder)
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,
    /// Let the host's download cache serve the build, as in `run` (repeatable)
    #[arg(long, value_name = "NAME")]
    pub cache: Vec<CacheName>,
    /// Set a variable of the build (repeatable)
    #[arg(long, value_name = "K=V")]
    pub env: Vec<EnvPair>,
    /// Pass the caller's value of a variable on (repeatable)
    #[arg(long, value_name = "K")]
    pub pass_env: Vec<EnvName>,
    /// Where evidence is written (default: artifacts, in the current folder)
    #[arg(long, value_name = "DIR")]
    pub evidence: Option<PathBuf>,
    /// The file with the answers to what is not typed (default: belljar.toml in the workdir or the
    /// root)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Write the rules into this new file; `-` is stdout
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// Write rules that hold requests inside TLS to their methods, for which `run` opens TLS
    #[arg(long)]
    pub inspect: bool,
    /// The build command and its arguments
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

impl LearnArgs {
    /// The run that is learned from.
    pub fn run(&self) -> RunArgs {
        RunArgs {
            shared: SharedArgs {
                workdir: self.workdir.clone(),
                cache: self.cache.clone(),
                env: self.env.clone(),
                pass_env: self.pass_env.clone(),
                evidence: self.evidence.clone(),
                config: self.config.clone(),
                command: self.command.clone(),
                ..SharedArgs::default()
            },
            no_export: true,
            shell: false,
        }
    }
}
