//! The one integration test binary: ways through the whole house.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod canary_words;
mod floors;
mod simulate;
mod sql_on_fhir;
