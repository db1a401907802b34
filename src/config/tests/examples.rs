//! Every file in `config/` is right, and says so to a user who runs `check`.

use crate::config::check_report;
use std::path::Path;

#[test]
fn every_example_passes_the_check_without_a_remark() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let (report, good) = check_report(&path, &|_| None, false);
        assert!(good && report.ends_with(": no mistakes\n"), "{report}");
        assert_eq!(report.lines().count(), 1, "{report}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# yaml-language-server: $schema=./schema.json\n"));
        checked += 1;
    }
    assert!(checked >= 4, "{checked}");
}
