//! The common data model as values: tables, columns, rows. Read from JSON Schema; knows nothing of FHIR or networks.

pub mod csv;
pub mod date;
pub mod describe;
mod key;
mod pattern;
pub mod row;
pub mod siphash;
pub mod small_cells;
pub mod table;

pub use key::key_number;
pub use pattern::Pattern;
pub use row::{Cell, Rows};
pub use table::{Column, Kind, Model, ModelError, Table, TableId};
