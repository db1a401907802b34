//! Taking values from an open map: text, templates, and what is more than text.

use super::{Reader, listed};
use crate::base::template::{Template, TemplateError, UrlTemplate};
use crate::config::checked::GRPC_UNAUTHENTICATED;
use crate::config::keys::{Choice, Kind};
use crate::config::mistakes::Mistake;
use crate::config::scalar::{self, Context, Scalar};
use crate::config::values;
use crate::config::written::{Node, Place, Word};
use std::time::Duration;

/// Something with the scalar that it was read from.
#[derive(Clone, Debug)]
pub struct Located<T> {
    pub value: T,
    pub from: Scalar,
}

impl Reader<'_, '_> {
    /// The default as if it were written where the map is.
    pub fn default_scalar(&self, name: &str) -> Option<Scalar> {
        let word = Word {
            text: self.default(name).to_owned(),
            place: self.place,
            plain: true,
        };
        (!word.text.is_empty()).then(|| Scalar::written(&word))
    }

    /// A scalar's text, wherever it comes from.
    pub fn text(&self, name: &str) -> Option<Scalar> {
        let secret = self.key(name).is_some_and(|key| key.secret);
        scalar::resolve(self.ctx, self.node(name)?, secret)
    }

    /// A scalar's text that may be a secret.
    pub fn text_secret(&self, name: &str, secret: bool) -> Option<Scalar> {
        scalar::resolve(self.ctx, self.node(name)?, secret)
    }

    /// Where a key's value is written; the map's own place if it isn't.
    pub fn value_place(&self, name: &str) -> Place {
        self.node(name).map_or(self.place, Node::place)
    }

    /// A scalar that must be written here.
    pub fn written(&self, name: &str) -> Option<Scalar> {
        match self.node(name)? {
            Node::Scalar(word) => Some(Scalar::written(word)),
            other => {
                let what = format!("`{name}` must be a text");
                self.ctx.report(Mistake::error(other.place(), what));
                None
            }
        }
    }

    /// A value by its parser; the default's where none is written.
    fn value<T>(&self, name: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let Some(scalar) = self.text(name) else {
            return parse(self.default(name));
        };
        let parsed = parse(&scalar.text);
        if parsed.is_none() {
            let what = format!("`{name}` can't be {}", scalar.named());
            self.ctx
                .report(Mistake::error(scalar.place, what).expected(expected));
        }
        parsed
    }

    pub fn duration(&self, name: &str) -> Duration {
        self.value(name, values::DURATION, values::duration)
            .unwrap_or_default()
    }

    pub fn size(&self, name: &str) -> usize {
        self.value(name, values::SIZE, values::size)
            .unwrap_or_default()
    }

    pub fn boolean(&self, name: &str) -> bool {
        self.value(name, values::BOOL, values::boolean)
            .unwrap_or_default()
    }

    pub fn number(&self, name: &str) -> usize {
        let Some(Kind::Number { min, max }) = self.key(name).map(|key| key.kind) else {
            return 0;
        };
        self.value(name, &number_in_words(min, max), |text| {
            bounded(text, min, max)
        })
        .unwrap_or_default()
    }

