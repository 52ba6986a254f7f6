//! Two files whose content differs: where, and handed on to be explained.

use std::io::{self, BufReader, Read};

use belljar_model::{Cause, DifferenceKind, OsText, Region};

use crate::Side;
use crate::bytes::{Hunk, differ};
use crate::explain::{Explainer, unreadable};

/// Regions that a document holds.
const REGIONS: usize = 16;

/// Bytes of a region that a document shows.
const SHOWN: usize = 64;

/// Context before a region within those.
const CONTEXT: usize = 12;

/// Where the two files differ, and why.
pub(crate) fn explain(
    a: Side<'_>,
    b: Side<'_>,
    path: &OsText,
    sizes: (u64, u64),
) -> (DifferenceKind, Vec<Cause>) {
    let mut regions = Vec::new();
    let mut explainer = Explainer::new(path, a.clock, b.clock);
    let mut each = |hunk: &Hunk<'_>| {
        if regions.len() < REGIONS {
            regions.push(region(hunk));
        }
        explainer.hunk(hunk);
    };
    let done = open(a, b, path).and_then(|(mut x, mut y)| differ(&mut x, &mut y, &mut each));
    let kind = |regions, regions_total| DifferenceKind::Content {
        size_a: sizes.0,
        size_b: sizes.1,
        regions,
        regions_total,
    };
    match done {
        Ok(total) => (kind(regions, total), explainer.causes(total)),
        Err(e) => {
            let total = regions.len() as u64;
            (kind(regions, total), vec![unreadable(&e)])
        }
    }
}

type Opened<'a> = BufReader<Box<dyn Read + 'a>>;

fn open<'a>(a: Side<'a>, b: Side<'a>, path: &OsText) -> io::Result<(Opened<'a>, Opened<'a>)> {
    let (x, y) = (a.tree.open(path)?, b.tree.open(path)?);
    Ok((BufReader::new(x), BufReader::new(y)))
}

fn region(hunk: &Hunk<'_>) -> Region {
    let context = &hunk.before[hunk.before.len().saturating_sub(CONTEXT)..];
    let shown = |bytes: &[u8]| -> OsText {
        let all = context.iter().chain(bytes).chain(hunk.after);
        let end = context.len() + bytes.len() + CONTEXT;
        all.copied()
            .take(end.min(SHOWN))
            .collect::<Vec<u8>>()
            .into()
    };
    Region {
        offset: hunk.offset_a,
        len: hunk.len_a,
        offset_b: hunk.offset_b,
        len_b: hunk.len_b,
        a: shown(hunk.a),
        b: shown(hunk.b),
    }
}
