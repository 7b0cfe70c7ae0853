//! The common data model as values: tables, columns, rows. Read from JSON Schema; knows nothing of FHIR or networks.

pub mod csv;
pub mod date;
mod pattern;
pub mod row;
pub mod table;

pub use pattern::Pattern;
pub use row::{Cell, Rows};
pub use table::{Column, Kind, Model, ModelError, Table, TableId};
