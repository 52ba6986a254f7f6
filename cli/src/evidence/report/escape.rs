//! What a build says, made harmless for a reader: on a terminal and in Markdown.
//!
//! Names, bytes and arguments are [`belljar_model::OsText`], which escapes itself; this is for
//! sentences, which are belljar's own but may quote a build.

use std::fmt::Write as _;

/// Characters that reorder, hide or break lines.
fn harmless(c: char) -> bool {
    let format = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}');
    !c.is_control() && !format
}

/// One line of visible characters; others as `\u{NN}`.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if harmless(c) {
            out.push(c);
        } else {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
    out
}

/// A Markdown code span that shows `text` and nothing else: no markup, no link, no mention, and
/// no end of a table's cell.
pub fn code(text: &str) -> String {
    let text = line(text);
    if text.trim().is_empty() {
        // A code span can't be empty, nor made of blanks alone.
        return format!("`\"{text}\"`");
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A blank at either end is dropped, one at both ends is how a backtick at an end is written.
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) {
        " "
    } else {
        ""
    };
    // GitHub ends a cell at a bar, in code as well, unless it is escaped.
    let text = text.replace('|', "\\|");
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Plain Markdown text: everything that could be markup is escaped, and nobody is mentioned.
pub fn plain(text: &str) -> String {
    let text = line(text);
    let mut out = String::with_capacity(text.len());
    let mut in_code = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        // Forges look for names and numbers after all markup is gone, but not in code.
        let code = matches!(c, '@' | '#');
        if code != in_code {
            out.push('`');
            in_code = code;
        }
        let harmless = match c {
            '.' | ',' | ';' | '\'' | '"' | '/' | '%' | '?' => true,
            // Markup only at the start of a line.
            '-' | '+' | '=' | '(' | ')' => !out.is_empty(),
            // Forges make links of addresses.
            ':' => !out.is_empty() && chars.peek() != Some(&'/'),
            c => !c.is_ascii_punctuation(),
        };
        if !harmless && !code {
            out.push('\\');
        }
        out.push(c);
    }
    if in_code {
        out.push('`');
    }
    out
}

/// A sentence of belljar's own, which may quote a build: what stands between backticks becomes
/// code, the rest is [`plain`].
pub fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return plain(text);
    }
    let mut out = String::new();
    for (i, part) in parts.iter().enumerate() {
        match i % 2 {
            0 => out.push_str(&plain(part)),
            _ => out.push_str(&code(part)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

    use super::*;

    fn events(markdown: &str) -> Vec<Event<'_>> {
        let options = Options::all() - Options::ENABLE_SMART_PUNCTUATION;
        Parser::new_ext(markdown, options).collect()
    }

    /// The text that a reader of the table `| head | \n |---| \n | CELL |` finds in the cell.
    fn cell(markdown: &str) -> Vec<Event<'static>> {
        let table = format!("| a | b |\n|---|---|\n| {markdown} | end |\n");
        let events: Vec<_> = events(&table).into_iter().map(Event::into_static).collect();
        let rows = events
            .iter()
            .filter(|e| matches!(e, Event::Start(Tag::TableRow)))
            .count();
        assert_eq!(rows, 1, "{events:?}");
        let start = events
            .iter()
            .position(|e| matches!(e, Event::Start(Tag::TableRow)))
            .unwrap();
        let row = &events[start + 2..];
        let end = row
            .iter()
            .position(|e| matches!(e, Event::End(TagEnd::TableCell)))
            .unwrap();
        assert!(
            row[end..].contains(&Event::Text("end".into())),
            "{events:?}"
        );
        row[..end].to_vec()
    }

    fn nasty() -> impl Strategy<Value = String> {
        let pieces = prop_oneof![
            Just("`".to_owned()),
            Just("``".to_owned()),
            Just("|".to_owned()),
            Just("\\".to_owned()),
            Just("\n".to_owned()),
            Just("<script>".to_owned()),
            Just("[x](y)".to_owned()),
            Just("@someone".to_owned()),
            Just("\u{1b}[31m".to_owned()),
            Just("\u{202e}".to_owned()),
            Just(" ".to_owned()),
            Just("*a*".to_owned()),
            Just("_".to_owned()),
            Just("~~".to_owned()),
            Just("http://a.example".to_owned()),
            Just("&amp;".to_owned()),
            Just("#".to_owned()),
            Just("$x$".to_owned()),
            Just("- ".to_owned()),
            Just("[^1]".to_owned()),
            Just(":smile:".to_owned()),
            "[a-z]{1,4}",
            ".{0,3}",
        ];
        proptest::collection::vec(pieces, 0..8).prop_map(|p| p.concat())
    }

    proptest! {
        #[test]
        fn a_line_is_one_line_of_visible_characters(text in nasty()) {
            let line = line(&text);
            prop_assert!(line.chars().all(harmless), "{line:?}");
            if text.chars().all(harmless) { prop_assert_eq!(line, text); }
        }

        #[test]
        fn code_is_one_code_span_with_the_text(text in nasty()) {
            let shown = match cell(&code(&text)).as_slice() {
                [Event::Code(shown)] => shown.to_string(),
                other => panic!("{other:?} from {text:?}"),
            };
            // Outside a table the bar keeps its backslash, inside it is taken away.
            let wanted = line(&text);
            let wanted = if wanted.trim().is_empty() { format!("\"{wanted}\"") } else { wanted };
            prop_assert_eq!(shown, wanted);
        }

        #[test]
        fn prose_is_text_and_code(text in nasty()) {
            for event in cell(&prose(&text)) {
                let harmless = matches!(event, Event::Text(_) | Event::Code(_));
                prop_assert!(harmless, "{event:?} from {text:?}");
            }
        }

        #[test]
        fn plain_text_is_text_alone(text in nasty()) {
            let events = cell(&plain(&text));
            let mut shown = String::new();
            for event in events {
                match event {
                    Event::Text(t) => shown.push_str(&t),
                    Event::Code(c) if c.chars().all(|c| matches!(c, '@' | '#')) => shown.push_str(&c),
                    other => panic!("{other:?} from {text:?}"),
                }
            }
            let wanted = line(&text);
            prop_assert_eq!(shown.trim(), wanted.trim());
        }
    }
}
