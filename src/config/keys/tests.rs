use super::reference::{reference, sections};
use super::schema::schema;
use super::{Kind, Need};
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- keys: begin -->\n";
const END: &str = "<!-- keys: end -->";

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a file with what the table says; with `SIDEKEY_BLESS=1` writes it.
fn up_to_date(path: &str, wanted: &str) {
    let path = in_repository(path);
    if std::env::var_os("SIDEKEY_BLESS").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == wanted,
        "{} does not say what the table of keys says: run \
         `SIDEKEY_BLESS=1 cargo test --lib config::keys`",
        path.display()
    );
}

#[test]
fn the_schema_is_up_to_date() {
    up_to_date("config/schema.json", &schema());
}

#[test]
fn the_reference_is_up_to_date() {
    let docs = std::fs::read_to_string(in_repository("docs/configuration.md")).unwrap();
    let (before, rest) = docs.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = format!("{before}{BEGIN}\n{}{END}{after}", reference());
    up_to_date("docs/configuration.md", &wanted);
}

#[test]
fn one_example_shows_every_key() {
    let example = std::fs::read_to_string(in_repository("config/every-key.yaml")).unwrap();
    let shown: Vec<_> = example
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .collect();
    for (path, section) in sections() {
        for key in section.keys {
            let written = format!("{}:", key.name);
            assert!(shown.contains(&written.as_str()), "{path}: {}", key.name);
        }
    }
}

#[test]
fn names_are_unique_and_explained() {
    for (path, section) in sections() {
        for (at, key) in section.keys.iter().enumerate() {
            let before = &section.keys[..at];
            assert!(
                before.iter().all(|k| k.name != key.name),
                "{path}: {}",
                key.name
            );
            assert!(!key.text.is_empty());
        }
    }
}

#[test]
fn every_default_is_a_value_of_its_kind() {
    for (path, section) in sections() {
        for key in section.keys {
            let Need::Default(text) = key.need else {
                continue;
            };
            let fits = match key.kind {
                Kind::Duration => crate::config::values::duration(text).is_some(),
                Kind::Size => crate::config::values::size(text).is_some(),
                Kind::Bool => crate::config::values::boolean(text).is_some(),
                Kind::Number { min, max } => {
                    crate::config::values::number(text).is_some_and(|n| n >= min && n <= max)
                }
                Kind::Choice(choices) => choices.iter().any(|c| c.name == text && !c.later),
                Kind::Address => crate::config::values::address(text).is_some(),
                _ => true,
            };
            assert!(fits, "{path}: {}: {text}", key.name);
        }
    }
}
