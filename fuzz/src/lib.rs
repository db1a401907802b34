//! The fuzz targets, each a plain function of bytes that panics when something
//! is wrong: `fuzz_targets/` hands them to libFuzzer, `tests/fuzzed.rs` runs
//! them over the seeds on every test.

pub mod configuration;
pub mod connection;
pub mod edits;
pub mod routes;
pub mod strict;
pub mod templates;
pub mod token_answers;
