//! The one integration test binary.

mod landing;
mod pull;
mod sql_on_fhir;
