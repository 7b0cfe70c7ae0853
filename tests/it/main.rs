//! The ways through the house, in one binary.

mod fhir;
mod landing;
mod pull;
mod sql_on_fhir;
