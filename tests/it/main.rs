//! The ways through the house, in one binary.

mod fhir;
