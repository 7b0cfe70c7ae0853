//! The one integration test binary.

mod sql_on_fhir;
