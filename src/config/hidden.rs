//! What an excerpt of a file must not show that is not YAML. Nothing is known of
//! it but its lines: what is shown is what a line's own look says to be harmless.

use super::keys::reference::sections;
use std::collections::HashSet;

/// In a key's name they say that its value may be secret.
const TELLING: [&str; 6] = ["secret", "token", "key", "password", "default", "hash"];

/// Stretches that are not to be shown, in characters from the start.
pub(super) fn stretches(text: &str) -> Vec<(usize, usize)> {
    let keys = harmless();
    let mut found = Vec::new();
    let mut inside = Inside::Nothing;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let width = line.chars().count();
        let content: Vec<char> = line.trim_end_matches(['\n', '\r']).chars().collect();
        if let Some(from) = inside.hidden_from(&content, &keys) {
            found.push((start + from, start + width));
        }
        start += width;
    }
    found
}

/// What the lines so far have begun.
enum Inside {
    Nothing,
    /// A block scalar (`|`, `>`) of a line that is indented so far.
    Block(usize),
    /// A quoted value that may be secret.
    Quotes(char),
}

impl Inside {
    /// From which character on the next line is hidden, if at all.
    fn hidden_from(&mut self, line: &[char], keys: &HashSet<&str>) -> Option<usize> {
        let indent = line.iter().take_while(|c| **c == ' ').count();
        let is_blank = indent == line.len();
        match *self {
            Self::Quotes(mark) => {
                if line.contains(&mark) {
                    *self = Self::Nothing;
                }
                return Some(0);
            }
            Self::Block(parent) if is_blank || indent > parent => return Some(0),
            Self::Block(_) | Self::Nothing => *self = Self::Nothing,
        }
        let hidden = secret_from(line, indent, keys);
        if opens_block(line) {
            *self = Self::Block(indent);
        } else if let Some(mark) = hidden.and_then(|from| left_open(&line[from..])) {
            *self = Self::Quotes(mark);
        }
        hidden
    }
}

/// Of a line by itself: everything behind the first key that is not known to be
/// harmless or word that may be such a key; all of it where there is no key.
fn secret_from(line: &[char], indent: usize, keys: &HashSet<&str>) -> Option<usize> {
    let mut any = false;
    let mut at = indent;
    while at < line.len() {
        let rest = &line[at..];
        let name = rest.iter().take_while(|c| is_of_name(**c)).count();
        let quoted = usize::from(matches!(rest.get(name), Some('"' | '\'')));
        let mut behind = rest[name + quoted..]
            .iter()
            .skip_while(|c| matches!(c, ' ' | '\t'));
        // As in JSON, what is quoted needs no blank behind its colon.
        let is_key = name + quoted > 0
            && behind.next() == Some(&':')
            && (quoted > 0 || matches!(behind.next(), None | Some(' ' | '\t')));
        let text: String = rest[..name].iter().collect();
        if is_key {
            any = true;
            if !keys.contains(text.as_str()) {
                return Some(at + name);
            }
        } else if is_telling(&text.to_lowercase()) {
            return Some(if any { at } else { indent });
        }
        at += (name + quoted).max(1);
    }
    let says_something = line.iter().any(|c| c.is_alphanumeric());
    (!any && says_something).then_some(indent)
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Keys of a configuration whose values may be shown.
fn harmless() -> HashSet<&'static str> {
    let sections = sections();
    let keys = sections.iter().flat_map(|(_, section)| section.keys);
    let harmless = keys.filter(|key| !key.secret && !is_telling(key.name));
    harmless.map(|key| key.name).collect()
}

fn is_telling(name: &str) -> bool {
    TELLING.iter().any(|telling| name.contains(telling))
}

/// True for `key: |`, with whatever may stand behind it.
fn opens_block(line: &[char]) -> bool {
    let text: String = line.iter().collect();
    let text = text
        .split_once(" #")
        .map_or(text.as_str(), |(value, _)| value);
    let value = text
        .trim_end()
        .trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
    [" |", " >", "\t|", "\t>"]
        .iter()
        .any(|end| value.ends_with(end))
}

/// The quote that a hidden value opens and does not close.
fn left_open(value: &[char]) -> Option<char> {
    let mark = *value.iter().find(|c| matches!(c, '"' | '\''))?;
    let count = value.iter().filter(|c| **c == mark).count();
    (count % 2 == 1).then_some(mark)
}

#[cfg(test)]
mod tests {
    use super::stretches;

    /// The text with everything hidden as stars.
    fn shown(text: &str) -> String {
        let hidden = stretches(text);
        let is_hidden = |at: usize| hidden.iter().any(|(from, to)| (*from..*to).contains(&at));
        let shown = text.chars().enumerate().map(|(at, c)| match c {
            '\n' => '\n',
            _ if is_hidden(at) => '*',
            _ => c,
        });
        shown.collect()
    }

    #[test]
    fn a_pasted_private_key_is_hidden_however_it_is_indented() {
        for indent in ["", "  ", "      ", "\t"] {
            for header in ["|", ">-", "|2+ # the key", "&anchor |"] {
                let text = format!(
                    "listen: 127.0.0.1:1\noauth2:\n    client_secret: {header}\n\
                     {indent}-----BEGIN PRIVATE KEY-----\n{indent}Proc-Type: hunter2\n\n\
                     {indent}hunter2+hunter2/hunter2==\n{indent}-----END PRIVATE KEY-----\n\
                     routes: [\n"
                );
                let shown = shown(&text);
                assert!(!shown.contains("hunter2"), "{shown}");
                assert!(!shown.contains("PRIVATE"), "{shown}");
                assert!(shown.contains("listen: 127.0.0.1:1"), "{shown}");
                assert!(shown.contains("routes: ["), "{shown}");
            }
        }
    }

    #[test]
    fn only_values_of_harmless_keys_are_shown() {
        for (line, wanted) in [
            ("  scope: api read", "  scope: api read"),
            ("  - name: a", "  - name: a"),
            ("  client_secret: hunter2", "  client_secret*********"),
            (
                "  client_secret : hunter2 scope: x",
                "  client_secret*******************",
            ),
            ("  pin: 1234", "  pin******"),
            (
                "  - {name: a, pin: 12, path: /x}",
                "  - {name: a, pin***************",
            ),
            ("  \"scope\": \"x\"", "  \"scope\": \"x\""),
            (
                "oauth2: {\"scope\": \"x\",\"client_secret\":\"hunter2\"]",
                "oauth2: {\"scope\": \"x\",\"client_secret************",
            ),
            (
                "{\"scope\":\"x\",\"pin\" :\"hunter2\"]",
                "{\"scope\":\"x\",\"pin*************",
            ),
            (
                "{\"scope\":\"x\",\"the pin \":\"hunter2\"]",
                "{\"scope\":\"x\",\"the pin ************",
            ),
            (
                "{name: a, clientSecret:hunter2]",
                "{name: a, *********************",
            ),
            ("  # scope: a", "  # scope: a"),
            ("  # hunter2", "  *********"),
            ("  - hunter2", "  *********"),
            ("]}", "]}"),
        ] {
            assert_eq!(shown(line), wanted);
        }
    }

    #[test]
    fn a_quote_that_is_left_open_hides_until_it_is_closed() {
        let text = "client_secret: \"hunter2\nscope: hunter2\npath: \"/x\"\npath: /y\n";
        let shown = shown(text);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.ends_with("path: /y\n"), "{shown}");
    }
}
