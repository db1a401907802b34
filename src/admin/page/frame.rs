//! What is around every page.

use super::assets::ASSETS;
use crate::base::secret::Secret;

/// The values of `layout.html`.
pub struct Frame {
    /// The path of the public address, without a trailing slash.
    pub base: String,
    pub style: String,
    pub script: String,
    pub icon: String,
    pub version: &'static str,
    /// The session's text for forms; `None` without a session.
    pub csrf: Option<String>,
    /// Which entry of the menu this is.
    pub here: &'static str,
    /// Where changes to this page are told.
    pub events: Option<String>,
}

impl Frame {
    pub fn new(base: &str, csrf: Option<&Secret>, here: &'static str) -> Self {
        let asset = |name: &str| format!("{base}/assets/{name}");
        Self {
            base: base.to_owned(),
            style: asset(&ASSETS.style.name),
            script: asset(&ASSETS.script.name),
            icon: asset(&ASSETS.icon.name),
            version: env!("CARGO_PKG_VERSION"),
            csrf: csrf.map(|csrf| csrf.expose().to_owned()),
            here,
            events: None,
        }
    }

    /// The page hears of changes at this address.
    pub fn live(mut self, events: String) -> Self {
        self.events = Some(events);
        self
    }

    /// The text for forms, empty without a session.
    pub fn csrf(&self) -> String {
        self.csrf.clone().unwrap_or_default()
    }
}
