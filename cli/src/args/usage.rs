//! Wrong usage in belljar's own voice: one sentence and a hint, never a wall of text.

use std::ffi::OsString;
use std::io::Write as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser as _};

use super::{Cli, Command};
use crate::errors::{CommandError, on_stdout};

/// What was typed, or why it can't be understood. `None` stands for help or the version, which
/// has been printed.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Option<Command>, CommandError> {
    let argv: Vec<_> = argv.into_iter().collect();
    match Cli::try_parse_from(&argv) {
        Ok(cli) => Ok(Some(cli.command)),
        Err(e) if !e.use_stderr() => {
            let mut out = anstream::stdout();
            let written = write!(out, "{}", e.render().ansi());
            on_stdout(written.and_then(|()| out.flush()))?;
            Ok(None)
        }
        Err(e) => Err(explain(&e, argv.get(1).and_then(|a| a.to_str()))),
    }
}

fn explain(e: &clap::Error, command: Option<&str>) -> CommandError {
    let text = |kind| match e.get(kind) {
        Some(ContextValue::String(s)) => Some(s.clone()),
        Some(ContextValue::Strings(s)) => s.first().cloned(),
        _ => None,
    };
    let typed = text(ContextKind::InvalidArg)
        .as_deref()
        .map(flag)
        .unwrap_or_default();
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let near = text(ContextKind::SuggestedArg)
        .or_else(|| text(ContextKind::SuggestedValue))
        .or_else(|| text(ContextKind::SuggestedSubcommand))
        .filter(|near| near != "--help");
    let help = match command {
        Some(name) if !name.starts_with('-') => format!("`belljar {name} --help` has examples"),
        _ => "`belljar --help` has examples".into(),
    };
    match e.kind() {
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(e).map(ToString::to_string);
            refused(
                &format!("{typed} `{value}`"),
                &why.unwrap_or_default(),
                &help,
            )
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            CommandError::usage(format!("{typed} needs a value")).hint(help)
        }
        ErrorKind::InvalidValue => {
            let known = match e.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(known)) => known.join(", "),
                _ => String::new(),
            };
            let made = CommandError::usage(format!("{typed} can't be `{value}`"));
            match near {
                Some(near) => made.hint(format!("did you mean `{near}`? (known: {known})")),
                None => made.hint(format!("it is one of: {known}")),
            }
        }
        ErrorKind::UnknownArgument if !typed.starts_with('-') => {
            let made = CommandError::usage(format!("`{typed}` is not understood here"));
            match command {
                Some(name @ ("run" | "verify")) => made.hint(format!(
                    "put `--` before the command that is to run, as in `belljar {name} -- make`"
                )),
                _ => made.hint(help),
            }
        }
        ErrorKind::UnknownArgument if later(typed.trim_start_matches("--")).is_some() => {
            let why = later(typed.trim_start_matches("--")).unwrap_or_default();
            refused(&typed, why, &help)
        }
        ErrorKind::UnknownArgument => {
            let made = CommandError::usage(format!("there is no option `{typed}` here"));
            match near {
                Some(near) => made.hint(format!("did you mean `{near}`?")),
                None => made
                    .hint("options of the build stand after `--`")
                    .hint(help),
            }
        }
        ErrorKind::InvalidSubcommand => {
            let typed = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let made = CommandError::usage(format!("there is no command `{typed}`"));
            match near {
                Some(near) => made.hint(format!("did you mean `belljar {near}`?")),
                None => made.hint(format!("known commands: {}", commands())),
            }
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            CommandError::usage("what is to be done?")
                .hint("`belljar verify -- make` asks whether a build is reproducible")
                .hint("`belljar --help` lists all commands")
        }
        ErrorKind::MissingRequiredArgument => {
            CommandError::usage(format!("{typed} is missing")).hint(help)
        }
        ErrorKind::ArgumentConflict => {
            let other = text(ContextKind::PriorArg)
                .as_deref()
                .map(flag)
                .unwrap_or_default();
            if typed == other {
                CommandError::usage(format!("{typed} is given twice")).hint("give it once")
            } else {
                CommandError::usage(format!("{typed} and {other} contradict each other"))
                    .hint("leave one of them out")
            }
        }
        ErrorKind::InvalidUtf8 => CommandError::usage("an option's value is not valid UTF-8")
            .hint("paths and the build's own arguments may hold any bytes, other values may not"),
        // The first line of clap's text is the sentence; what follows is the wall.
        _ => {
            let text = e.render().to_string();
            let line = text.lines().next().unwrap_or_default();
            CommandError::usage(line.trim_start_matches("error: ")).hint(help)
        }
    }
}

/// Options that belong to the design and have no engine in this version: not offered, and refused
/// in a sentence of their own.
const LATER: &[(&str, &str)] = &[
    (
        "parallel",
        "this version runs the pair one after the other; leave it out",
    ),
    (
        "rootfs",
        "this version builds with the tools of the host; leave it out",
    ),
    (
        "seed",
        "this version varies the clock alone, which needs no seed; leave it out",
    ),
    (
        "serial",
        "this version always runs the pair one after the other; leave it out",
    ),
];

/// Why this option or key is not offered yet.
pub fn later(name: &str) -> Option<&'static str> {
    let found = LATER.iter().find(|(later, _)| *later == name);
    found.map(|(_, why)| *why)
}

/// A value that its parser refused: the part of the refusal behind the first semicolon is the
/// hint.
pub fn refused(what: &str, why: &str, otherwise: &str) -> CommandError {
    let (why, hint) = why.split_once("; ").unwrap_or((why, otherwise));
    CommandError::usage(format!("{what}: {why}")).hint(hint)
}

/// `--memory <SIZE>` as `--memory`, `[CMD]...` as the command.
fn flag(arg: &str) -> String {
    if arg.contains("CMD") {
        return "a command after `--`".into();
    }
    match arg.split_once([' ', '=']) {
        Some((name, _)) if name.starts_with('-') => name.to_owned(),
        _ => arg.trim_matches(['<', '>']).to_owned(),
    }
}

fn commands() -> String {
    let names: Vec<_> = Cli::command()
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    names.join(", ")
}
