//! The admin listener (the page, account API, connecting in a browser, health, metrics) and the probes listener
//! (health and metrics only). Both run on the cold runtime.

mod accounts;
mod answer;
pub mod api;
mod body;
mod configuration;
mod connecting;
mod guard;
mod openapi;
mod page;
mod place;
mod plain;
mod ready;
mod reply;
mod server;
pub mod session;
pub mod token;

pub use answer::{Desk, Parts, Scrape, Surface};
pub use page::Site;
pub use ready::Readiness;
pub use server::serve;
