use super::reference::{reference, sections};
use super::schema::schema;
use super::{Kind, Need};
use crate::base::template::UrlTemplate;
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

/// An editor marks no upstream that sidekey takes.
#[test]
fn the_schema_takes_each_scheme_where_sidekey_does() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let route = &schema["properties"]["routes"]["items"]["anyOf"][0];
    let route = if route.is_null() {
        &schema["properties"]["routes"]["items"]
    } else {
        route
    };
    let upstream = &route["properties"]["upstream"]["anyOf"];
    let list = upstream
        .as_array()
        .unwrap()
        .iter()
        .find(|form| form["type"] == "array");
    let patterns = [upstream, &list.unwrap()["items"]["anyOf"]].map(|forms| {
        let pattern = forms[0]["pattern"].as_str().expect("the form of a URL");
        regex_lite::Regex::new(pattern).unwrap()
    });
    for url in [
        "http://a/",
        "HTTPS://a/",
        "h2c://a/",
        "H2C://a/",
        "h2://a/",
        "ftp://a/",
        "a/",
        "unix:/a",
    ] {
        let taken = UrlTemplate::parse_upstream(url).is_ok();
        for pattern in &patterns {
            assert_eq!(pattern.is_match(url), taken, "{url}");
        }
    }
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
