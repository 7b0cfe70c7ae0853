//! What we ask of the machine: time, randomness, files, secrets and cryptography, the embedded database, HTTP.
//! The only part that may build a client, read the clock or draw a random number; nothing here knows FHIR tables or runs.

pub mod backend_services;
pub mod clock;
pub mod database;
pub mod file;
pub mod http;
pub mod index_file;
pub mod random;
pub mod secret;
pub mod signing;
