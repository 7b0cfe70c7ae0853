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
mod place;
mod receipt;
mod signature;
mod terms;
mod text;

pub use id::{SubmissionId, is_site_name};
pub use line::{Line, LineFault, Op, write_delete, write_upsert};
pub use manifest::{Coding, LABELS, Ledger, Manifest, ManifestFault, Output, Tally};
pub use outcome::{CountSeverity, Outcome, StatusItem, StatusManifest};
pub use parameters::{BulkSubmit, Fault as ParametersFault, StatusRequest};
pub use place::{After, Held, INVENTORY_PAGE, Inventory, Place};
pub use receipt::{Leaf, Receipt, ReceiptFault};
pub use signature::verify;
pub use terms::{
    CHUNK_MAX_BYTES, CHUNK_MAX_PLAIN_BYTES, CHUNK_MAX_RATIO, CHUNK_WINDOW_LOG_MAX, FORMAT, KEY_MAX_BYTES, LINE_MAX_BYTES,
    MANIFEST_MAX_BYTES, OUTPUT_FORMAT, RULE_SYSTEM, SCOPE, SIGNATURE_URL, SITE_SYSTEM,
};
pub use text::{is_model_name, is_sha256_hex, is_word, sha256_hex};
