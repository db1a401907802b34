//! The table as the key reference of the docs.

use super::table::{ROOT, SOURCE};
use super::{Key, Kind, Need, Section};

/// The reference in Markdown: a table for each map of the configuration.
#[must_use]
pub fn reference() -> String {
    let mut out = String::new();
    for (path, section) in sections() {
        out.push_str(&format!("### {path}\n\n"));
        out.push_str("| key | type | when not written | meaning |\n| --- | --- | --- | --- |\n");
        for key in section.keys {
            out.push_str(&row(key));
        }
        out.push('\n');
    }
    out
}

/// Every map of the configuration with its path, outer ones first.
#[must_use]
pub fn sections() -> Vec<(String, &'static Section)> {
    let mut found = vec![("The file".to_owned(), &ROOT)];
    collect(&ROOT, "", &mut found);
    found.push(("In place of any scalar".to_owned(), &SOURCE));
    found
}

fn collect(section: &Section, prefix: &str, found: &mut Vec<(String, &'static Section)>) {
    for key in section.keys {
        collect_kind(key.kind, &format!("{prefix}{}", key.name), found);
    }
}

fn collect_kind(kind: Kind, path: &str, found: &mut Vec<(String, &'static Section)>) {
    match kind {
        Kind::Section(section) => {
            found.push((format!("`{path}`"), section));
            collect(section, &format!("{path}."), found);
        }
        Kind::List(item) => collect_kind(*item, &format!("{path}[]"), found),
        Kind::Either(kinds) => {
            for kind in kinds {
                collect_kind(*kind, path, found);
            }
        }
        _ => {}
    }
}

fn row(key: &Key) -> String {
    let absent = match key.need {
        Need::Required => "**required**".to_owned(),
        Need::Default(text) => format!("`{text}`"),
        Need::Optional(text) => text.to_owned(),
    };
    format!(
        "| `{}` | {} | {} | {} |\n",
        key.name,
        in_cell(&kind(key.kind)),
        in_cell(&absent),
        in_cell(key.text)
    )
}

fn in_cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn kind(of: Kind) -> String {
    match of {
        Kind::Text => "text".to_owned(),
        Kind::Template => "text with parameters".to_owned(),
        Kind::Url | Kind::UpstreamUrl => "URL with parameters".to_owned(),
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Number { min, max } => format!("number, {min} to {max}"),
        Kind::Duration => "duration".to_owned(),
        Kind::Size => "size".to_owned(),
        Kind::Address => "address".to_owned(),
        Kind::Listening => "address, `unix:/path`, `fd:NUMBER` or `systemd:NAME`".to_owned(),
        Kind::Choice(choices) => {
            let names = choices.iter().map(|choice| match choice.later {
                true => format!("`{}` (not in this version)", choice.name),
                false => format!("`{}`", choice.name),
            });
            names.collect::<Vec<_>>().join(", ")
        }
        Kind::Pairs => "names and texts".to_owned(),
        Kind::Choices => "names, each with a text or a list of texts".to_owned(),
        Kind::Section(_) => "map, see below".to_owned(),
        Kind::List(item) => format!("list of: {}", kind(*item)),
        Kind::Either(kinds) => {
            let kinds: Vec<_> = kinds.iter().map(|k| kind(*k)).collect();
            kinds.join("; or ")
        }
    }
}
