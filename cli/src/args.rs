//! The command line: what can be typed, and nothing of what it means.
//!
//! An option that was not typed is `None`, so that `belljar.toml` can answer; defaults are given
//! in [`crate::config`]. Help is text for people: it teaches by example and ends no line with a
//! full stop.

mod egress;
mod shared;
pub mod usage;
pub mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use egress::{CheckArgs, EgressArgs, EgressCommand, LearnArgs};
pub use shared::{OnDenyArg, SharedArgs, SourceArg, WorkspaceArg};
use values::{SkewRule, Vary};

/// Run a build in a sealed sandbox; run it twice with the clock moved, compare, and say why
#[derive(Debug, Parser)]
#[command(
    name = "belljar",
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = false,
    max_term_width = 100,
    after_help = "\
Examples:
  belljar verify -- make                     is this build reproducible?
  belljar run -- cargo build --offline       one sealed run; outputs go into the workdir
  belljar doctor                             can this machine do it, and what is missing?
  belljar init                               write a belljar.toml for this project

Everything after `--` belongs to the build. `belljar COMMAND --help` has more.
Exit codes: 0 reproducible, 1 build failed, 2 usage, 3 outputs differ, 4 policy, 5 fails only
under the moved clock, 6 incomplete, 124 timeout, 125 sandbox could not be set up."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command once in the sandbox; its outputs go into the workdir
    Run(RunArgs),
    /// Run a build twice with the clock moved in between, compare, and give a verdict
    Verify(VerifyArgs),
    /// Ask the network policy, or learn which destinations a build needs
    Egress(EgressArgs),
    /// Compare two files, trees or archives without running anything
    Diff(DiffArgs),
    /// Show the report of an earlier run again
    Explain(ExplainArgs),
    /// Set up the real sandbox, layer by layer, and say what is missing and how to get it
    Doctor(DoctorArgs),
    /// Look at the project and write a small belljar.toml
    Init(InitArgs),
    /// Sweep scratch folders and cgroups that dead runs left
    Clean(CleanArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write one page for each command into a folder
    Man(ManArgs),
}

/// `belljar run`.
#[derive(Debug, Args)]
#[command(
    override_usage = "belljar run [OPTIONS] -- CMD...",
    after_help = "\
Examples:
  belljar run -- make -j2                      sealed; outputs go into the workdir
  belljar run --workdir src/app -- npm ci --offline
  belljar run --memory 4G --timeout 30m -- ./build.sh
  belljar run --shell                          look around in the same sandbox

The exit code is the command's own. 125: the sandbox could not be set up and the command did
not run; 124: --timeout; 126 and 127: the command can't be executed, is not found; 6: evidence
could not be written. artifacts/result.json says under `ended_by` which of them it was."
)]
pub struct RunArgs {
    /// What `verify` has too.
    #[command(flatten)]
    pub shared: SharedArgs,
    /// Leave the outputs out of the workdir
    #[arg(long, help_heading = "Outputs", conflicts_with = "export")]
    pub no_export: bool,
    /// Start an interactive shell in the sandbox instead of a command
    #[arg(long, conflicts_with = "command")]
    pub shell: bool,
}

/// `belljar verify`.
#[derive(Debug, Args)]
#[command(
    override_usage = "belljar verify [OPTIONS] -- CMD...",
    after_help = "\
Examples:
  belljar verify -- make
  belljar verify --source git -- ./build.sh      ignored files are hidden: a clean checkout
  belljar verify --output 'dist/*.tar.gz' -- make dist
  belljar verify --cache cargo -- cargo build --release
  belljar verify --skew 2038-01-20 -- make       run B starts on that day
  belljar verify --far -- make test              and does it still build in sixteen years?

Exit codes: 0 reproducible, 1 the build failed in run A, 2 usage or config error, 3 outputs
differ, 4 a gating denial with on_deny = \"fail\", 5 passed in A and failed in B, 6 incomplete
(no outputs, the clock could not be moved, records lost), 124 timeout, 125 sandbox not set up."
)]
pub struct VerifyArgs {
    /// What `run` has too.
    #[command(flatten)]
    pub shared: SharedArgs,
    /// How far run B's clock is moved: `auto`, a duration (400d, -3h, 1h30m) or a date (2038-01-20,
    /// 2038-01-19T03:14:00Z) at which it starts
    ///
    /// `auto` is the default: about 398 days, so that year, month, day, weekday, hour, minute,
    /// second, am/pm, ISO week and the number of digits of the day all differ. Run B never starts
    /// before the newest input was written.
    #[arg(
        long,
        value_name = "auto|DURATION|DATE",
        allow_hyphen_values = true,
        help_heading = "Variations"
    )]
    pub skew: Option<SkewRule>,
    /// Run once more, sixteen years ahead, and report a build that fails or differs only then as a
    /// time bomb; verdict and exit code stay those of A and B
    #[arg(long, help_heading = "Variations")]
    pub far: bool,
    /// What differs between the runs; this version varies `time`
    #[arg(
        long,
        value_name = "time|all",
        allow_hyphen_values = true,
        help_heading = "Variations"
    )]
    pub vary: Option<Vary>,
}

/// `belljar diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belljar diff build-1 build-2
  belljar diff a.tar.gz b.tar.gz
  belljar diff --json old new | jq .

Exit codes: 0 identical, 2 usage error, 3 different.")]
pub struct DiffArgs {
    /// The first file, folder or archive
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// The second
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// Times of modification count too
    #[arg(long)]
    pub strict_mtime: bool,
    /// Print the differences as JSON
    #[arg(long)]
    pub json: bool,
    /// Print nothing; the exit code says it
    #[arg(short, long, conflicts_with = "json")]
    pub quiet: bool,
}

/// `belljar explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belljar explain
  belljar explain ci-artifacts --format markdown >> \"$GITHUB_STEP_SUMMARY\"")]
pub struct ExplainArgs {
    /// The evidence folder of an earlier run
    #[arg(value_name = "EVIDENCE", default_value = "artifacts")]
    pub evidence: PathBuf,
    /// In which form
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
}

/// The forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For a terminal
    Text,
    /// For a pull request or a job summary
    Markdown,
    /// result.json and the differences as one document
    Json,
}

/// `belljar doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belljar doctor
  belljar doctor --require landlock=6 --require cgroup

Exit codes: 0 a run works here, 125 it does not (the failing layer and its fix are named).")]
pub struct DoctorArgs {
    /// A layer that must stand, as in `run` (repeatable)
    #[arg(long, value_name = "LAYER[=LEVEL]")]
    pub require: Vec<values::Requirement>,
    /// Print the layers as JSON
    #[arg(long)]
    pub json: bool,
}

/// `belljar init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belljar init
  belljar init --workdir services/api
  belljar init --print            show it, write nothing")]
pub struct InitArgs {
    /// The folder of the project
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub workdir: PathBuf,
    /// Print the file instead of writing it
    #[arg(long)]
    pub print: bool,
}

/// `belljar clean`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belljar clean
  belljar clean --scratch /mnt/fast

What a live run holds is never touched.")]
pub struct CleanArgs {
    /// Where scratch folders are made, if a run was given --scratch; by default also where the
    /// belljar.toml of this folder says
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Print what was found as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `belljar completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belljar completions bash > ~/.local/share/bash-completion/completions/belljar
  belljar completions zsh > ~/.zfunc/_belljar
  belljar completions fish > ~/.config/fish/completions/belljar.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `belljar man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  belljar man | man -l -
  belljar man --dir /usr/local/share/man/man1")]
pub struct ManArgs {
    /// Write belljar.1 and one page for each command into this folder
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests;
