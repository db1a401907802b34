//! Templates of plain text.

use super::error::{ExpandError, TemplateError};
use std::fmt;

/// Text with `{name}` parameters; `{{` and `}}` stand for braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub(super) parts: Vec<Part>,
}

/// A piece of a template, with the byte offset at which it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Literal { offset: usize, text: String },
    Parameter { offset: usize, name: String },
}

impl Part {
    pub(super) fn parameter(&self) -> Option<&str> {
        match self {
            Self::Parameter { name, .. } => Some(name),
            Self::Literal { .. } => None,
        }
    }
}

/// Finds a parameter's value.
pub type Lookup<'a, 'v> = &'a dyn Fn(&str) -> Option<&'v str>;

/// As it was written, but for doubled braces.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Literal { text, .. } => f.write_str(text)?,
                Part::Parameter { name, .. } => write!(f, "{{{name}}}")?,
            }
        }
        Ok(())
    }
}

impl Template {
    /// Takes a template as written.
    ///
    /// # Errors
    /// For a brace that neither belongs to a `{name}` nor is doubled.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut literal_offset = 0;
        let mut at = 0;
        while let Some(found) = text[at..].find(['{', '}']) {
            let brace = at + found;
            literal.push_str(&text[at..brace]);
            let rest = &text[brace..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push_str(&rest[..1]);
                at = brace + 2;
                continue;
            }
            let name = parameter_name(rest, brace)?;
            push_literal(&mut parts, literal_offset, &mut literal);
            at = brace + name.len() + 2;
            literal_offset = at;
            parts.push(Part::Parameter {
                offset: brace,
                name: name.to_owned(),
            });
        }
        literal.push_str(&text[at..]);
        push_literal(&mut parts, literal_offset, &mut literal);
        Ok(Self { parts })
    }

    /// Text that holds no parameters, whatever braces are in it.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        let mut parts = Vec::new();
        push_literal(&mut parts, 0, &mut text.to_owned());
        Self { parts }
    }

    /// The parameters in order, each as often as it is written.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.parameter_places().map(|(name, _)| name)
    }

    /// The parameters in order, with the byte offsets of their braces.
    pub fn parameter_places(&self) -> impl Iterator<Item = (&str, usize)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Parameter { offset, name } => Some((name.as_str(), *offset)),
            Part::Literal { .. } => None,
        })
    }

    /// The text with the values as they are.
    ///
    /// # Errors
    /// When a parameter has no value.
    pub fn expand(&self, lookup: Lookup<'_, '_>) -> Result<String, ExpandError> {
        let value_of = |name: &str| lookup(name).ok_or_else(|| ExpandError::missing(name));
        let mut length = 0;
        for part in &self.parts {
            length += match part {
                Part::Literal { text, .. } => text.len(),
                Part::Parameter { name, .. } => value_of(name)?.len(),
            };
        }
        // All at once: a value may be a secret, of which no copy is to stay behind.
        let mut out = String::with_capacity(length);
        for part in &self.parts {
            match part {
                Part::Literal { text, .. } => out.push_str(text),
                Part::Parameter { name, .. } => out.push_str(value_of(name)?),
            }
        }
        Ok(out)
    }

    /// Fills in what `lookup` knows and leaves the other parameters standing.
    #[must_use]
    pub fn fill(&self, lookup: Lookup<'_, '_>) -> Self {
        let filled = self.parts.iter().map(|part| match part {
            Part::Parameter { offset, name } => match lookup(name) {
                Some(value) => Part::Literal {
                    offset: *offset,
                    text: value.to_owned(),
                },
                None => part.clone(),
            },
            Part::Literal { .. } => part.clone(),
        });
        Self {
            parts: filled.collect(),
        }
    }
}

fn push_literal(parts: &mut Vec<Part>, offset: usize, literal: &mut String) {
    if !literal.is_empty() {
        parts.push(Part::Literal {
            offset,
            text: std::mem::take(literal),
        });
    }
}

/// The name in `{name}` at the start of `rest`, which stands at `offset`.
fn parameter_name(rest: &str, offset: usize) -> Result<&str, TemplateError> {
    if rest.starts_with('}') {
        let what = "a `}` without its `{`; a brace that is meant as text is written `}}`";
        return Err(TemplateError::at(offset, what));
    }
    let name_end = rest[1..]
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .map_or(rest.len(), |end| end + 1);
    if rest[name_end..].starts_with('}') {
        if name_end > 1 {
            return Ok(&rest[1..name_end]);
        }
        return Err(TemplateError::at(offset, "a parameter without a name"));
    }
    let what = "a `{` that begins no `{name}` of letters, digits and `_`; a brace that is meant \
                as text is written `{{`";
    Err(TemplateError::at(offset, what))
}

#[cfg(test)]
mod tests {
    use super::Template;
    use proptest::prelude::{any, proptest};

    fn expand(template: &str) -> String {
        Template::parse(template)
            .unwrap()
            .expand(&|name| (name == "a_1").then_some("{v}"))
            .unwrap()
    }

    #[test]
    fn parameters_and_doubled_braces() {
        assert_eq!(expand("x{a_1}y{{a_1}}"), "x{v}y{a_1}");
        assert_eq!(expand(""), "");
        let template = Template::parse("{a}{{{b}{a}").unwrap();
        assert_eq!(template.parameters().collect::<Vec<_>>(), ["a", "b", "a"]);
        let places: Vec<_> = template.parameter_places().map(|(_, at)| at).collect();
        assert_eq!(places, [0, 5, 8]);
    }

    #[test]
    fn lone_braces_are_errors_with_their_offset() {
        for (text, offset) in [("a}", 1), ("ab{", 2), ("{a", 0), ("{a b}", 0), ("ä{}", 2)] {
            assert_eq!(Template::parse(text).unwrap_err().offset, offset, "{text}");
        }
    }

    #[test]
    fn a_missing_value_names_its_parameter() {
        let error = Template::parse("{x}")
            .unwrap()
            .expand(&|_| None)
            .unwrap_err();
        assert_eq!(error.parameter.as_deref(), Some("x"));
    }

    #[test]
    fn filling_leaves_what_is_unknown() {
        let template = Template::parse("{scheme} {token}").unwrap();
        let filled = template.fill(&|name| (name == "scheme").then_some("{Bearer}"));
        assert_eq!(filled.parameters().collect::<Vec<_>>(), ["token"]);
        assert_eq!(filled.expand(&|_| Some("t")).unwrap(), "{Bearer} t");
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_literals_survive(text in any::<String>()) {
            let _ = Template::parse(&text);
            let doubled = text.replace('{', "{{").replace('}', "}}");
            assert_eq!(Template::parse(&doubled).unwrap().expand(&|_| None).unwrap(), text);
            assert_eq!(Template::literal(&text).expand(&|_| None).unwrap(), text);
        }
    }
}
