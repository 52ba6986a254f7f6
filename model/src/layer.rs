//! Layers: the walls of a run, what was wanted of each and what was got.

use serde::{Deserialize, Serialize};

/// One wall. The order is the order of trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// User namespaces: one that owns mounts and network, one for the build that owns nothing.
    UserNamespace,
    /// Own mount tree.
    MountNamespace,
    /// Own process ids.
    PidNamespace,
    /// Own, empty network.
    NetNamespace,
    /// Own System V IPC and POSIX queues.
    IpcNamespace,
    /// Own host and domain name.
    UtsNamespace,
    /// Own view of the cgroup tree.
    CgroupNamespace,
    /// Own boot-time clock.
    TimeNamespace,
    /// The same `rlimits` for every run.
    ResourceLimits,
    /// The same nice value, scheduling policy and the like for every run.
    Scheduling,
    /// All capability sets empty, locked.
    Capabilities,
    /// `no_new_privs`.
    NoNewPrivs,
    /// Landlock rules and scopes.
    Landlock,
    /// The syscall allow-list.
    Seccomp,
    /// The seccomp notification that observes (never a wall).
    Notify,
    /// A cgroup leaf that holds the budgets.
    Cgroup,
    /// The caller's supplementary groups dropped.
    SupplementaryGroups,
    /// The moved clock, file times included.
    Clock,
    /// The process that lets out what the policy allows, and its walls.
    EgressProxy,
}

impl Layer {
    /// All layers in the order of trust.
    pub const ALL: [Self; 19] = [
        Self::UserNamespace,
        Self::MountNamespace,
        Self::PidNamespace,
        Self::NetNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::CgroupNamespace,
        Self::TimeNamespace,
        Self::ResourceLimits,
        Self::Scheduling,
        Self::Capabilities,
        Self::NoNewPrivs,
        Self::Landlock,
        Self::Seccomp,
        Self::Notify,
        Self::Cgroup,
        Self::SupplementaryGroups,
        Self::Clock,
        Self::EgressProxy,
    ];

    /// The name on the command line, in `belljar.toml` and in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::UserNamespace => "user-namespace",
            Self::MountNamespace => "mount-namespace",
            Self::PidNamespace => "pid-namespace",
            Self::NetNamespace => "net-namespace",
            Self::IpcNamespace => "ipc-namespace",
            Self::UtsNamespace => "uts-namespace",
            Self::CgroupNamespace => "cgroup-namespace",
            Self::TimeNamespace => "time-namespace",
            Self::ResourceLimits => "resource-limits",
            Self::Scheduling => "scheduling",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivs => "no-new-privs",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::Notify => "notify",
            Self::Cgroup => "cgroup",
            Self::SupplementaryGroups => "supplementary-groups",
            Self::Clock => "clock",
            Self::EgressProxy => "egress-proxy",
        }
    }

    /// The layer of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|l| l.name() == name)
    }

    /// Required by default and never degraded.
    pub fn required_by_default(self) -> bool {
        matches!(
            self,
            Self::UserNamespace
                | Self::MountNamespace
                | Self::PidNamespace
                | Self::NetNamespace
                | Self::IpcNamespace
                | Self::UtsNamespace
                | Self::NoNewPrivs
                | Self::Capabilities
                | Self::Seccomp
                | Self::EgressProxy
        )
    }
}

/// How much of a layer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All that was wanted.
    Full,
    /// Some of it; `why` says what is missing.
    Partial,
    /// Nothing of it.
    Missing,
    /// Not asked for in this run.
    NotAsked,
}

/// What was wanted of a layer and what was really enforced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LayerReport {
    /// The layer.
    pub layer: Layer,
    /// Whether a run without it is refused.
    pub required: bool,
    /// How much of it stands.
    pub state: State,
    /// What was wanted, in the layer's own terms (`abi 9`, `memory 4G`).
    pub wanted: String,
    /// What was got, in the same terms.
    pub got: String,
    /// Why there is less than wanted: the step and the errno's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// The one thing to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<String>,
}

impl LayerReport {
    /// A layer that stands whole.
    pub fn full(layer: Layer, got: impl Into<String>) -> Self {
        let got = got.into();
        Self {
            layer,
            required: layer.required_by_default(),
            state: State::Full,
            wanted: got.clone(),
            got,
            why: None,
            fix: None,
        }
    }
}

/// What `belljar doctor --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DoctorDoc {
    /// `belljar.doctor/1`.
    pub schema: String,
    /// Whether a run and a pair work here.
    pub works: bool,
    /// Walls in the order of trust; empty where the sandbox could not be set up.
    pub layers: Vec<LayerReport>,
    /// Why it does not work.
    pub failures: Vec<DoctorFailure>,
}

impl DoctorDoc {
    /// Its schema.
    pub const SCHEMA: &str = "belljar.doctor/1";
}

/// One thing that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DoctorFailure {
    /// The step that failed, one sentence.
    pub what: String,
    /// The one thing to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<String>,
}
