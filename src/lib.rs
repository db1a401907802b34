//! sidekey: a sidecar reverse proxy that injects OAuth tokens.
//!
//! Data flows one way: accept → route → account → attach → upstream → verdict
//! → (reject → replay) → respond. That is [`proxy`]. What fetches and keeps
//! tokens ([`oauth`], [`refresh`], [`store`]) is another wing; the two meet in
//! [`token`] and nowhere else. `tests/architecture.rs` holds the table of who
//! may import whom.
//!
//! The library exists for the binary, its tests and its fuzz targets; it
//! promises no stable interface.

pub mod account;
pub mod admin;
pub mod app;
pub mod base;
pub mod cli;
pub mod config;
pub mod connect;
pub mod net;
pub mod oauth;
pub mod proxy;
pub mod refresh;
pub mod store;
pub mod telemetry;
pub mod token;
