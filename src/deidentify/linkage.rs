//! Linkage keys (CLKs) of patients, so that an agent can find one person's records at several sites without their names.
//! Bit for bit what clkhash 0.18.3 makes of the same schema, secret and record. Plain functions; the gateway writes the file.
//!
//! Who may hold what: the project's secret is held by the sites and by nobody else, never by the agent and never by the registry; linkage
//! keys go to the agent, and never to the registry. What a linkage key is and what attacks it: see `README.md`, "Linkage".

mod bloom;
mod date;
mod encoder;
mod fault;
mod feature;
mod format;
mod project;
mod schema;
mod token;

pub use bloom::Clk;
pub use encoder::Encoder;
pub use fault::{Fault, Unfit};
pub use project::{Project, SECRET_BYTES, check_secret};
pub use schema::Schema;
