use pulldown_cmark::{Event, Options, Parser, Tag};

use super::*;
use crate::evidence::samples;

#[test]
fn verdicts() {
    for (name, doc, differences) in samples::stories() {
        insta::assert_snapshot!(name, render(&doc, differences.as_ref()));
    }
}

/// Whatever a build puts where: no link, image, HTML or further heading comes of it.
#[test]
fn nothing_of_a_build_is_markup() {
    let (doc, differences) = samples::hostile();
    let markdown = render(&doc, Some(&differences));
    let options = Options::all() - Options::ENABLE_SMART_PUNCTUATION;
    let mut headings = 0;
    for event in Parser::new_ext(&markdown, options) {
        match event {
            Event::Start(Tag::Link { .. } | Tag::Image { .. } | Tag::HtmlBlock)
            | Event::Html(_)
            | Event::InlineHtml(_) => {
                panic!("{event:?} in {markdown}")
            }
            Event::Start(Tag::Heading { .. }) => headings += 1,
            _ => {}
        }
    }
    assert_eq!(
        headings,
        markdown.lines().filter(|l| l.starts_with('#')).count()
    );
    assert!(headings <= 6, "{markdown}");
}