    /// The name of the chosen value, or an empty text.
    pub fn choice(&self, name: &str) -> &'static str {
        match self.key(name).map(|key| key.kind) {
            Some(Kind::Choice(choices)) => match self.text(name) {
                Some(scalar) => self.one_of(name, &scalar, choices),
                None => self.default(name),
            },
            _ => "",
        }
    }

    /// One of a closed list, or an empty text.
    pub fn one_of(&self, name: &str, scalar: &Scalar, choices: &'static [Choice]) -> &'static str {
        let chosen = choices.iter().find(|choice| choice.name == scalar.text);
        let what = match chosen {
            Some(choice) if !choice.later => return choice.name,
            Some(choice) => format!("`{name}: {}` is not in this version", choice.name),
            None => format!("`{name}` can't be {}", scalar.named()),
        };
        let names = || choices.iter().filter(|c| !c.later).map(|c| c.name);
        let mut mistake = Mistake::error(scalar.place, what).expected(listed(names()));
        if chosen.is_none() {
            mistake = mistake.did_you_mean(&scalar.text, names());
        }
        self.ctx.report(mistake);
        ""
    }

    pub fn template(&self, name: &str) -> Option<Located<Template>> {
        located_template(self.ctx, self.text(name)?)
    }

    /// A default as a template.
    pub fn template_of(&self, text: &str) -> Option<Located<Template>> {
        let word = Word {
            text: text.to_owned(),
            place: self.place,
            plain: true,
        };
        self.as_template(Scalar::written(&word))
    }

    /// A scalar's text as a template.
    pub fn as_template(&self, scalar: Scalar) -> Option<Located<Template>> {
        located_template(self.ctx, scalar)
    }

    pub fn url(&self, name: &str) -> Option<Located<UrlTemplate>> {
        self.parsed_url(self.text(name)?, UrlTemplate::parse)
    }

    /// A URL that may be an `h2c` one.
    pub fn upstream_url(&self, scalar: Scalar) -> Option<Located<UrlTemplate>> {
        self.parsed_url(scalar, UrlTemplate::parse_upstream)
    }

    fn parsed_url(
        &self,
        scalar: Scalar,
        parse: impl FnOnce(&str) -> Result<UrlTemplate, TemplateError>,
    ) -> Option<Located<UrlTemplate>> {
        match parse(&scalar.text) {
            Ok(value) => Some(Located {
                value,
                from: scalar,
            }),
            Err(error) => {
                report_template(self.ctx, &scalar, &error);
                None
            }
        }
    }

    /// A map of the writer's own names and templates.
    pub fn template_pairs(&self, name: &str) -> Vec<(String, Located<Template>)> {
        let pairs = self.pairs(name).into_iter();
        pairs
            .filter_map(|(word, node)| {
                let scalar = scalar::resolve(self.ctx, node, false)?;
                let template = located_template(self.ctx, scalar)?;
                Some((word.text.clone(), template))
            })
            .collect()
    }

    /// The scalars of a list.
    pub fn texts(&self, name: &str) -> Vec<Scalar> {
        let items = self.list(name).iter();
        items
            .filter_map(|item| scalar::resolve(self.ctx, item, false))
            .collect()
    }

    /// Statuses that reject a token: HTTP's as numbers, and gRPC's one as `grpc`.
    pub fn statuses(&self, name: &str, grpc: &'static str) -> Vec<u16> {
        let mut statuses = Vec::new();
        for scalar in self.texts(name) {
            let number = bounded(&scalar.text, 400, 499).and_then(|n| u16::try_from(n).ok());
            match number {
                Some(status) => statuses.push(status),
                None if scalar.text == grpc => statuses.push(GRPC_UNAUTHENTICATED),
                None => {
                    let what = format!("`{name}` can't hold {}", scalar.named());
                    let expected = format!("{}, or `{grpc}`", number_in_words(400, 499));
                    let mistake = Mistake::error(scalar.place, what);
                    self.ctx.report(mistake.expected(expected));
                }
            }
        }
        statuses
    }
}

fn bounded(text: &str, min: u64, max: u64) -> Option<usize> {
    let number = values::number(text).filter(|n| (min..=max).contains(n))?;
    usize::try_from(number).ok()
}

fn number_in_words(min: u64, max: u64) -> String {
    format!("a number from {min} to {max}")
}

fn located_template(ctx: &Context<'_>, scalar: Scalar) -> Option<Located<Template>> {
    match Template::parse(&scalar.text) {
        Ok(value) => Some(Located {
            value,
            from: scalar,
        }),
        Err(error) => {
            report_template(ctx, &scalar, &error);
            None
        }
    }
}

/// A secret's mistake lies at its start: an offset would tell of its text.
fn report_template(ctx: &Context<'_>, scalar: &Scalar, error: &TemplateError) {
    let place = match scalar.secret {
        true => scalar.place,
        false => scalar.place_at(error.offset),
    };
    ctx.note_unparsed(&scalar.text);
    ctx.report(Mistake::error(
        place,
        format!("{}: {}", scalar.named(), error.what),
    ));
}
