mod contract;
mod examples;
mod never_panics;
mod places;

use super::checked::Config;
use super::load_text;
use super::mistakes::Mistakes;

/// Loads with an environment in which `SET` and `SIDEKEY_STORE_KEY` are set.
fn load(text: &str) -> Result<Config, Mistakes> {
    load_text("test.yaml", text, &|name| match name {
        "SET" => Some("value-of-SET".into()),
        "SIDEKEY_STORE_KEY" => Some("00".repeat(32)),
        _ => None,
    })
}
