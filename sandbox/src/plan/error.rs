//! Why a request can't become a plan: one sentence, one hint, exit code 2.

use std::path::PathBuf;

use belljar_model::{CacheKind, OsText};
use nix::errno::Errno;

/// A request that can't become a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing to run.
    #[error("there is no command to run")]
    NoCommand,
    /// A folder that was named is not there, or can't be entered.
    #[error("the {what} {path} can't be used: {errno:?} ({})", errno.desc())]
    Unusable {
        /// `workdir`, `root`, ...
        what: &'static str,
        /// As it was named.
        path: OsText,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A folder that belongs to the system.
    #[error("the {what} can't be {path}: it belongs to the system")]
    System {
        /// `workdir` or `root`.
        what: &'static str,
        /// As it was named.
        path: OsText,
    },
    /// The build would start outside of what it can see.
    #[error("the workdir {workdir} is not in the root {root}")]
    Outside {
        /// The workdir.
        workdir: OsText,
        /// The root.
        root: OsText,
    },
    /// Evidence would be mixed with the source, or would swallow it.
    #[error("the evidence folder {evidence} is the {what} or above it")]
    EvidenceAbove {
        /// The evidence folder.
        evidence: OsText,
        /// `workdir` or `root`.
        what: &'static str,
    },
    /// A pattern for outputs that is none.
    #[error("the output pattern `{glob}` can't be used: {why}")]
    Glob {
        /// As it was written.
        glob: String,
        /// Why.
        why: String,
    },
    /// A variable that belljar sets itself.
    #[error("the variable {name} can't be set: {why}")]
    Reserved {
        /// Its name.
        name: OsText,
        /// Why.
        why: &'static str,
    },
    /// A path that can't be shown inside.
    #[error("{path} can't be shown inside: {why}")]
    Ro {
        /// As it was written.
        path: OsText,
        /// Why.
        why: &'static str,
    },
    /// A download cache that is not there.
    #[error("there is no {} cache at {path}", .kind.name())]
    NoCache {
        /// Which one.
        kind: CacheKind,
        /// Where it was looked for.
        path: OsText,
    },
    /// A scratch folder that lies in the source.
    #[error("the scratch folder {path} lies in the root folder")]
    ScratchInside {
        /// The scratch folder.
        path: OsText,
    },
    /// None of the usual places can take a scratch folder.
    #[error("there is no place for scratch: {tried} can't be written or lie in the root folder")]
    NoScratch {
        /// The usual places.
        tried: String,
    },
    /// Something was asked of git and git did not answer.
    #[error("could not {what} with git: {why}")]
    Git {
        /// A verb phrase.
        what: &'static str,
        /// What git or the kernel said.
        why: String,
    },
    /// A git answer was asked for where there is no git.
    #[error("{what} needs a git repository, and {root} is in none")]
    NoRepository {
        /// What was asked for.
        what: &'static str,
        /// The root folder.
        root: OsText,
    },
}

impl PlanError {
    /// The one thing to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoCommand => {
                "write it after `--`, as in `belljar verify -- make`, or as `command` into belljar.toml".into()
            }
            Self::Unusable { what, .. } => match *what {
                "evidence folder" => {
                    "name a folder that is there or can be made: --evidence artifacts".into()
                }
                "scratch folder" => "name a folder that exists and may be written: --scratch DIR".into(),
                "path of --ro" => "name a path that exists and may be read".into(),
                what => format!("name a {what} that exists and may be entered"),
            },
            Self::System { .. } => "name the folder of one project".into(),
            Self::Outside { .. } => "leave --root out, or name a folder above the workdir".into(),
            Self::EvidenceAbove { .. } => {
                "name a folder beside the source or below it: --evidence artifacts".into()
            }
            Self::Glob { .. } => {
                "a pattern is relative to the workdir, such as 'dist/*.tar.gz' or 'build/**'".into()
            }
            Self::Reserved { .. } => "leave it out: every build has the same identity".into(),
            Self::Ro { .. } => "--ro takes an absolute path of the host outside of the system's own".into(),
            Self::NoCache { kind, .. } => format!(
                "fill it outside of belljar: {}",
                match kind {
                    CacheKind::Cargo => "cargo fetch",
                    CacheKind::Npm => "npm ci",
                    CacheKind::Go => "go mod download",
                    CacheKind::Pip => "pip download",
                    CacheKind::Maven => "mvn dependency:go-offline",
                }
            ),
            Self::ScratchInside { .. } | Self::NoScratch { .. } => {
                "name a folder on a disk with room, outside of the source: --scratch DIR".into()
            }
            Self::Git { .. } => {
                "git must be installed and the root folder one that it trusts (git -C ROOT status)".into()
            }
            Self::NoRepository { .. } => "leave it out, or make it one: git init".into(),
        }
    }
}

/// Paths in errors are shown with `~` as the caller would write them.
pub(super) fn shown(path: impl Into<PathBuf>) -> OsText {
    OsText::from(path.into().into_os_string())
}
