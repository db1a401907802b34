//! The composition root: configuration → build → serve → drain. The only
//! reader of the configuration after start.

#[cfg(test)]
mod admin_tests;
mod announce;
mod back_end;
mod created;
mod failure;
mod holder;
mod keeping;
mod listeners;
mod pages;
mod running;
mod scrape;
mod serve;
mod signals;
mod stored;
mod words;

pub use failure::{Failure, ListenError};
pub use keeping::{export, import, rekey};
pub use serve::run;
pub use stored::StoreFailure;
