use super::*;
use crate::evidence::samples;

fn shown(doc: &ResultDoc, differences: Option<&Differences>, verbose: bool) -> String {
    let options = Options {
        evidence: Some("artifacts/"),
        exported: Some("3 paths written into out"),
        verbose,
    };
    let text = render(doc, differences, options);
    assert!(text.starts_with("belljar: "), "{text}");
    assert!(text.lines().skip(1).all(|l| l.starts_with("  ")), "{text}");
    anstream::adapter::strip_str(&text).to_string()
}

#[test]
fn verdicts() {
    for (name, doc, differences) in samples::stories() {
        insta::assert_snapshot!(name, shown(&doc, differences.as_ref(), false));
    }
}

#[test]
fn more_where_asked() {
    let (_, doc, differences) = samples::stories().swap_remove(1);
    insta::assert_snapshot!("verbose", shown(&doc, differences.as_ref(), true));
}

/// A build that writes escape codes, line breaks or reordering marks into whatever it can reach
/// adds no line and no control character.
#[test]
fn nothing_of_a_build_controls_the_terminal() {
    let (doc, differences) = samples::hostile();
    let text = render(
        &doc,
        Some(&differences),
        Options {
            evidence: Some("a\u{1b}b\n"),
            exported: Some("x\n\u{1b}"),
            verbose: true,
        },
    );
    let plain = anstream::adapter::strip_str(&text).to_string();
    assert!(
        !plain.contains(['\u{1b}', '\u{202e}', '\r', '\u{7}']),
        "{plain}"
    );
    let injected: Vec<_> = plain
        .lines()
        .filter(|l| l.starts_with("INJECTED"))
        .collect();
    assert_eq!(injected, [""; 0]);
    assert!(!text.contains("\u{1b}]"), "{text:?}");
}

#[test]
fn many_differences_are_counted() {
    let mut differences = samples::differences();
    let one = differences.items[0].clone();
    differences.items = vec![one; 25];
    let text = shown(&samples::result("verify"), Some(&differences), false);
    assert!(
        text.contains("\n  and 15 more, in determinism/differences.json\n"),
        "{text}"
    );
}
