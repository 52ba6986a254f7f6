//! What kind of project a folder holds, by the files that build tools look for.

use std::path::Path;

use belljar_model::CacheKind;

/// What is known of a project.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Project {
    /// `a cargo project`.
    pub(super) kind: &'static str,
    /// How it is built; empty where that is not known.
    pub(super) command: Vec<&'static str>,
    /// The download cache that its build needs.
    pub(super) cache: Option<CacheKind>,
    /// Where its outputs are, if they are not simply what is new.
    pub(super) output: Option<&'static str>,
    /// Whether what git ignores can be hidden from the build.
    pub(super) git: bool,
}

impl Project {
    /// Looks at `dir`. Where several tools would do, the more telling one is taken: a Makefile
    /// stands in projects of every kind.
    pub(super) fn look(dir: &Path) -> Self {
        let has = |name: &str| dir.join(name).exists();
        let text = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        let make = || ["GNUmakefile", "makefile", "Makefile"].into_iter().any(has);
        let found = if has("Cargo.toml") {
            cargo(has("Cargo.lock"), &text("Cargo.lock"), has("vendor"))
        } else if has("go.mod") {
            go(text("go.mod").contains("require"), has("vendor"))
        } else if has("package.json") {
            npm(
                has("package-lock.json"),
                text("package.json").contains("\"build\""),
            )
        } else if has("pyproject.toml") || has("setup.py") {
            Self {
                command: vec![
                    "python3",
                    "-m",
                    "pip",
                    "wheel",
                    "--no-deps",
                    "--no-build-isolation",
                    "--wheel-dir",
                    "dist",
                    ".",
                ],
                output: Some("dist/*.whl"),
                ..Self::plain("a python project")
            }
        } else if has("CMakeLists.txt") {
            Self {
                command: vec!["sh", "-c", "cmake -B build && cmake --build build"],
                ..Self::plain("a cmake project")
            }
        } else if has("configure") {
            Self {
                command: vec!["sh", "-c", "./configure && make"],
                ..Self::plain("a configure and make project")
            }
        } else if make() {
            Self {
                command: vec!["make"],
                ..Self::plain("a make project")
            }
        } else {
            Self::plain("a folder with no build that is known here")
        };
        let top = dir.canonicalize().unwrap_or_default();
        // Without a lock file nothing but the installed packages will do, and git ignores those.
        let installed = has("node_modules") && !has("package-lock.json");
        let git = !installed && top.ancestors().any(|d| d.join(".git").exists());
        Self { git, ..found }
    }

    fn plain(kind: &'static str) -> Self {
        Self {
            kind,
            command: Vec::new(),
            cache: None,
            output: None,
            git: false,
        }
    }
}

fn cargo(locked: bool, lock: &str, vendored: bool) -> Project {
    let mut command = vec!["cargo", "build", "--release"];
    if locked {
        command.push("--locked");
    }
    let fetches = !locked || lock.contains("source = \"");
    Project {
        command,
        cache: (fetches && !vendored).then_some(CacheKind::Cargo),
        ..Project::plain("a cargo project")
    }
}

fn go(fetches: bool, vendored: bool) -> Project {
    Project {
        command: vec!["go", "build", "-trimpath", "-o", "bin/", "./..."],
        cache: (fetches && !vendored).then_some(CacheKind::Go),
        output: Some("bin/*"),
        ..Project::plain("a go project")
    }
}

/// Without a build script the package itself is the output.
fn npm(locked: bool, builds: bool) -> Project {
    let command = match (locked, builds) {
        (true, true) => vec!["sh", "-c", "npm ci && npm run build"],
        (false, true) => vec!["npm", "run", "build"],
        (_, false) => vec!["npm", "pack", "--ignore-scripts"],
    };
    Project {
        command,
        cache: (locked && builds).then_some(CacheKind::Npm),
        output: if builds {
            Some("dist/**")
        } else {
            Some("*.tgz")
        },
        ..Project::plain("an npm project")
    }
}
