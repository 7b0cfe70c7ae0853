//! What FHIR R4 says, without network, disk or clock: JSON as a borrowed tree, types, paths, dates, references, ValueSets, NDJSON.

pub mod canonical;
pub mod datetime;
pub mod decimal;
pub mod name;
pub mod ndjson;
pub mod outcome;
pub mod path;
pub mod reference;
pub mod tree;
pub mod types;
pub mod ucum;
pub mod value_set;
