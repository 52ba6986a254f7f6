//! `belljar.toml`: found, read, and refused by name and line where it says what belljar does not
//! know.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::fcntl::OFlag;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use toml::de::DeTable;

use super::below;
use super::egress::Egress;
use super::keys::KEYS;
use crate::args::usage::{later, refused};
use crate::args::values::{
    CacheName, Count, Cpus, DateEpoch, EnvName, Requirement, Size, SkewRule, Vary, WallTime,
    nearest,
};
use crate::args::{OnDenyArg, SourceArg, WorkspaceArg};
use crate::errors::{CommandError, answer};

/// The file's name.
pub const NAME: &str = "belljar.toml";

/// No honest file is larger.
const LARGEST: u64 = 1 << 20;

/// What a file says. A key that it does not have is `None`, empty or false.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct File {
    #[serde(deserialize_with = "command")]
    pub command: Vec<OsString>,
    pub workdir: Option<PathBuf>,
    pub root: Option<PathBuf>,
    pub source: Option<SourceArg>,
    pub workspace: Option<WorkspaceArg>,
    pub scratch: Option<PathBuf>,
    pub ro: Vec<PathBuf>,
    #[serde(deserialize_with = "several")]
    pub cache: Vec<CacheName>,
    pub env: BTreeMap<String, String>,
    #[serde(deserialize_with = "several")]
    pub pass_env: Vec<EnvName>,
    pub output: Vec<String>,
    pub strict_outputs: bool,
    pub strict_mtime: bool,
    pub allow_empty: bool,
    pub export: Option<PathBuf>,
    pub no_export: bool,
    pub evidence: Option<PathBuf>,
    pub egress: Egress,
    pub on_deny: Option<OnDenyArg>,
    #[serde(deserialize_with = "several")]
    pub require: Vec<Requirement>,
    #[serde(deserialize_with = "one")]
    pub memory: Option<Size>,
    #[serde(deserialize_with = "one")]
    pub cpus: Option<Cpus>,
    #[serde(deserialize_with = "one")]
    pub pids: Option<Count>,
    #[serde(deserialize_with = "one")]
    pub disk: Option<Size>,
    #[serde(deserialize_with = "one")]
    pub timeout: Option<WallTime>,
    #[serde(deserialize_with = "one")]
    pub skew: Option<SkewRule>,
    pub far: bool,
    #[serde(deserialize_with = "one")]
    pub vary: Option<Vary>,
    #[serde(deserialize_with = "one")]
    pub source_date_epoch: Option<DateEpoch>,
    pub json: bool,
    pub quiet: bool,
    pub verbose: bool,
}

/// The file that was named, else the one in the workdir, else the one in the root. None is fine.
pub fn find(named: Option<&Path>, workdir: &Path, root: &Path) -> Result<File, CommandError> {
    if let Some(named) = named {
        return match load(named)? {
            Some(text) => read(named, &text),
            None => Err(
                CommandError::usage(format!("there is no file {}", named.display()))
                    .hint("`belljar init` writes one"),
            ),
        };
    }
    for dir in [workdir, root] {
        let path = dir.join(NAME);
        if let Some(text) = load(&path)? {
            return read(&path, &text);
        }
    }
    Ok(File::default())
}

fn load(path: &Path) -> Result<Option<String>, CommandError> {
    let unreadable = |e: &dyn fmt::Display| {
        CommandError::usage(format!("could not read {}: {e}", path.display()))
            .hint("it must be a small text file that you may read, in a folder that you may enter")
    };
    // A pipe of this name must not hold belljar up.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(&answer(&e))),
    };
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return Err(unreadable(&"it is no regular file"));
    }
    let mut text = String::new();
    match file.take(LARGEST + 1).read_to_string(&mut text) {
        Ok(n) if n as u64 > LARGEST => Err(unreadable(&"it is larger than 1 MiB")),
        Ok(_) => Ok(Some(text)),
        Err(e) => Err(unreadable(&answer(&e))),
    }
}

/// Reads the text of a file at `path`.
pub fn read(path: &Path, text: &str) -> Result<File, CommandError> {
    let table = DeTable::parse(text).map_err(|e| malformed(path, text, &e))?;
    unknown(path, text, table.get_ref())?;
    let mut file: File =
        toml::from_str(text).map_err(|e| explain(path, text, &e, key_at(table.get_ref(), &e)))?;
    for name in file.env.keys() {
        EnvName::from_str(name).map_err(|why| {
            refused(
                &format!("{}: env `{name}`", path.display()),
                &why,
                "`[env]` has NAME = \"VALUE\"",
            )
        })?;
    }
    let dir = path.parent().unwrap_or(Path::new(""));
    for path in [
        &mut file.workdir,
        &mut file.root,
        &mut file.scratch,
        &mut file.export,
        &mut file.evidence,
    ] {
        *path = path.take().map(|p| below(dir, p));
    }
    file.egress.below(dir);
    file.ro = file.ro.into_iter().map(|p| below(dir, p)).collect();
    Ok(file)
}

