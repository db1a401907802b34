//! The composition root: configuration → build → serve → drain. The only
//! reader of the configuration after start.

mod announce;
mod created;
mod failure;
mod holder;
mod listeners;
mod running;
mod scrape;
mod serve;
mod signals;
mod words;

pub use failure::{Failure, ListenError};
pub use serve::run;
