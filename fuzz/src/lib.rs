//! What each fuzz target does with its bytes. The test binary of the main package includes this file and runs all seeds
//! through it, so every input that once broke something is tried again with each test.

pub mod evaluate;
pub mod expression;
mod grammar;
pub mod mapping;
