//! The ways through the house, from outside: real routers, a moved clock, no sleep, no net.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod receive;
