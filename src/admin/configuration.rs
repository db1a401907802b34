//! How the configuration stands, for the API.

use super::answer::Desk;
use super::api::{ConfigView, ReloadView, rfc3339};
use super::reply::{Answer, json};
use http::StatusCode;

impl Desk {
    pub(super) fn configuration(&self) -> Answer {
        let site = self.pages.site();
        let standing = site.reloads.standing();
        let last_reload = standing.last.as_ref().map(|last| ReloadView {
            at: rfc3339(last.at),
            successful: last.failure.is_none(),
            message: last.failure.clone(),
        });
        let view = ConfigView {
            file: site.file.clone(),
            loaded_at: rfc3339(standing.loaded_at),
            last_reload,
            needs_restart: standing
                .needs_restart
                .iter()
                .map(ToString::to_string)
                .collect(),
        };
        json(StatusCode::OK, &view)
    }
}
