use std::path::Path;

use belljar_model::{CacheKind, Skew, Source};
use belljar_sandbox::plan::Command;
use clap::Parser as _;
use proptest::prelude::*;

use super::file::{File, read};
use super::keys::KEYS;
use super::*;
use crate::args::usage::later;
use crate::args::{Cli, Command as Typed_};

fn said(text: &str) -> String {
    match read(Path::new("app/belljar.toml"), text) {
        Ok(_) => "(understood)\n".into(),
        Err(e) => format!("{e}exit {}\n", e.class.exit_code()),
    }
}

fn config(line: &str, toml: &str) -> Config {
    let cli = Cli::parse_from(std::iter::once("belljar").chain(line.split_whitespace()));
    let file = read(Path::new("app/belljar.toml"), toml).unwrap();
    match &cli.command {
        Typed_::Run(args) => merge(Typed::Run(args), &file),
        Typed_::Verify(args) => merge(Typed::Verify(args), &file),
        _ => panic!("neither run nor verify"),
    }
}

#[test]
fn the_list_of_keys_is_what_the_file_takes() {
    let e = toml::from_str::<File>("no_such_key = 1").unwrap_err();
    let known: Vec<_> = e
        .message()
        .split('`')
        .skip(3)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    assert_eq!(known, KEYS);
}

#[test]
fn every_option_has_a_key() {
    use clap::CommandFactory as _;
    for command in ["run", "verify"] {
        let cli = Cli::command();
        let command = cli.find_subcommand(command).unwrap();
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long() else { continue };
            if !["allow", "config", "help", "shell"].contains(&long) {
                assert!(KEYS.contains(&long.replace('-', "_").as_str()), "{long}");
            }
        }
    }
}

#[test]
fn wrong_files() {
    let texts = [
        "memroy = \"4G\"\n",
        "# comment\n\nmemory = \"4G\"\nno-export = true\n",
        "a = 1\nmemory = \"4G\"\nzzz = 2\n\n[outputs]\nx = 1\n",
        "memory = \"4Q\"\n",
        "cpus = 0.0001\n",
        "pids = -1\n",
        "timeout = 30\n",
        "command = \"make -j2\"\n",
        "command = [1]\n",
        "source = \"svn\"\n",
        "cache = [\"cargo\",\n  \"cargi\"]\n",
        "cache = \"cargo\"\n",
        "require = [\"landlok\"]\n",
        "allow = [\"example.test\"]\n",
        "vary = \"locale\"\n",
        "source_date_epoch = \"yesterday\"\n",
        "strict_outputs = \"yes\"\n",
        "[env]\nA = 1\n",
        "[env]\n\"A B\" = \"x\"\n",
        "memory = \"4G\"\nmemory = \"5G\"\n",
        "memory = \n",
        "memory = \"4G\n",
        "[",
        "\u{feff}memory = 1",
    ];
    let said: Vec<_> = texts
        .iter()
        .map(|t| format!("{t}---\n{}", said(t)))
        .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let toml = "memory = \"1G\"\npids = 7\nsource = \"git\"\ncache = [\"npm\"]\nskew = \"400d\"\n\
                command = [\"make\", \"all\"]\noutput = [\"a\", \"b\"]\n[env]\nA = \"file\"\nB = \"file\"\n";
    let c = config("verify --memory 2G --output c --env A=typed", toml);
    assert_eq!(c.request.budgets.memory_bytes, Some(2 << 30));
    assert_eq!(c.request.budgets.pids, Some(7));
    assert_eq!(c.request.budgets.disk_bytes, None);
    assert_eq!(c.request.source, Source::Git);
    assert_eq!(c.request.caches, [CacheKind::Npm].into());
    assert_eq!(
        c.request.skew,
        Some(Skew::By {
            seconds: 34_560_000
        })
    );
    assert_eq!(
        c.request.command,
        Command::Words(vec!["make".into(), "all".into()])
    );
    assert_eq!(c.request.outputs.globs, ["c"]);
    let env: Vec<_> = c
        .request
        .env
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(env, ["A=typed", "B=file"]);
    let c = config("verify -- ninja", "command = [\"make\"]");
    assert_eq!(c.request.command, Command::Words(vec!["ninja".into()]));
    assert_eq!(c.request.skew, Some(Skew::Auto));
    assert_eq!(config("run -- x", "skew = \"400d\"").request.skew, None);
}

#[test]
fn paths_in_the_file_are_relative_to_its_folder() {
    let c = config(
        "run -- x",
        "root = \"..\"\nevidence = \"out\"\nro = [\"x\", \"/srv/x\"]\n",
    );
    assert_eq!(c.request.root.as_deref(), Some(Path::new("app/..")));
    assert_eq!(c.request.evidence, Path::new("app/out"));
    assert_eq!(c.request.ro, [Path::new("app/x"), Path::new("/srv/x")]);
    let c = config("run --evidence here -- x", "evidence = \"out\"");
    assert_eq!(c.request.evidence, Path::new("here"));
    assert_eq!(
        config("run -- x", "").request.evidence,
        Path::new("artifacts")
    );
}

#[test]
fn where_outputs_go() {
    assert_eq!(config("run -- x", "").export, Export::Workdir);
    assert_eq!(config("run --no-export -- x", "").export, Export::None);
    assert_eq!(config("run -- x", "no_export = true").export, Export::None);
    assert_eq!(
        config("run --export d -- x", "no_export = true").export,
        Export::Into("d".into())
    );
    assert_eq!(
        config("run --no-export -- x", "export = \"d\"").export,
        Export::None
    );
    assert_eq!(config("verify -- x", "").export, Export::None);
    assert_eq!(
        config("verify -- x", "export = \"d\"").export,
        Export::Into("app/d".into())
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = said(&text);
    }

    #[test]
    fn no_table_makes_it_panic(
        lines in proptest::collection::vec(
            (proptest::sample::select(KEYS), "(-?[0-9]{1,30}|\"[a-z0-9=.]{0,9}\"|true|\\[\\]|\\[\"[a-z]{0,5}\", 3\\]|\\{ a = 1 \\}|1.5|1979-05-27)"),
            0..6,
        ),
    ) {
        let text: Vec<_> = lines.iter().map(|(k, v)| format!("{k} = {v}")).collect();
        let text = text.join("\n");
        let _ = said(&text);
    }

    #[test]
    fn an_unknown_key_is_always_named(key in "[a-z_]{1,12}", before in 0usize..5) {
        prop_assume!(!KEYS.contains(&key.as_str()) && later(&key).is_none());
        let text = format!("{}{key} = 1\n", "\n".repeat(before));
        let said = said(&text);
        let want = format!("app/belljar.toml: there is no key `{key}` in line {}", before + 1);
        prop_assert!(said.contains(&want), "{said}");
        prop_assert!(said.ends_with("exit 2\n"));
    }

    #[test]
    fn an_unknown_table_is_always_named(key in "[a-z_]{1,12}", inner in "[a-z]{1,5}") {
        prop_assume!(!KEYS.contains(&key.as_str()) && later(&key).is_none());
        let said = said(&format!("memory = 1\n\n[{key}]\n{inner} = 1\n"));
        let want = format!("there is no key `{key}` in line 3");
        prop_assert!(said.contains(&want), "{said}");
    }
}

#[test]
fn the_book_names_every_key() {
    let book = include_str!("../../../docs/belljar-toml.md");
    for key in KEYS {
        assert!(book.contains(&format!("`{key}`")), "{key}");
    }
}
