//! Every file in `config/` is right, and says so to a user who runs `check`.

use crate::config::checked::ClientSecret;
use crate::config::{check_report, load};
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

#[test]
fn files_are_found_from_the_folder_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidekey.yaml");
    let minimal = include_str!("../../../config/minimal.yaml")
        .replace("{env: CRM_CLIENT_ID, default: my-client}", "{file: id}")
        .replace(
            "{env: CRM_CLIENT_SECRET, default: change-me}",
            "{file: secret}",
        );
    std::fs::write(&path, minimal).unwrap();
    let (report, good) = check_report(&path, &|_| None, false);
    assert!(!good && report.ends_with(": 2 mistakes\n"), "{report}");
    std::fs::write(folder.path().join("id"), "the-id\r\n").unwrap();
    std::fs::write(folder.path().join("secret"), "the-secret\n").unwrap();
    let config = load(&path, &|_| None).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let oauth2 = &config.integrations[0].oauth2;
    assert_eq!(oauth2.client_id.expand(&|_| None).unwrap(), "the-id");
    let Some(ClientSecret::File(secret)) = &oauth2.client_secret else {
        panic!("{oauth2:?}")
    };
    assert_eq!(*secret, folder.path().join("secret"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let (report, good) = check_report(Path::new("/nowhere/sidekey.yaml"), &|_| None, false);
    assert!(!good);
    let start = "/nowhere/sidekey.yaml: error: can't be read: No such file";
    assert!(report.starts_with(start), "{report}");
    assert!(
        report.ends_with("/nowhere/sidekey.yaml: 1 mistake\n"),
        "{report}"
    );
}
