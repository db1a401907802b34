//! What the page loads besides itself, each at an address that holds a hash of
//! its content, so that browsers keep it for ever and never keep an old one.

use std::sync::LazyLock;

/// A file that is part of the binary.
pub struct Asset {
    /// After `/assets/`.
    pub name: String,
    pub content_type: &'static str,
    pub content: &'static str,
}

/// Every file.
pub static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new(
        "page",
        "css",
        "text/css; charset=utf-8",
        include_str!("assets/page.css"),
    ),
    script: Asset::new(
        "page",
        "js",
        "text/javascript; charset=utf-8",
        include_str!("assets/page.js"),
    ),
    icon: Asset::new(
        "icon",
        "svg",
        "image/svg+xml",
        include_str!("assets/icon.svg"),
    ),
});

/// The files by their use.
pub struct Assets {
    pub style: Asset,
    pub script: Asset,
    pub icon: Asset,
}

impl Assets {
    /// The file with this name.
    pub fn find(&self, name: &str) -> Option<&Asset> {
        let all = [&self.style, &self.script, &self.icon];
        all.into_iter().find(|asset| asset.name == name)
    }
}

impl Asset {
    fn new(stem: &str, extension: &str, content_type: &'static str, content: &'static str) -> Self {
        let hash = fnv1a(content.as_bytes());
        Self {
            name: format!("{stem}-{hash:016x}.{extension}"),
            content_type,
            content,
        }
    }
}

/// Tells versions of our own files apart; nothing here needs to withstand anyone.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::{ASSETS, fnv1a};

    #[test]
    fn names_hold_a_hash_of_the_content() {
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        let style = &ASSETS.style;
        assert!(style.name.starts_with("page-") && style.name.ends_with(".css"));
        assert!(ASSETS.find(&style.name).is_some());
        assert!(ASSETS.find("page.css").is_none());
    }
}
