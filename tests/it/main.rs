//! The one integration test binary.

mod mappings;
mod sql_on_fhir;