/// Names every key that is none, with its line.
fn unknown(path: &Path, text: &str, table: &DeTable<'_>) -> Result<(), CommandError> {
    let mut wrong: Vec<_> = table
        .keys()
        .filter(|k| !KEYS.contains(&k.get_ref().as_ref()))
        .map(|k| (k.span().start, k.get_ref().as_ref()))
        .collect();
    wrong.sort_unstable();
    let Some((at, first)) = wrong.first() else {
        return Ok(());
    };
    if let Some(why) = later(first) {
        let what = format!("{} line {}: {first}", path.display(), line(text, *at));
        return Err(refused(&what, why, ""));
    }
    let named: Vec<_> = wrong
        .iter()
        .map(|(at, key)| format!("`{}` in line {}", key.escape_debug(), line(text, *at)))
        .collect();
    let made = CommandError::usage(format!(
        "{}: there is no key {}",
        path.display(),
        named.join(", ")
    ));
    Err(
        match nearest(&first.replace('-', "_"), KEYS.iter().copied()) {
            Some(near) => made.hint(format!("did you mean `{near}`?")),
            None => made.hint(format!("known keys: {}", KEYS.join(", "))),
        },
    )
}

/// The key in whose value the parser stumbled.
fn key_at<'a>(table: &'a DeTable<'_>, e: &toml::de::Error) -> Option<&'a str> {
    let at = e.span()?;
    table
        .iter()
        .find(|(key, value)| key.span().start <= at.start && at.end <= value.span().end)
        .map(|(key, _)| key.get_ref().as_ref())
}

/// The parser's words, none of which is a hint.
fn malformed(path: &Path, text: &str, e: &toml::de::Error) -> CommandError {
    let at = e.span().map_or(1, |span| line(text, span.start));
    let why = e.message().trim_end().replace('\n', ", ");
    CommandError::usage(format!("{} line {at}: {why}", path.display()))
        .hint("`belljar init --print` shows a file that is well formed")
}

fn explain(path: &Path, text: &str, e: &toml::de::Error, key: Option<&str>) -> CommandError {
    let at = e
        .span()
        .map(|span| format!(" line {}", line(text, span.start)));
    let key = key.map(|key| format!(": {key}"));
    let what = [Some(path.display().to_string()), at, key];
    let what: String = what.into_iter().flatten().collect();
    let message = e.message().trim_end().replace('\n', ", ");
    if let Some((key, known)) = stranger(&message) {
        let made = CommandError::usage(format!("{what}: there is no key `{key}`"));
        return match nearest(&key.replace('-', "_"), known.iter().copied()) {
            Some(near) => made.hint(format!("did you mean `{near}`?")),
            None => made.hint(format!("known keys: {}", known.join(", "))),
        };
    }
    refused(
        &what,
        &message,
        "`belljar init --print` shows a file that is well formed",
    )
}

/// A key that a table does not have, and those that it has, out of the parser's words.
fn stranger(message: &str) -> Option<(&str, Vec<&str>)> {
    let (key, rest) = message.strip_prefix("unknown field `")?.split_once('`')?;
    Some((key, rest.split('`').skip(1).step_by(2).collect()))
}

/// Lines count from 1.
fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.split(|b| *b == b'\n').count()
}

/// A value that the command line knows as text; a number will do where it is one.
struct Text<T>(T);

impl<'de, T: FromStr<Err = String>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Any<T>(std::marker::PhantomData<T>);
        impl<T: FromStr<Err = String>> Visitor<'_> for Any<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }
            fn visit_str<E: Error>(self, s: &str) -> Result<T, E> {
                s.parse()
                    .map_err(|why| E::custom(format!("`{}`: {why}", s.escape_debug())))
            }
            fn visit_i64<E: Error>(self, n: i64) -> Result<T, E> {
                self.visit_str(&n.to_string())
            }
            fn visit_u64<E: Error>(self, n: u64) -> Result<T, E> {
                self.visit_str(&n.to_string())
            }
            fn visit_f64<E: Error>(self, n: f64) -> Result<T, E> {
                self.visit_str(&n.to_string())
            }
        }
        d.deserialize_any(Any(std::marker::PhantomData)).map(Self)
    }
}

pub(super) fn one<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(
    d: D,
) -> Result<Option<T>, D::Error> {
    Text::deserialize(d).map(|Text(value)| Some(value))
}

fn several<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(d: D) -> Result<Vec<T>, D::Error> {
    let values = Vec::<Text<T>>::deserialize(d)?;
    Ok(values.into_iter().map(|Text(value)| value).collect())
}

/// Words, not a line for a shell to split.
fn command<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<OsString>, D::Error> {
    struct Words;
    impl<'de> Visitor<'de> for Words {
        type Value = Vec<OsString>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of words, such as [\"make\", \"-j2\"]")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut words = Vec::new();
            while let Some(word) = seq.next_element::<String>()? {
                words.push(word.into());
            }
            Ok(words)
        }
    }
    d.deserialize_any(Words)
}
