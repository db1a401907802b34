//! The configuration file: *written* (located text) → *checked* (what the
//! program runs on). Nothing else in the program sees what was written.

pub mod checked;
pub mod keys;
pub mod mistakes;
pub mod stamp;
pub mod traces;
pub mod written;

mod check;
mod hidden;
mod load;
mod reader;
mod scalar;
mod values;

pub use load::{check_report, hosts_to_intercept, load, load_text};

#[cfg(test)]
mod tests;
