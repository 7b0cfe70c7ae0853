//! The contract's fixed words and its limits: both towers hold to the same.

/// `Manifest::format` of this version.
pub const FORMAT: &str = "headwater-submission/1";
/// `outputFormat` of `$bulk-submit`.
pub const OUTPUT_FORMAT: &str = "application/vnd.headwater.cdm+ndjson";
/// The metadata parameter that carries the manifest's signature.
pub const SIGNATURE_URL: &str = "https://headwater.example/submission-signature";
/// The identifier system under which a site names itself.
pub const SITE_SYSTEM: &str = "https://headwater.example/site";
/// The coding system of the rules that outcomes name.
pub const RULE_SYSTEM: &str = "https://headwater.example/rule";
/// The scope a token needs.
pub const SCOPE: &str = "system/bulk-submit";

/// A chunk's most bytes, compressed.
pub const CHUNK_MAX_BYTES: u64 = 8 << 20;
/// A chunk's most bytes, unpacked.
pub const CHUNK_MAX_PLAIN_BYTES: u64 = 512 << 20;
/// A chunk may unpack to this many times its size (and always to 1 MiB).
pub const CHUNK_MAX_RATIO: u64 = 400;
/// A zstd window larger than 2^this is refused; levels 1 to 19 stay below.
pub const CHUNK_WINDOW_LOG_MAX: u32 = 23;
/// A line's most bytes, newline not counted.
pub const LINE_MAX_BYTES: usize = 1 << 20;
/// A row key's most bytes.
pub const KEY_MAX_BYTES: usize = 256;
/// A manifest's most bytes.
pub const MANIFEST_MAX_BYTES: usize = 4 << 20;
