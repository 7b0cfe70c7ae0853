//! NDJSON by lines, within limits.
