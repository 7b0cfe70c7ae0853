//! The ways through the house, as one test binary.

mod canary_words;
mod floors;
mod mappings;
mod sql_on_fhir;
