//! What a test has shown of a protocol, with a real client and a real upstream:
//! `docs/features.md` is made of these lines and of nothing else.

use std::fs::OpenOptions;
use std::io::Write;

/// Notes that a feature works; the last line of a test that has shown it.
/// `./test` names the file; without one nothing is noted.
pub fn shown(protocol: &str, feature: &str, client: &str, upstream: &str) {
    let Some(path) = std::env::var_os("SIDEKEY_FEATURES") else {
        return;
    };
    let line = format!("{protocol}\t{feature}\t{client}\t{upstream}\n");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("the file of features opens");
    // One write: tests run beside each other.
    file.write_all(line.as_bytes())
        .expect("the file of features is written");
}
