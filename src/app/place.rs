//! Where a listener for applications is, in words for people.

use crate::config::checked::listening::Listener;
use crate::config::checked::served::Served;
use crate::net::listen::Local;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

/// Where it is, once it is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    local: Local,
    tls: bool,
    /// As the configuration has it, where that says less than the address does.
    handed_over: Option<String>,
    /// What it serves; `None`: all routes.
    routes: Option<Served>,
}

impl Place {
    pub fn new(local: Local, listener: &Listener, is_inherited: bool) -> Self {
        Self {
            local,
            tls: listener.tls.is_some(),
            handed_over: is_inherited.then(|| listener.address.to_string()),
            routes: listener.routes.clone(),
        }
    }

    /// Its address, where it has one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self.local {
            Local::Tcp(address) => Some(address),
            Local::Unix(_) => None,
        }
    }

    /// The file of its socket, where it has one.
    pub fn unix(&self) -> Option<&Path> {
        match &self.local {
            Local::Tcp(_) => None,
            Local::Unix(path) => Some(path),
        }
    }

    /// What it serves; `None`: all routes.
    pub fn routes(&self) -> Option<&Served> {
        self.routes.as_ref()
    }

    /// True for the same listener, whatever it serves.
    pub fn is_of(&self, other: &Self) -> bool {
        let named = |place: &Self| (place.local.clone(), place.tls, place.handed_over.clone());
        named(self) == named(other)
    }

    /// Its address, where it speaks plain HTTP.
    pub fn plain(&self) -> Option<SocketAddr> {
        self.tcp().filter(|_| !self.tls)
    }
}

/// `https://0.0.0.0:7480`, `unix:/run/sidekey.sock`, `http://127.0.0.1:80 (fd:3)`
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.local, self.tls) {
            (Local::Tcp(address), false) => write!(f, "http://{address}")?,
            (Local::Tcp(address), true) => write!(f, "https://{address}")?,
            (local, false) => local.fmt(f)?,
            (local, true) => write!(f, "{local} (HTTPS)")?,
        }
        match &self.handed_over {
            Some(written) => write!(f, " ({written})"),
            None => Ok(()),
        }
    }
}
