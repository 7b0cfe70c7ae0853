//! The ways through the house: real parts, one machine, no net.
#![allow(clippy::disallowed_methods, reason = "tests write the files they need")]
#![allow(unreachable_pub, reason = "one binary, its parts speak to each other")]

mod console;
mod submit;
mod webdriver;
mod world;
