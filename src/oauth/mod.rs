//! Speaking with authorization servers: building a token request and reading
//! its answer are pure; [`Exchange`] does the network's part.

mod answer;
mod clients;
mod exchange;
mod failure;
pub mod jwks;
mod redact;
mod request;
mod response;

#[cfg(test)]
mod tests;

pub use answer::TokenAnswer;
pub use exchange::Exchange;
pub use failure::{Failure, FailureKind};
pub use redact::Redactor;
pub use request::{Grant, TokenRequest, build};
pub use response::{RawAnswer, read};
