//! Console blocks in documents: the commands are run, and what they print must be what stands there.

use std::process::Command;

use crate::{Project, Ran, belljar_bin};

/// One command of a block, with the lines that stand below it.
#[derive(Debug)]
struct Step {
    command: String,
    expected: Vec<String>,
}

/// Runs the ```` ```console ```` blocks of a document in a folder, and returns how many commands that were.
///
/// A line `$ COMMAND` is run by the shell, with the program under test in place of `belljar` and of
/// `cargo run --release --`. The lines below it are its output, both streams in the order of writing;
/// `...` stands for any text in a line and, alone on a line, for any lines.
///
/// # Panics
/// If a command prints something else.
#[track_caller]
pub fn run_blocks(document: &str, project: &Project) -> usize {
    let steps = steps(document);
    for step in &steps {
        let bin = belljar_bin();
        let bin = bin.to_str().expect("a path");
        let line = step.command.replace("cargo run --release --", bin);
        let line = line
            .strip_prefix("belljar ")
            .map_or(line.clone(), |rest| format!("{bin} {rest}"));
        let ran = Ran::of(
            project
                .command("sh")
                .args(["-c", &format!("{{ {line}\n}} 2>&1")]),
        );
        let printed: Vec<&str> = ran.stdout.lines().collect();
        assert!(
            fits(&step.expected, &printed),
            "$ {}\n--- as documented\n{}\n--- as printed\n{}",
            step.command,
            step.expected.join("\n"),
            ran.stdout
        );
    }
    steps.len()
}

fn steps(document: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step {
                    command: command.to_owned(),
                    expected: Vec::new(),
                }),
                (None, Some(step)) => step.expected.push(line.to_owned()),
                (None, None) => panic!("a block starts with `$ COMMAND`, not with: {line}"),
            },
        }
    }
    steps
}

/// Whether lines are as expected, `...` alone on a line standing for any number of them.
fn fits(expected: &[String], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((any, rest)) if any == "..." => (0..=printed.len()).any(|n| fits(rest, &printed[n..])),
        Some((line, rest)) => printed
            .split_first()
            .is_some_and(|(first, others)| line_fits(line, first) && fits(rest, others)),
    }
}

/// Whether a line is as expected, `...` in it standing for any text.
fn line_fits(expected: &str, printed: &str) -> bool {
    let mut parts = expected.split("...");
    let Some(mut rest) = parts.next().and_then(|head| printed.strip_prefix(head)) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        last = Some(part);
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    // the text after the last gap must end the line
    last.map_or(rest.is_empty(), |tail| printed.ends_with(tail))
}

/// Whether a shell is content with the ```` ```sh ```` blocks of a document, without running them.
///
/// # Panics
/// If a block is no valid shell.
#[track_caller]
pub fn check_shell_blocks(document: &str) -> usize {
    let blocks: Vec<&str> = document
        .split("```sh\n")
        .skip(1)
        .filter_map(|b| b.split("```").next())
        .collect();
    for block in &blocks {
        let ran = Ran::of(Command::new("bash").args(["-n", "-c", block]));
        assert_eq!(ran.code, 0, "{block}\n{ran}");
    }
    blocks.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(lines: &[&str]) -> Vec<String> {
        lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lines_fit_as_documented() {
        assert!(line_fits("a ... c", "a b c") && line_fits("...", "") && line_fits("x", "x"));
        assert!(!line_fits("a ... c", "a b d") && !line_fits("x", "xy") && !line_fits("a...", "b"));
        assert!(!line_fits("...ab", "ab-") && line_fits("...ab", "abab"));
    }

    #[test]
    fn gaps_stand_for_lines() {
        assert!(fits(&owned(&["a", "...", "d"]), &["a", "b", "c", "d"]));
        assert!(fits(&owned(&["a", "..."]), &["a"]));
        assert!(!fits(&owned(&["a", "...", "d"]), &["a", "b", "c"]));
        assert!(!fits(&owned(&[]), &["a"]));
    }

    #[test]
    fn commands_and_their_output_are_found() {
        let steps = steps("text\n```console\n$ one\nout\n$ two\n```\n$ not\n```sh\n$ nor\n```\n");
        assert_eq!(steps.len(), 2);
        assert_eq!(
            (steps[0].command.as_str(), steps[0].expected.len()),
            ("one", 1)
        );
    }
}
