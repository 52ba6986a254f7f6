//! Two files whose content differs: where, and handed on to be explained.

use std::io::{self, BufRead as _, BufReader, Read};

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
    let kind = |regions, regions_total| DifferenceKind::Content {
        size_a: sizes.0,
        size_b: sizes.1,
        regions,
        regions_total,
    };
    let mut regions = Vec::new();
    match read(a, b, path, &mut regions) {
        Ok((causes, total)) => (kind(regions, total), causes),
        Err(e) => {
            let total = regions.len() as u64;
            (kind(regions, total), vec![unreadable(&e)])
        }
    }
}

fn read(
    a: Side<'_>,
    b: Side<'_>,
    path: &OsText,
    regions: &mut Vec<Region>,
) -> io::Result<(Vec<Cause>, u64)> {
    let (mut x, mut y) = open(a, b, path)?;
    let heads = (x.fill_buf()?.to_vec(), y.fill_buf()?.to_vec());
    let mut explainer = Explainer::new(path, a.clock, b.clock, (&heads.0, &heads.1));
    let total = differ(&mut x, &mut y, &mut |hunk| {
        if regions.len() < REGIONS {
            regions.push(region(hunk));
        }
        explainer.hunk(hunk);
    })?;
    Ok((explainer.causes(total), total))
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
