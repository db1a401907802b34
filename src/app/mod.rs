//! The composition root: configuration → build → serve → reload → drain. The only
//! reader of the configuration after start.

#[cfg(test)]
mod admin_tests;
mod announce;
mod back_end;
mod changes;
mod collector;
mod created;
mod doors;
mod failure;
mod fixed;
mod handover;
mod heap;
mod held;
mod holder;
mod keeping;
mod listeners;
mod own_proxies;
#[cfg(target_os = "linux")]
mod pages;
mod place;
mod reload;
mod rotated;
mod route_plan;
mod running;
mod scrape;
mod serve;
mod signals;
mod source;
mod stored;
mod wings;
mod words;

pub use failure::{Failure, ListenError};
pub use keeping::{export, import, rekey};
pub use serve::run;
pub use source::{Reading, Source, Watched};
pub use stored::StoreFailure;

/// Other systems tell less of a process's memory.
#[cfg(not(target_os = "linux"))]
mod pages {
    pub fn give_back() {}
    pub async fn give_back_at_rest() {}
}
