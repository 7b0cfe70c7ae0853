//! The one integration test binary: ways through the whole house.

mod floors;
mod simulate;
mod sql_on_fhir;
