//! What is known to be wrong, of the few accounts with which something is.

use crate::base::backoff::Backoff;
use crate::refresh::status::LastError;
use std::time::Duration;

/// What has gone wrong.
#[derive(Debug, PartialEq)]
pub struct Trouble {
    pub pauses: Backoff,
    /// Unreadable 400s and 401s in a row.
    pub unreadable: u32,
    pub last_error: Option<LastError>,
}

impl Default for Trouble {
    fn default() -> Self {
        Self {
            pauses: Backoff::new(Duration::from_secs(1), Duration::from_mins(1)),
            unreadable: 0,
            last_error: None,
        }
    }
}
