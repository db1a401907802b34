//! The parameters that an integration declares.

use crate::config::checked::ParameterSpec;
use crate::config::keys::table::integration::PARAMETER;
use crate::config::mistakes::Mistake;
use crate::config::reader::{Reader, listed};
use crate::config::scalar::{Context, Scalar, is_source, resolve};
use crate::config::written::{Node, Place};
use regex_lite::Regex;

/// A declared parameter.
pub(super) struct Parameter {
    pub spec: ParameterSpec,
    pub place: Place,
    pattern: Option<Regex>,
}

impl Parameter {
    /// Reports a value that is not allowed.
    pub fn check(&self, ctx: &Context<'_>, value: &Scalar) {
        let name = &self.spec.name;
        let what = || format!("parameter `{name}` can't be {}", value.named());
        if let Some(pattern) = &self.pattern
            && !pattern.is_match(&value.text)
        {
            let written = self.spec.pattern.as_deref().unwrap_or_default();
            let mistake = Mistake::error(value.place, what());
            ctx.report(mistake.expected(format!("a value that matches `{written}` as a whole")));
        }
        if let Some(choices) = &self.spec.choices
            && !choices.contains(&value.text)
        {
            let mistake = Mistake::error(value.place, what());
            let names = || choices.iter().map(String::as_str);
            let expected = listed(names());
            let mistake = mistake.expected(expected);
            ctx.report(match value.secret {
                true => mistake,
                false => mistake.did_you_mean(&value.text, names()),
            });
        }
    }
}

/// Reads the declarations of an integration.
pub(super) fn read(reader: &Reader<'_, '_>) -> Vec<Parameter> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for node in reader.list("parameters") {
        let Some(parameter) = parameter(reader.ctx, node) else {
            continue;
        };
        let name = &parameter.spec.name;
        if parameters.iter().any(|p| p.spec.name == *name) {
            let what = format!("parameter `{name}` is declared twice");
            reader.ctx.report(Mistake::error(parameter.place, what));
        } else {
            parameters.push(parameter);
        }
    }
    parameters
}

fn parameter(ctx: &Context<'_>, node: &Node) -> Option<Parameter> {
    if !matches!(node, Node::Map(..)) || is_source(node) {
        let name = resolve(ctx, node, false).filter(|name| is_parameter_name(ctx, name))?;
        return Some(Parameter {
            place: name.place,
            spec: bare_spec(name.text),
            pattern: None,
        });
    }
    let reader = Reader::open(ctx, &PARAMETER, node, node.place())?;
    let name = reader
        .text("name")
        .filter(|name| is_parameter_name(ctx, name));
    let secret = reader.boolean("secret");
    let default = reader.text_secret("default", secret);
    let choices = reader.node("enum").map(|_| {
        let texts = reader.texts("enum").into_iter();
        texts.map(|choice| choice.text).collect::<Vec<_>>()
    });
    let (pattern, regex) = pattern(&reader).unzip();
    let name = name?;
    let parameter = Parameter {
        place: name.place,
        pattern: regex,
        spec: ParameterSpec {
            title: reader.text("title").map(|title| title.text),
            pattern,
            choices,
            default: default.as_ref().map(|d| d.text.clone()),
            secret,
            ..bare_spec(name.text)
        },
    };
    if let Some(default) = &default {
        parameter.check(ctx, default);
    }
    Some(parameter)
}

fn bare_spec(name: String) -> ParameterSpec {
    ParameterSpec {
        name,
        title: None,
        pattern: None,
        choices: None,
        default: None,
        secret: false,
    }
}

/// Reports what can't be one.
fn is_parameter_name(ctx: &Context<'_>, name: &Scalar) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.text == "token" {
        let what = "`token` can't be a parameter: it stands for the token itself";
        ctx.report(Mistake::error(name.place, what));
        return false;
    }
    if name.text.is_empty() || !name.text.bytes().all(fits) {
        let what = format!("{} can't be a parameter's name", name.named());
        let mistake = Mistake::error(name.place, what);
        ctx.report(mistake.expected("letters, digits and `_`"));
        return false;
    }
    true
}

fn pattern(reader: &Reader<'_, '_>) -> Option<(String, Regex)> {
    let written = reader.text("pattern")?;
    // Alone first: a pattern may close the group that is put around it.
    let compiled =
        Regex::new(&written.text).and_then(|_| Regex::new(&format!("^(?:{})$", written.text)));
    match compiled {
        Ok(regex) => Some((written.text, regex)),
        Err(why) => {
            let what = format!("{} is no regular expression: {why}", written.named());
            reader.ctx.report(Mistake::error(written.place, what));
            None
        }
    }
}
