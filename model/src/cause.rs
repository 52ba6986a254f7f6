//! Causes: why an output differs. One table of slugs.

use serde::{Deserialize, Serialize};

use crate::OsText;

/// One knob that differs between A and B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Variation {
    /// The wall clock.
    Time,
    /// The boot-time clock and uptime.
    Uptime,
}

/// How sure a cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The differing bytes carry each run's own marker.
    Proven,
    /// The evidence points there.
    Likely,
    /// Not known; said openly.
    Unknown,
}

/// Why an output differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cause {
    /// Stable name (`clock`, `unknown`).
    pub slug: String,
    /// The variation that revealed it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub variation: Option<Variation>,
    /// How sure.
    pub confidence: Confidence,
    /// One sentence: what was found where, in A and in B.
    pub evidence: String,
    /// Offset in A of the bytes that it explains.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<u64>,
    /// The argv of the process that wrote the file, where it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub process: Option<Vec<OsText>>,
    /// The usual fix, one sentence with a snippet.
    pub fix: String,
}

/// A cause that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownCause {
    /// Stable name, as in [`Cause::slug`].
    pub slug: &'static str,
    /// The more general cause that this is a kind of.
    pub parent: Option<&'static str>,
    /// What it is, in a phrase.
    pub about: &'static str,
    /// The usual fix, one sentence with a snippet.
    pub fix: &'static str,
}

/// The table of causes, the one place where slugs are made. Those that distributions use keep
/// the distributions' names.
pub const CAUSES: &[KnownCause] = &[
    KnownCause {
        slug: "unknown",
        parent: None,
        about: "nothing in the bytes names a cause",
        fix: "",
    },
    KnownCause {
        slug: "clock",
        parent: None,
        about: "a date or an epoch of each run's own wall clock",
        fix: "take the time from SOURCE_DATE_EPOCH: date -u -d @$SOURCE_DATE_EPOCH",
    },
    KnownCause {
        slug: "timestamps_in_gzip_headers",
        parent: Some("clock"),
        about: "the time of packing, or of the packed file, in a gzip header",
        fix: "leave the time out of the header: gzip -n",
    },
    KnownCause {
        slug: "timestamps_in_tarball",
        parent: Some("clock"),
        about: "times of members in a tar archive",
        fix: "give every member one time: tar --sort=name --mtime=@$SOURCE_DATE_EPOCH --clamp-mtime",
    },
    KnownCause {
        slug: "timestamps_in_static_libraries",
        parent: Some("clock"),
        about: "times of members in an ar archive",
        fix: "use ar in deterministic mode: ar crD, ranlib -D",
    },
    KnownCause {
        slug: "timestamps_in_zip",
        parent: Some("clock"),
        about: "times of members in a zip archive",
        fix: "give every member one time: touch -d @$SOURCE_DATE_EPOCH before packing, TZ=UTC zip -X",
    },
    KnownCause {
        slug: "timestamps_in_pyc",
        parent: Some("clock"),
        about: "the time of the source in compiled Python",
        fix: "compile with --invalidation-mode unchecked-hash",
    },
    KnownCause {
        slug: "timestamps_in_pe_binaries",
        parent: Some("clock"),
        about: "the time of linking in the header of a Windows program",
        fix: "leave the time out: ld --no-insert-timestamp, link /Brepro",
    },
    KnownCause {
        slug: "timestamps_in_pdf",
        parent: Some("clock"),
        about: "the date of creation in a PDF",
        fix: "set SOURCE_DATE_EPOCH, and FORCE_SOURCE_DATE=1 for TeX",
    },
];

impl KnownCause {
    /// The cause of this name.
    pub fn of(slug: &str) -> Option<&'static Self> {
        CAUSES.iter().find(|c| c.slug == slug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_unique_and_parents_exist() {
        for (i, cause) in CAUSES.iter().enumerate() {
            assert!(CAUSES[..i].iter().all(|c| c.slug != cause.slug));
            assert!(cause.parent.is_none_or(|p| KnownCause::of(p).is_some()));
            assert!(cause.slug == "unknown" || !cause.fix.is_empty());
        }
    }
}
