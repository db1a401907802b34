//! The table as a JSON Schema (draft 2020-12), for editors.

use super::table::{ROOT, SOURCE};
use super::{Key, Kind, Need, Section};
use serde_json::{Map, Value, json};

/// The schema of a configuration file, as text that ends with a line end.
#[must_use]
pub fn schema() -> String {
    let mut root = section(&ROOT);
    if let Value::Object(root) = &mut root {
        let draft = "https://json-schema.org/draft/2020-12/schema";
        root.insert("$schema".into(), draft.into());
        root.insert("title".into(), "sidekey's configuration".into());
        root.insert("$defs".into(), json!({ "source": source() }));
    }
    // The alternate form indents; a value of strings and numbers always serialises.
    format!("{root:#}\n")
}

/// What may stand for any scalar.
fn source() -> Value {
    let mut source = section(&SOURCE);
    if let Value::Object(source) = &mut source {
        let one = json!([{ "required": ["env"] }, { "required": ["file"] }]);
        source.insert("oneOf".into(), one);
        let description = "A value from the environment or from a file.";
        source.insert("description".into(), description.into());
    }
    // Its own values are written plainly.
    let plain = json!({ "type": ["string", "number", "boolean"] });
    for key in SOURCE.keys {
        let text = json!({ "description": description(key) });
        source["properties"][key.name] = merged(plain.clone(), text);
    }
    source
}

fn section(section: &Section) -> Value {
    let properties: Map<_, _> = section
        .keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<_> = section
        .keys
        .iter()
        .filter(|key| key.need == Need::Required)
        .map(|key| key.name)
        .collect();
    let mut schema = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(key: &Key) -> Value {
    let described = json!({ "description": description(key) });
    merged(one_of(alternatives(key.kind)), described)
}

fn description(key: &Key) -> String {
    let default = match key.need {
        Need::Required => String::new(),
        Need::Default(text) => format!(" Default: {text}."),
        Need::Optional(text) => format!(" When it is not written: {text}."),
    };
    format!("{}{default}", key.text)
}

fn one_of(mut alternatives: Vec<Value>) -> Value {
    match alternatives.len() {
        1 => alternatives.remove(0),
        _ => json!({ "anyOf": alternatives }),
    }
}

/// The forms that a value may have, each once.
fn alternatives(kind: Kind) -> Vec<Value> {
    let written = match kind {
        Kind::Text | Kind::Template => json!({ "type": ["string", "number", "boolean"] }),
        Kind::Url => json!({ "type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://" }),
        Kind::UpstreamUrl => {
            json!({ "type": "string", "pattern": "^([Hh][Tt][Tt][Pp][Ss]?|[Hh]2[Cc])://" })
        }
        Kind::Address | Kind::Listening => json!({ "type": "string" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Number { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Duration => json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$" }),
        Kind::Size => json!({ "type": "string", "pattern": "^[0-9]+ *(B|KiB|MiB|GiB)?$" }),
        Kind::Choice(choices) => {
            let names: Vec<_> = choices
                .iter()
                .filter(|c| !c.later)
                .map(|c| c.name)
                .collect();
            json!({ "enum": names })
        }
        Kind::Pairs => {
            let value = one_of(alternatives(Kind::Text));
            return vec![json!({ "type": "object", "additionalProperties": value })];
        }
        Kind::Choices => {
            let mut values = alternatives(Kind::Text);
            values.extend(alternatives(Kind::List(&Kind::Text)));
            let value = one_of(values);
            return vec![json!({ "type": "object", "additionalProperties": value })];
        }
        Kind::Section(inner) => return vec![section(inner)],
        Kind::List(item) => {
            let items = one_of(alternatives(*item));
            return vec![json!({ "type": "array", "items": items })];
        }
        Kind::Either(kinds) => return either(kinds),
    };
    let mut forms = vec![written, json!({ "$ref": "#/$defs/source" })];
    match kind {
        Kind::Duration => forms.push(json!({ "const": 0 })),
        Kind::Size => forms.push(json!({ "type": "integer", "minimum": 0 })),
        _ => {}
    }
    forms
}

fn either(kinds: &[Kind]) -> Vec<Value> {
    let mut all = Vec::new();
    for form in kinds.iter().flat_map(|kind| alternatives(*kind)) {
        if !all.contains(&form) {
            all.push(form);
        }
    }
    all
}

fn merged(mut schema: Value, more: Value) -> Value {
    if let (Value::Object(schema), Value::Object(more)) = (&mut schema, more) {
        schema.extend(more);
    }
    schema
}
