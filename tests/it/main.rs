//! The one integration-test binary: ways through the house.

mod simulate;
