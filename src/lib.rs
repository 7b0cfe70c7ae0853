//! Headwater: a site's gateway **pulls** what its EHR knows, **lands** it sealed, **validates** it, **maps** it to the
//! network's common data model, **deidentifies** it and **submits** it; the registry **receives** it, **audits** every
//! step and shows its operators the flow on a **console**.
//!
//! This comment is the map. `tests/it/floors.rs` holds the code to it.
//!
//! # Floors: who may import whom
//!
//! | Floor | Part | May import, besides std and crates |
//! |---|---|---|
//! | 8 | `main` `cli` | downwards, anything |
//! | 7 | `config` `network` `simulate` | downwards; nothing imports `config` or `simulate` but floor 8 and tests |
//! | 6 | `gateway` | pull, landing, validate, map, deidentify, submit, audit, origin, refusal, fhir, cdm, submission, platform |
//! | 6 | `registry` | receive, console, audit, platform |
//! | 5 | `submit` | deidentify, submission, cdm, platform |
//! | 5 | `console` | receive's read side, audit, submission, platform |
//! | 4 | `deidentify` | map (for `Mapped`), fhir, cdm, refusal, platform |
//! | 4 | `receive` | submission, cdm, audit, platform |
//! | 3 | `map` | validate (for `Conformant`), fhir, cdm, refusal |
//! | 2 | `validate` | fhir, origin, refusal |
//! | 2 | `pull` | fhir, origin, landing, platform |
//! | 2 | `landing` `audit` | platform, origin |
//! | 1 | `submission` -> cdm; `refusal` -> origin | |
//! | 0 | `fhir` `cdm` `origin` `platform` | nothing of ours |
//!
//! # The way of one Observation
//!
//! ```text
//! gateway::run(site)
//!   pull       token -> $export | search -> file            -> landing.seal(file)    durable before the next step
//!   landing    segment -> lines -> fhir::Tree               borrowed from the decompressed block; nothing is copied
//!   validate   Resource    -> Conformant   | Refusal -+
//!   map        Conformant  -> Mapped rows  | Refusal -+-> quarantine (path + rule; the resource stays sealed here)
//!   deidentify Mapped      -> Deidentified | Refusal -+
//!   ledger     row digest differs from what the registry holds?  upsert | unchanged (nothing is sent) | gone -> tombstone
//!   submit     chunk (NDJSON, zstd, named by its SHA-256) -> PUT into the registry's drop -> $bulk-submit(manifest, signed)
//!   receive    signature, sequence, schema, policy -> one transaction: rows + receipt + log leaf -> outcome files
//!   ledger     receipt and outcomes joined back to the source resource; only now does the watermark move
//! ```
//!
//! # Invariants
//!
//! 1. `validate`, `map`, `deidentify` are plain functions: no async, disk, network, clock or randomness. Same input, same
//!    bytes out, on any number of threads, before and after a crash.
//! 2. `submit` takes `Deidentified` and nothing else; only `deidentify` can construct one. `submission` does not know `origin`.
//! 3. Default deny: a column without a de-identification rule cannot be loaded; an element that no mapping names cannot
//!    leave; an unknown `modifierExtension` refuses its resource; an empty allow-list allows nothing.
//! 4. A value of a patient stands in no message, log, metric, URL, panic, temporary file name or test name. PHI at rest is
//!    encrypted.
//! 5. Progress moves only after durable acknowledgement. Retrying anything is harmless; skipping anything is impossible.
//! 6. The gateway only dials out. The token goes to the origins it was issued for and to no other host.
//! 7. One client, one clock, one source of randomness, each in `platform`; clippy's `disallowed-methods` says so.
//! 8. The two towers never import each other. Errors become HTTP in one file. No part imports `config`.
//! 9. Memory is bounded by configuration, not by input.

// Floor 8
pub mod cli;
// Floor 7
pub mod config;
pub mod network;
pub mod simulate;
// Floor 6
pub mod gateway;
pub mod registry;
// Floor 5
pub mod console;
pub mod submit;
// Floor 4
pub mod deidentify;
pub mod receive;
// Floor 3
pub mod map;
// Floor 2
pub mod audit;
pub mod landing;
pub mod pull;
pub mod validate;
// Floor 1
pub mod refusal;
pub mod submission;
// Floor 0
pub mod cdm;
pub mod fhir;
pub mod origin;
pub mod platform;
