//! The wire contract both towers speak: what a submission is made of, byte for byte.
//!
//! A submission is a manifest (what is sent, from which run, under which policy), chunks (zstd NDJSON of rows, each named by
//! the SHA-256 of its bytes) and a signature over the manifest. The registry answers with a receipt and, for each row it
//! rejected, an outcome. Knows no network, no disk and no origin: a source resource's id cannot be written here.
//! Basis: HL7 Bulk Data Access 4.0.0-ballot, "Bulk Submit"; C2SP tlog-proof for the receipt.

mod id;
mod line;
mod manifest;
mod outcome;
mod parameters;
mod receipt;
mod signature;

pub use id::{SubmissionId, is_site_name};
pub use line::{Line, LineFault, Op, write_delete, write_upsert};
pub use manifest::{Ledger, Manifest, ManifestFault, Output, Tally};
pub use outcome::{CountSeverity, Outcome, StatusItem, StatusManifest};
pub use parameters::{BulkSubmit, Fault as ParametersFault, StatusRequest};
pub use receipt::{Leaf, Receipt, ReceiptFault};
pub use signature::verify;

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

/// SHA-256 of `bytes` as 64 hex digits: the name of a chunk, the name of a manifest.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// 64 lower-case hex digits and nothing else.
pub fn is_sha256_hex(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A table, model or policy name: 1 to 64 of lower-case letters, digits, `_` and `-`, a letter or digit first.
pub fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().enumerate().all(|(at, byte)| match byte {
            b'a'..=b'z' | b'0'..=b'9' => true,
            b'_' | b'-' => at > 0,
            _ => false,
        })
}
