//! Conformant -> Mapped rows | Refusal. Plain functions: no async, disk, network, clock or randomness.

pub mod fault;
mod file;
pub mod view;
