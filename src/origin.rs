//! Where a resource came from: segment, line, type, id. Never leaves the hospital: `submission` does not know this file.
//! Holds the one identifier a site's own IT may see (type and line); the resource's id is kept out of every message.

use std::fmt;

/// A landed file, numbered by `landing` in the order of landing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub i64);

/// The place of one resource: which segment, which line (from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    pub segment: SegmentId,
    pub line: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} line {}", self.segment.0, self.line)
    }
}
