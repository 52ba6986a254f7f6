//! `belljar explain`: the report of an earlier command again, from its evidence alone.

use std::process::ExitCode;

use belljar_model::{Differences, ReportDoc, exit};

use super::work::say;
use crate::args::{ExplainArgs, ReportFormat};
use crate::errors::{Class, CommandError};
use crate::evidence::EvidenceError;
use crate::evidence::read::{Evidence, Stray};
use crate::evidence::report::{markdown, text};

/// Reads the folder, says what does not belong to its result, and shows the rest.
pub fn run(args: &ExplainArgs) -> Result<ExitCode, CommandError> {
    let evidence = Evidence::open(&args.evidence).map_err(|e| unreadable(&e))?;
    let strays = evidence.strays();
    let differences: Option<Differences> = evidence
        .document("determinism/differences.json", Differences::SCHEMA)
        .map_err(|e| unreadable(&e))?;
    let (doc, differences) = (&evidence.result, differences.as_ref());
    match args.format {
        ReportFormat::Text => {
            let folder = args.evidence.to_string_lossy();
            let options = text::Options {
                evidence: Some(&folder),
                exported: None,
                verbose: true,
            };
            super::print_styled(&text::render(doc, differences, options))?;
        }
        ReportFormat::Markdown => {
            super::print(markdown::render(doc, differences).as_bytes())?;
        }
        ReportFormat::Json => {
            let whole = ReportDoc {
                schema: ReportDoc::SCHEMA.into(),
                result: doc.clone(),
                differences: differences.cloned(),
                strays: strays.iter().map(Stray::to_string).collect(),
            };
            super::print(&crate::evidence::json(&whole))?;
        }
    }
    for stray in &strays {
        say(&format!("belljar: {stray}\n"));
    }
    Ok(ExitCode::from(if strays.is_empty() {
        exit::OK
    } else {
        exit::DIFFERS
    }))
}

fn unreadable(e: &EvidenceError) -> CommandError {
    let class = match e {
        EvidenceError::Refused { .. } => Class::Usage,
        _ => Class::Invalid,
    };
    let hint = match e {
        EvidenceError::Refused { .. } => {
            Some("name a folder that `belljar run` or `belljar verify` wrote and you may read")
        }
        _ => e.hint(),
    };
    let error = CommandError::new(class, e.to_string());
    hint.into_iter().fold(error, CommandError::hint)
}
