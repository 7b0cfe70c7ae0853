//! The ways through the house, as one test binary.

mod floors;
mod mappings;
mod sql_on_fhir;
