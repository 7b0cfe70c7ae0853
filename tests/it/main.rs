//! The one integration-test binary: ways through the house.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod simulate;
