//! Deidentified rows to an acknowledged submission: packs, signs, sends, and believes a receipt only when it is proven.
//! The only part that talks to the registry. Every step may be repeated: a chunk that is there is not sent again, a
//! submission that was applied gives the same receipt.
//! Basis: HL7 Bulk Data Access 4.0.0-ballot, "Bulk Submit"; the contract's own words are in `submission`.

mod bulk_submit;
mod enrol;
mod fault;
mod link;
mod package;
mod place;
mod sign;

pub use bulk_submit::{Acknowledged, Progress, Prove, submit};
pub use enrol::{Enrolled, enrol};
pub use fault::SubmitError;
pub use link::{LinkSettings, RegistryLink};
pub use package::{Packed, Packer, package};
pub use place::{inventory, place};
pub use sign::Package;
