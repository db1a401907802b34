//! The admin listener (the page, account API, health, metrics) and the probes listener
//! (health and metrics only). Both run on the cold runtime.

mod answer;
pub mod api;
mod body;
mod guard;
pub mod page;
mod ready;
mod server;
pub mod session;
pub mod token;

pub use answer::{Desk, Scrape, Surface};
pub use ready::Readiness;
pub use server::serve;
