//! When and why a token is fetched: a state machine without I/O, and the
//! scheduler that feeds it and is the only writer of tokens.

mod attach;
mod entry;
mod fetch;
mod history;
mod machine;
mod record;
mod scheduler;
mod slots;
mod status;
mod wing;

#[cfg(test)]
mod tests;

pub use history::{Happening, History, Slice, What};
pub use status::{AccountState, AccountStatus, Attempt, LastError};
pub use wing::{Handle, ManualOutcome, Parts, Setup, start};
