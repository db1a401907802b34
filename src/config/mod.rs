//! The configuration file: *written* (located text) → *checked* (what the
//! program runs on). Nothing else in the program sees what was written.

pub mod checked;
