//! The one integration test binary: ways through the whole house.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test writes its own input, and nothing hangs on its durability"
)]

mod ahead;
mod canary;
mod canary_words;
mod console;
mod counterpart;
mod crawl_nights;
mod doctor;
mod fhir;
mod floors;
mod house;
mod landing;
mod ledger;
mod mappings;
mod nights;
mod pull;
mod receive;
mod schemas;
mod simulate;
mod sql_on_fhir;
mod submit;
mod tamper;
mod trouble;
mod verbs;
mod webdriver;
mod world;
