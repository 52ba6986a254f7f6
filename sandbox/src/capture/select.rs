//! Which of the written paths are outputs: the declared globs, or everything but scratch.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use belljar_model::{OsText, Outputs, Scratch};
use globset::{Candidate, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

use super::CaptureError;

/// Version of the scratch list; it changes with every line of it.
pub const SCRATCH_LIST: &str = "belljar.scratch/1";

/// One line of the scratch list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScratchRule {
    /// Relative to any folder below the root folder.
    pub glob: &'static str,
    /// Why it is scratch by definition, whatever the project.
    pub reason: &'static str,
}

const fn rule(glob: &'static str, reason: &'static str) -> ScratchRule {
    ScratchRule { glob, reason }
}

/// The scratch list: what build tools write for themselves and nobody ships. A rule whose last
/// part is `**` takes the folder too; every other one takes files alone.
const SCRATCH: &[ScratchRule] = &[
    rule(".git/**", "git's own state, with times of the index"),
    rule("config.log", "configure's log of its own run"),
    rule("configure.log", "configure's log of its own run"),
    rule("config.status", "configure's own record, re-run by make"),
    rule("autom4te.cache/**", "autoconf's cache"),
    rule(".deps/**", "automake's dependency files"),
    rule("*.d", "dependency files for make, with absolute paths"),
    rule("CMakeFiles/**", "cmake's own state, objects and logs"),
    rule("Testing/Temporary/**", "logs of ctest"),
    rule(".ninja_*", "ninja's log and dependencies, with times"),
    rule("meson-logs/**", "meson's logs of its own run"),
    rule("meson-private/**", "meson's own state"),
    rule(
        "target/**/.fingerprint/**",
        "cargo's freshness marks, with times",
    ),
    rule(
        ".rustc_info.json",
        "what cargo remembers of the compiler, in the order of a hash",
    ),
    rule(
        "target/**/incremental/**",
        "the Rust compiler's incremental state",
    ),
    rule(
        "target/**/build/**",
        "build scripts of cargo packages and what they print",
    ),
    rule("node_modules/.cache/**", "caches of JavaScript tools"),
    rule(".gradle/**", "gradle's own state and locks"),
    rule(".mypy_cache/**", "mypy's cache"),
    rule(".pytest_cache/**", "pytest's cache"),
];

/// The scratch list, for printing.
pub fn scratch_rules() -> &'static [ScratchRule] {
    SCRATCH
}

/// What a path is to the selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    Output,
    Scratch(Scratch),
    LeftOut,
}

/// Decides which written paths are outputs.
#[derive(Debug)]
pub struct Selection(Kind);

#[derive(Debug)]
enum Kind {
    /// All of a tree, without any rule.
    Everything,
    /// Everything written; scratch is told apart.
    Scratch { strict: bool },
    /// What a declared glob matches.
    Globs(Vec<Declared>),
}

#[derive(Debug)]
struct Declared {
    /// As it was declared.
    glob: String,
    /// The folder below the root folder that it is relative to, ending in a slash or empty.
    base: Vec<u8>,
    matcher: GlobMatcher,
    /// For a glob that names a folder: everything below it.
    below: Option<GlobMatcher>,
    matched: AtomicBool,
}

impl Selection {
    /// Reads the declared globs; `cwd` is the start folder, to which they are relative.
    pub fn new(outputs: &Outputs, cwd: &OsText) -> Result<Self, CaptureError> {
        if outputs.globs.is_empty() {
            let strict = outputs.strict;
            return Ok(Self(Kind::Scratch { strict }));
        }
        let declared = outputs.globs.iter().map(|g| Declared::new(g, cwd));
        Ok(Self(Kind::Globs(declared.collect::<Result<_, _>>()?)))
    }

    pub(super) fn everything() -> Self {
        Self(Kind::Everything)
    }

    /// What a path that the build wrote is.
    pub(super) fn choose(&self, path: &[u8], is_dir: bool) -> Choice {
        match &self.0 {
            Kind::Everything => Choice::Output,
            Kind::Scratch { .. } => scratch(path, is_dir).map_or(Choice::Output, Choice::Scratch),
            Kind::Globs(globs) if globs.iter().any(|g| g.matches(path)) => Choice::Output,
            Kind::Globs(_) => Choice::LeftOut,
        }
    }

