//! FHIRPath: parse, compile, evaluate on the borrowed tree.
