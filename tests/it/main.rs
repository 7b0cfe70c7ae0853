//! The ways through the house: real parts, one machine, no net.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod console;
mod receive;
mod submit;
mod webdriver;
mod world;
