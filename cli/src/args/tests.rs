//! The words that are seen when nothing runs: help, and what wrong usage is told.

use std::ffi::OsString;
use std::fmt::Write as _;

use clap::{CommandFactory as _, Parser as _};

use super::{Cli, Command, usage};

fn said(line: &str) -> String {
    let argv = std::iter::once("belljar").chain(line.split_whitespace());
    match usage::parse(argv.map(OsString::from)) {
        Ok(_) => "(understood)\n".into(),
        Err(e) => format!("{e}exit {}\n", e.class.exit_code()),
    }
}

#[test]
fn the_description_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn everything_after_two_dashes_belongs_to_the_build() {
    let cli = Cli::parse_from(["belljar", "run", "--", "make", "--memory", "-j2", "--", "x"]);
    let Command::Run(args) = cli.command else {
        panic!("not run")
    };
    assert_eq!(args.shared.command, ["make", "--memory", "-j2", "--", "x"]);
    assert_eq!(args.shared.memory, None);
}

#[test]
fn help() {
    let mut all = String::new();
    let mut root = Cli::command();
    root.build();
    all.push_str(&root.render_help().to_string());
    for command in root.get_subcommands_mut() {
        let name = command.get_name().to_owned();
        let _ = write!(all, "\n===== {name} =====\n{}", command.render_help());
    }
    insta::assert_snapshot!(all);
}

#[test]
fn wrong_usage() {
    let lines = [
        "",
        "verfy",
        "verify make",
        "verify --memory 4Q -- make",
        "verify --memory=-1 -- make",
        "verify --memory 99999999999G -- make",
        "run --cpus 0 -- make",
        "run --cpus=-1 -- make",
        "run --pids 0 -- make",
        "run --disk 0 -- make",
        "run --timeout 30 -- make",
        "run --timeout",
        "run --timeout 30m --timeout 40m -- make",
        "verify --skew 0d -- make",
        "verify --skew=-500ms -- make",
        "verify --skew 300y -- make",
        "verify --skew 2500-01-01 -- make",
        "verify --skew -3h -- make",
        "verify --skew tomorrow -- make",
        "verify --vary locale -- make",
        "verify --shell -- make",
        "verify --memroy 4G -- make",
        "verify --require landlok -- make",
        "verify --source svn -- make",
        "verify --cache cargi -- make",
        "verify --env =x -- make",
        "run --allow http://example.test -- make",
        "run --rootfs /x -- make",
        "verify --parallel -- make",
        "run --shell -- make",
        "run -q -v -- make",
        "run --no-export --export out -- make",
        "diff a",
        "diff a b c",
        "explain --format yaml",
        "completions tcsh",
        "completions",
    ];
    let said: Vec<_> = lines
        .iter()
        .map(|line| format!("$ belljar {line}\n{}", said(line)))
        .collect();
    insta::assert_snapshot!(said.join("\n"));
}
