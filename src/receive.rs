//! Receives submissions: who sends, whole or not at all, fits the tables, applied once, receipt.
//!
//! `Registry::open` gives the registry, `router` its endpoints for sites, `Registry::work` its worker. The console reads
//! through `read`, the operator's commands work on `Records`. No patient is known here: rows come with pseudonyms, and not
//! even a pseudonym stands in a message, a log line or a URL.

mod access;
mod apply;
pub mod check;
pub mod codes;
mod drop;
pub mod enrol;
mod event;
pub mod export;
mod fault;
mod outcome;
mod place;
pub mod read;
mod registry;
mod reply;
mod routes;
pub mod settings;
pub mod sign_in;
pub mod store;
mod submit;

use std::sync::Arc;

pub use fault::{Fault, chain};
pub use registry::{OpenError, Records, Registry, prepare};
pub use settings::{Accept, Settings, SettingsFault};

/// The registry's endpoints for sites.
pub fn router(registry: Arc<Registry>) -> axum::Router {
    routes::router(registry)
}