    /// Notes that a path is an output, for [`Self::unmatched`].
    pub(super) fn note(&self, path: &[u8]) {
        if let Kind::Globs(globs) = &self.0 {
            for glob in globs.iter().filter(|g| g.matches(path)) {
                glob.matched.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Whether the deletion of a path is worth a record.
    pub(super) fn deletion_counts(&self, path: &[u8]) -> bool {
        match self.choose(path, true) {
            Choice::Output => true,
            Choice::Scratch(_) => matches!(self.0, Kind::Scratch { strict: true }),
            Choice::LeftOut => false,
        }
    }

    /// The globs that no output matched.
    pub(super) fn unmatched(&self) -> Vec<String> {
        match &self.0 {
            Kind::Globs(globs) => globs
                .iter()
                .filter(|g| !g.matched.load(Ordering::Relaxed))
                .map(|g| g.glob.clone())
                .collect(),
            _ => Vec::new(),
        }
    }
}

impl Declared {
    fn new(glob: &str, cwd: &OsText) -> Result<Self, CaptureError> {
        let bad = |why: &str| CaptureError::Glob {
            glob: glob.to_owned(),
            why: why.to_owned(),
        };
        let (base, rest) = relative(glob, cwd.as_bytes()).map_err(bad)?;
        let names_folder = rest.ends_with('/') || !rest.contains(['*', '?', '[', '{', '\\']);
        let rest = rest.trim_end_matches('/');
        let compile = |g: &str| compile(g).map_err(|e| bad(&e.kind().to_string()));
        let below = if names_folder && rest.is_empty() {
            Some(compile("**")?)
        } else if names_folder {
            Some(compile(&format!("{rest}/**"))?)
        } else {
            None
        };
        Ok(Self {
            glob: glob.to_owned(),
            base,
            matcher: compile(rest)?,
            below,
            matched: AtomicBool::new(false),
        })
    }

    fn matches(&self, path: &[u8]) -> bool {
        let Some(rest) = path.strip_prefix(self.base.as_slice()) else {
            return false;
        };
        let candidate = Candidate::new(OsStr::from_bytes(rest));
        self.matcher.is_match_candidate(&candidate)
            || self
                .below
                .as_ref()
                .is_some_and(|b| b.is_match_candidate(&candidate))
    }
}

/// Resolves leading `./` and `../` of a glob against the start folder: the folder that the rest
/// is relative to, and the rest.
fn relative<'g>(glob: &'g str, cwd: &[u8]) -> Result<(Vec<u8>, &'g str), &'static str> {
    let mut base: Vec<&[u8]> = cwd
        .split(|b| *b == b'/')
        .filter(|part| !part.is_empty())
        .collect();
    let mut rest = glob;
    loop {
        if let Some(tail) = rest.strip_prefix("./") {
            rest = tail.trim_start_matches('/');
        } else if rest == ".." || rest.starts_with("../") {
            base.pop().ok_or("it leaves the root folder")?;
            rest = rest[2..].trim_start_matches('/');
        } else {
            break;
        }
    }
    if rest == "." {
        rest = "";
    }
    if glob.is_empty() {
        return Err("it is empty");
    }
    if rest.starts_with('/') {
        return Err("it is absolute");
    }
    if rest.split('/').any(|part| part == "..") {
        return Err("`..` can stand at its beginning only");
    }
    let mut base = base.join(&b'/');
    if !base.is_empty() {
        base.push(b'/');
    }
    Ok((base, rest))
}

fn compile(glob: &str) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(glob)
        .literal_separator(true)
        .backslash_escape(true)
        .build()?;
    Ok(glob.compile_matcher())
}

/// The rule of the scratch list that takes the path.
fn scratch(path: &[u8], is_dir: bool) -> Option<Scratch> {
    static SETS: LazyLock<Option<(GlobSet, GlobSet)>> = LazyLock::new(|| {
        let folders = set(|glob| glob.ends_with("/**").then(|| format!("**/{}", trim(glob))))?;
        let all = set(|glob| Some(format!("**/{glob}")))?;
        Some((folders, all))
    });
    let (folders, all) = SETS.as_ref()?;
    let candidate = Candidate::new(OsStr::from_bytes(path));
    let mut found = folders.matches_candidate(&candidate);
    found.extend(all.matches_candidate(&candidate));
    let taken = found.into_iter().filter_map(|i| SCRATCH.get(i));
    taken
        .filter(|r| !is_dir || r.glob.ends_with("/**"))
        .map(|r| r.glob.to_owned())
        .min()
        .map(|rule| Scratch { rule })
}

fn trim(glob: &str) -> &str {
    glob.strip_suffix("/**").unwrap_or(glob)
}

/// One glob for each line of the list, in its order; a line without one gets one that can't match.
fn set(form: impl Fn(&str) -> Option<String>) -> Option<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for rule in SCRATCH {
        let glob = form(rule.glob).unwrap_or_else(|| "/".to_owned());
        let glob = GlobBuilder::new(&glob).literal_separator(true).build();
        set.add(glob.ok()?);
    }
    set.build().ok()
}

#[cfg(test)]
mod tests;
