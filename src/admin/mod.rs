//! The admin listener (account API, health, metrics) and the probes listener
//! (health and metrics only). Both run on the cold runtime.

mod answer;
pub mod api;
mod guard;
mod ready;
mod server;
pub mod session;
pub mod token;

pub use answer::{Desk, Scrape, Surface};
pub use ready::Readiness;
pub use server::serve;
