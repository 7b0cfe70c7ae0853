//! What is known of one landed file without opening it, and what can be wrong with it.

use crate::origin::SegmentId;
use crate::platform::database::DatabaseError;
use crate::platform::file::FileError;

/// What the lines of a segment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Resources, one a line.
    Resources,
    /// Bundles of deletions (Bulk Data, `deleted`).
    Deleted,
    /// OperationOutcomes of the server about its export.
    Outcome,
}

impl Kind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resources => "resources",
            Self::Deleted => "deleted",
            Self::Outcome => "outcome",
        }
    }

    /// The kind of this word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Resources, Self::Deleted, Self::Outcome]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// One landed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub id: SegmentId,
    pub run: i64,
    /// What the source said the lines are; empty when it did not say.
    pub resource_type: String,
    pub kind: Kind,
    /// Lines that are not blank.
    pub lines: u64,
    /// Plain bytes.
    pub bytes: u64,
    /// SHA-256 of the plain bytes, hex.
    pub sha256: String,
    pub(super) file: String,
    pub(super) sealed_bytes: u64,
}

/// Landing or reading a segment failed.
#[derive(Debug, thiserror::Error)]
pub enum LandingError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("landing directory `{0}` could not be listed")]
    Directory(String),
    #[error("the landing store is not ours to write: {0}")]
    NotOwner(String),
    #[error("there is no segment {}", .0.0)]
    Unknown(SegmentId),
    #[error("a line is longer than {max_bytes} bytes: raise the limit on lines, or leave this resource type out")]
    LineTooLong { max_bytes: usize },
    #[error(
        "segment {} of run {run} ({resource_type}) {what}: it is not used; pull run {run} again, and check the disk and the seal key",
        id.0
    )]
    Damaged {
        id: SegmentId,
        run: i64,
        resource_type: String,
        what: &'static str,
    },
}

impl LandingError {
    pub(super) fn damaged(segment: &Segment, what: &'static str) -> Self {
        Self::Damaged {
            id: segment.id,
            run: segment.run,
            resource_type: segment.resource_type.clone(),
            what,
        }
    }
}
