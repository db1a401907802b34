//! The wing as a whole: real tasks, a real store, tokio's paused time, and a
//! server that counts.

mod attaching;
mod many;
mod reload;
pub(super) mod stage;
mod wing;
