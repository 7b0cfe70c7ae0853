//! FHIR dates keep their precision: `2024-03` is a month, not its first day.
