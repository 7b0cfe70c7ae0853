//! The one integration test binary: ways through the whole house.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test writes its own input, and nothing hangs on its durability"
)]

mod ahead;
mod backup;
mod canary;
mod canary_words;
mod consent;
mod console;
mod counterpart;
mod crawl_nights;
mod derived;
mod doctor;
mod evidence;
mod fhir;
mod fhirpath;
mod floors;
mod fuzz_seeds;
mod hostile_expressions;
mod hostile_mappings;
mod hostile_views;
mod hostile_words;
mod house;
mod landing;
mod ledger;
mod linkage;
mod mappings;
mod models;
mod nights;
mod not_offered;
mod omop;
mod packages;
mod pcornet;
mod pull;
mod rare_codes;
mod receive;
mod scanner;
mod schemas;
mod simulate;
mod sql_on_fhir;
mod submit;
mod tamper;
mod trouble;
mod validator;
mod verbs;
mod webdriver;
mod workbench;
mod world;

/// The reference data beside the project; without them the test says that it is skipped.
fn shared() -> Option<std::path::PathBuf> {
    let named = std::env::var_os("HEADWATER_SHARED").map(std::path::PathBuf::from);
    let folder = named.unwrap_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no reference data (set HEADWATER_SHARED)");
    None
}
