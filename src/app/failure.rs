//! Why the process could not start, or ended by itself.

use super::stored::StoreFailure;
use crate::account::ResolveError;
use crate::admin::token::TokenError;
use crate::base::id::AccountKey;
use crate::telemetry::log;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Why the process ended other than by being asked to.
#[derive(Debug)]
pub enum Failure {
    Log(log::StartError),
    /// Every address that can't be listened on.
    Listen(Vec<ListenError>),
    /// Every account whose parameters don't fit.
    Accounts(Vec<(AccountKey, ResolveError)>),
    AdminToken(TokenError),
    Store(StoreFailure),
    /// `io_uring` was asked for and can't be had.
    NoRing(String),
    /// Spans can't be sent; in words.
    Traces(String),
    /// The system refused something else.
    System {
        what: &'static str,
        why: io::Error,
    },
    /// The process that runs did not hand its listeners over.
    TakeOver(String),
    /// Routes that lead back to a listener of this process.
    OwnUpstream(Vec<String>),
    /// A part that must run as long as the process ended.
    Ended(String),
}

/// An address that can't be listened on.
#[derive(Debug)]
pub struct ListenError {
    pub address: SocketAddr,
    /// Who would have called there: "applications", "the admin API", "probes".
    pub callers: &'static str,
    /// The flag and the key that choose another address.
    pub flag: &'static str,
    pub key: &'static str,
    pub why: io::Error,
    /// The process that has the port, where that can be found out.
    pub holder: Option<String>,
}

impl Failure {
    /// For what the system refused, in a `map_err`.
    pub(super) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |why| Self::System { what, why }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(why) => why.fmt(f),
            Self::Listen(errors) => lines(f, errors),
            Self::Accounts(errors) => {
                let errors = errors
                    .iter()
                    .map(|(key, why)| format!("account {key}: {why}"));
                lines(f, &errors.collect::<Vec<_>>())
            }
            Self::AdminToken(why) => why.fmt(f),
            Self::Store(why) => why.fmt(f),
            Self::NoRing(why) => write!(
                f,
                "`workers.io` (--io, SIDEKEY_IO) asks for io_uring, which can't be had here: {why}. \
                 With `auto` sidekey uses epoll in such places"
            ),
            Self::Traces(why) => write!(f, "traces can't be sent: {why}"),
            Self::System { what, why } => write!(f, "{what}: {why}"),
            Self::TakeOver(why) => write!(
                f,
                "the sidekey that runs did not hand its listeners over, and goes on: {why}"
            ),
            Self::OwnUpstream(routes) => write!(
                f,
                "these routes lead back to sidekey itself: {}",
                routes.join(", ")
            ),
            Self::Ended(what) => write!(
                f,
                "{what} has ended, which it never should; the process ends too, so that whoever \
                 watches it starts a new one"
            ),
        }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        match self.why.kind() {
            io::ErrorKind::AddrInUse => {
                write!(f, "{address} is in use")?;
                if let Some(holder) = &self.holder {
                    write!(f, " by {holder}")?;
                }
            }
            io::ErrorKind::PermissionDenied => {
                write!(
                    f,
                    "{address}: this user may not use port {}",
                    address.port()
                )?;
            }
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "{address}: this machine has no such address")?;
            }
            _ => write!(f, "{address} can't be listened on: {}", self.why)?,
        }
        write!(
            f,
            "; it was meant for {}. Choose another with {} or with the key {}",
            self.callers, self.flag, self.key
        )
    }
}

/// One below the other, also after the program's name.
fn lines<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str("\n         ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}
