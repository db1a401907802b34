//! The inputs of an integration: templates that accounts fill in, and what
//! each must be once it is filled in.

use crate::base::template::{ExpandError, Lookup, Template, UrlTemplate};
use crate::config::checked::is_of_the_connection;
use crate::config::mistakes::Mistake;
use crate::config::reader::Located;
use crate::config::scalar::{Context, Scalar};
use crate::config::written::Place;
use http::{HeaderName, HeaderValue};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// One input.
pub(super) struct Input {
    /// As a path of keys: `oauth2.token_endpoint`.
    pub label: &'static str,
    pub from: Scalar,
    pub shape: Shape,
}

/// What an input is.
pub(super) enum Shape {
    Text(Template),
    Url(UrlTemplate),
    HeaderName(Template),
    HeaderValue(Template),
    /// As `HeaderValue` or `Text`, and `{token}` is the token.
    TokenHeader(Template),
    TokenText(Template),
    /// A query parameter's name: not empty.
    QueryName(Template),
}

impl Input {
    pub fn text(label: &'static str, located: &Located<Template>) -> Self {
        Self::new(label, &located.from, Shape::Text(located.value.clone()))
    }

    pub fn url(label: &'static str, located: &Located<UrlTemplate>) -> Self {
        Self::new(label, &located.from, Shape::Url(located.value.clone()))
    }

    pub fn new(label: &'static str, from: &Scalar, shape: Shape) -> Self {
        Self {
            label,
            from: from.clone(),
            shape,
        }
    }

    fn parameter_places(&self) -> Vec<(&str, usize)> {
        match &self.shape {
            Shape::Url(url) => url.parameter_places().collect(),
            Shape::Text(t)
            | Shape::HeaderName(t)
            | Shape::HeaderValue(t)
            | Shape::TokenHeader(t)
            | Shape::TokenText(t)
            | Shape::QueryName(t) => t.parameter_places().collect(),
        }
    }

    fn takes_token(&self) -> bool {
        matches!(self.shape, Shape::TokenHeader(_) | Shape::TokenText(_))
    }

    /// True when every account gives the same.
    pub fn is_fixed(&self) -> bool {
        let mut names = self.parameter_places().into_iter();
        names.all(|(name, _)| name == "token" && self.takes_token())
    }

    /// Reports parameters that are not declared, and notes those that are used.
    pub fn check_parameters(&self, ctx: &Context<'_>, declared: &Declared<'_>) {
        for (name, offset) in self.parameter_places() {
            if name == "token" {
                if !self.takes_token() {
                    let what = "`{token}` stands for the token, in `token.value` only";
                    ctx.report(Mistake::error(self.from.place_at(offset), what));
                }
                continue;
            }
            declared.check(ctx, name, self.from.place_at(offset));
        }
    }

    /// Whether the values fit.
    pub fn check_values(&self, lookup: Lookup<'_, '_>) -> Result<(), ExpandError> {
        match &self.shape {
            Shape::Text(t) => t.expand(lookup).map(drop),
            Shape::Url(url) => url.expand(lookup).map(drop),
            Shape::HeaderName(t) => header_name(&t.expand(lookup)?),
            Shape::HeaderValue(t) => header_value(&t.expand(lookup)?),
            Shape::TokenText(t) => t.expand(&with_token(lookup)).map(drop),
            Shape::TokenHeader(t) => header_value(&t.expand(&with_token(lookup))?),
            Shape::QueryName(t) if t.expand(lookup)?.is_empty() => unfit("the name is empty"),
            Shape::QueryName(_) => Ok(()),
        }
    }
}

fn with_token<'v>(lookup: Lookup<'_, 'v>) -> impl Fn(&str) -> Option<&'v str> {
    move |name| match name {
        "token" => Some("token"),
        _ => lookup(name),
    }
}

/// The parameters that an integration declares, and which of them are used.
pub(super) struct Declared<'a> {
    pub integration: &'a str,
    pub names: Vec<&'a str>,
    pub used: &'a RefCell<BTreeSet<String>>,
}

impl Declared<'_> {
    /// Reports a name that is not declared, and notes one that is.
    pub fn check(&self, ctx: &Context<'_>, name: &str, place: Place) {
        if self.names.contains(&name) {
            self.used.borrow_mut().insert(name.to_owned());
            return;
        }
        let what = format!(
            "integration `{}` has no parameter `{name}`",
            self.integration
        );
        let expected = match self.names.as_slice() {
            [] => "it to be declared under `parameters`".to_owned(),
            names => format!("one of {}, or another declared one", names.join(", ")),
        };
        ctx.report(
            Mistake::error(place, what)
                .expected(expected)
                .did_you_mean(name, self.names.iter().copied()),
        );
    }
}

fn header_name(name: &str) -> Result<(), ExpandError> {
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) if is_of_the_connection(&name) => {
            unfit("this header belongs to the connection and can't be set")
        }
        Ok(_) => Ok(()),
        Err(_) => unfit("not a valid header name"),
    }
}

fn header_value(value: &str) -> Result<(), ExpandError> {
    match HeaderValue::from_str(value) {
        Ok(_) => Ok(()),
        Err(_) => unfit("not a valid header value: it holds a control character"),
    }
}

fn unfit(what: &str) -> Result<(), ExpandError> {
    Err(ExpandError {
        parameter: None,
        what: what.to_owned(),
    })
}
