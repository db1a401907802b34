//! `sidekey check`: every mistake at once, each at its place.

use crate::support::sidekey::run_to_end;
use std::path::Path;

/// Line, column (1-based, as editors count) and a part of the text.
const MISTAKES: &[(usize, &str)] = &[
    (5, "client_credential"),
    (8, "client_sekret"),
    (11, "crn"),
    (14, "htp://"),
    (10, "tenant"),
];

const FIVE: &str = "\
integrations:
  - key: crm
    parameters: [tenant]
    oauth2:
      grant_type: client_credential
      token_endpoint: https://as.example/{tenant}/token
      client_id: abc
      client_sekret: {env: TEST_CLIENT_SECRET}
accounts:
  - {key: one, integration: crm}
  - {key: two, integration: crn}
routes:
  - path: /crm/
    upstream: htp://api.example/
    account: one
";

fn check(text: &str) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sidekey.yaml");
    std::fs::write(&file, text).unwrap();
    run_to_end(&["check", "--config", file.to_str().unwrap()])
}

#[test]
fn five_different_mistakes_are_all_named_with_line_and_column() {
    let (code, said) = check(FIVE);
    assert_eq!(code, 1, "{said}");
    for (line, part) in MISTAKES {
        let place = format!("sidekey.yaml:{line}:");
        let placed = said.lines().filter_map(|l| l.split_once(&place));
        let columned = |rest: &str| {
            rest.split(':')
                .next()
                .is_some_and(|c| c.parse::<usize>().is_ok())
        };
        assert!(
            placed.clone().any(|(_, rest)| columned(rest)),
            "no mistake at {place} in\n{said}"
        );
        assert!(said.contains(part), "{part}: not in\n{said}");
    }
    for suggestion in ["client_credentials", "client_secret"] {
        assert!(said.contains(suggestion), "{suggestion}: not in\n{said}");
    }
}

#[test]
fn what_is_not_yaml_is_said_with_its_place() {
    let (code, said) = check("listen: [\n");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("sidekey.yaml:"), "{said}");
}

#[test]
fn a_file_that_is_not_there() {
    let (code, said) = run_to_end(&["check", "--config", "/nowhere/sidekey.yaml"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("/nowhere/sidekey.yaml"), "{said}");
}

#[test]
fn run_refuses_the_same_file_before_it_listens() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sidekey.yaml");
    std::fs::write(&file, FIVE).unwrap();
    let (code, said) = run_to_end(&["run", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("sidekey.yaml:5:"), "{said}");
}

#[test]
fn every_example_passes() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).expect("config/") {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let (code, said) = run_to_end(&["check", "--config", path.to_str().unwrap()]);
            assert_eq!(code, 0, "{}:\n{said}", path.display());
            count += 1;
        }
    }
    assert!(count >= 4, "only {count} examples");
}

#[test]
fn every_command_has_a_help_worth_reading() {
    for command in ["run", "check", "demo", "health", "accounts", "refresh"] {
        let (code, said) = run_to_end(&[command, "--help"]);
        assert_eq!(code, 0, "{command}: {said}");
        assert!(said.lines().count() >= 5, "{command}: {said}");
    }
    let (code, said) = run_to_end(&["--version"]);
    assert!(
        code == 0 && said.contains(env!("CARGO_PKG_VERSION")),
        "{said}"
    );
}
