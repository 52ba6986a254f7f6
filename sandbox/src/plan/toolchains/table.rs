//! The toolchains that belljar knows: by the home that they have, or by their shape.

/// What ends every PATH inside.
pub(super) const SYSTEM_PATH: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// Folders of a PATH that are the system's: in [`SYSTEM_PATH`], or for administrators and games.
pub(super) const SYSTEM: [&str; 10] = [
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    "/usr/games",
    "/usr/local/games",
    "/usr/bin/site_perl",
    "/usr/bin/vendor_perl",
];

/// A toolchain with a home of its own, which a variable names or which has its usual place.
pub(super) struct Manager {
    pub(super) name: &'static str,
    /// The variable that names its home.
    pub(super) variable: &'static str,
    /// Where its home is without that, below the caller's.
    pub(super) usual: &'static str,
    /// What of it is mounted.
    pub(super) parts: &'static [&'static str],
    /// The variable by which its tools find their home inside.
    pub(super) set: Option<&'static str>,
    /// Its files name their own home, so a link to the new place stands at the old one.
    pub(super) keeps_path: bool,
    pub(super) reason: &'static str,
}

pub(super) const MANAGERS: &[Manager] = &[
    Manager {
        name: "cargo",
        variable: "CARGO_HOME",
        usual: ".cargo",
        parts: &["bin"],
        set: None,
        keeps_path: false,
        reason: "rustup's proxies and tools that cargo installed",
    },
    Manager {
        name: "pyenv",
        variable: "PYENV_ROOT",
        usual: ".pyenv",
        parts: &[
            "bin", "libexec", "plugins", "pyenv.d", "shims", "version", "versions",
        ],
        set: Some("PYENV_ROOT"),
        keeps_path: true,
        reason: "pythons that pyenv built, and its shims",
    },
    Manager {
        name: "rbenv",
        variable: "RBENV_ROOT",
        usual: ".rbenv",
        parts: &[
            "bin", "libexec", "plugins", "rbenv.d", "shims", "version", "versions",
        ],
        set: Some("RBENV_ROOT"),
        keeps_path: true,
        reason: "rubies that rbenv built, and its shims",
    },
    Manager {
        name: "sdkman",
        variable: "SDKMAN_DIR",
        usual: ".sdkman",
        parts: &["candidates"],
        set: None,
        keeps_path: true,
        reason: "java tools that sdkman installed",
    },
    Manager {
        name: "homebrew",
        variable: "HOMEBREW_PREFIX",
        usual: ".linuxbrew",
        parts: &["Cellar", "bin", "include", "lib", "libexec", "opt", "share"],
        set: None,
        keeps_path: true,
        reason: "tools that homebrew built",
    },
];

/// A toolchain that shows by its shape: PATH names `HOME/bin` and these stand in `HOME`.
pub(super) struct Shape {
    pub(super) name: &'static str,
    /// All of these stand in its home.
    pub(super) marks: &'static [&'static str],
    /// What of it is mounted; empty: all of it.
    pub(super) parts: &'static [&'static str],
    /// The variable that is set to its home.
    pub(super) set: Option<&'static str>,
    pub(super) reason: &'static str,
}

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "go",
        marks: &["VERSION", "bin/go", "pkg/tool"],
        parts: &[],
        set: Some("GOROOT"),
        reason: "the go toolchain",
    },
    // Not `etc`: node's own npmrc may hold a token.
    Shape {
        name: "node",
        marks: &["bin/node", "include/node/node.h"],
        parts: &["bin", "include", "lib"],
        set: None,
        reason: "node and what npm installed beside it",
    },
    Shape {
        name: "java",
        marks: &["release", "bin/java", "lib"],
        parts: &[],
        set: Some("JAVA_HOME"),
        reason: "a java runtime",
    },
];
