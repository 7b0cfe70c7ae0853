//! The ways through the house: real parts, one machine, no net.
#![allow(clippy::disallowed_methods, reason = "tests write the files they need")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails there")]
#![allow(unreachable_pub, reason = "one binary, its parts speak to each other")]

mod console;
mod receive;
mod submit;
mod webdriver;
mod world;
