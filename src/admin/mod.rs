//! The admin listener (account API, connecting in a browser, health, metrics) and the probes listener
//! (health and metrics only). Both run on the cold runtime.

mod accounts;
mod answer;
pub mod api;
mod connecting;
mod guard;
mod place;
mod plain;
mod ready;
mod reply;
mod server;
pub mod session;
pub mod token;

pub use answer::{Desk, Parts, Scrape, Surface};
pub use ready::Readiness;
pub use server::serve;
