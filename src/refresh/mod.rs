//! When and why a token is fetched: a state machine without I/O, and the
//! scheduler that feeds it and is the only writer of tokens.

mod attach;
mod cell;
mod created;
mod entry;
mod fault;
mod fetch;
mod former;
mod history;
pub mod issuers;
mod machine;
mod owner;
mod people;
mod record;
mod records;
mod reload;
mod scheduler;
mod slots;
mod status;
mod watch;
mod wing;

#[cfg(test)]
mod tests;

pub use cell::{Cell, Glimpse};
pub use created::{Created, Unread, can_be_read, created};
pub use history::{Happening, History, Slice, What};
pub use people::{CreateError, Turn};
pub use record::StoredTokens;
pub use reload::{Counts, Reload, Wanted};
pub use status::{AccountState, AccountStatus, Attempt, LastError};
pub use wing::{Cells, Handle, ManualOutcome, Parts, Setup, start};
