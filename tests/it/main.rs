//! The ways through the house, as one test binary.

mod floors;
