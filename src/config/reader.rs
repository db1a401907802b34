//! Reads one map by its section of the table: unknown, repeated, missing and
//! not yet available keys are reported when it is opened, bad values when they
//! are taken. What could not be read falls back to something harmless, since a
//! configuration with a mistake is never used.

use super::keys::{Choice, Key, Kind, Need, Section};
use super::mistakes::Mistake;
use super::scalar::{self, Context, Scalar};
use super::values;
use super::written::{Node, Place, Word};
use crate::base::template::{Template, TemplateError, UrlTemplate};
use std::time::Duration;

/// Something with the scalar that it was read from.
#[derive(Clone, Debug)]
pub(super) struct Located<T> {
    pub value: T,
    pub from: Scalar,
}

/// An open map.
pub(super) struct Reader<'n, 'c> {
    pub ctx: &'c Context<'c>,
    section: &'static Section,
    /// Where the map as a whole is reported.
    pub place: Place,
    entries: Vec<(&'static Key, &'n Word, &'n Node)>,
}

impl<'n, 'c> Reader<'n, 'c> {
    /// Opens a map; `place` is where a missing key is reported.
    pub fn open(
        ctx: &'c Context<'c>,
        section: &'static Section,
        node: &'n Node,
        place: Place,
    ) -> Option<Self> {
        let entries = match node {
            Node::Map(_, entries) => entries.as_slice(),
            _ if node.is_null() => &[],
            _ => {
                let what = format!("{} must be a map of keys", section.what);
                let names: Vec<_> = section.keys.iter().map(|key| key.name).collect();
                let expected = format!("the keys {}", names.join(", "));
                ctx.report(Mistake::error(node.place(), what).expected(expected));
                return None;
            }
        };
        let mut reader = Self::empty(ctx, section, place);
        for (word, node) in entries {
            reader.take(word, node);
        }
        reader.report_missing();
        Some(reader)
    }

    /// A map that is not written: every key has its default.
    fn empty(ctx: &'c Context<'c>, section: &'static Section, place: Place) -> Self {
        Self {
            ctx,
            section,
            place,
            entries: Vec::new(),
        }
    }

    fn take(&mut self, word: &'n Word, node: &'n Node) {
        let Some(key) = self.section.key(&word.text) else {
            self.report_unknown(word);
            return;
        };
        if let Some((_, first, _)) = self.entries.iter().find(|(k, ..)| k.name == key.name) {
            let what = format!("`{}` is written twice", key.name);
            let expected = format!("it once; it is also in line {}", first.place.line);
            self.ctx
                .report(Mistake::error(word.place, what).expected(expected));
            return;
        }
        if key.later {
            let what = format!("`{}` is not in this version", key.name);
            self.ctx.report(Mistake::error(word.place, what));
        }
        self.entries.push((key, word, node));
    }

    fn report_unknown(&self, word: &Word) {
        let names = self.section.keys.iter().map(|key| key.name);
        let what = format!(
            "{} has no key `{}`",
            self.section.what,
            scalar::shortened(&word.text)
        );
        let all: Vec<_> = names.clone().collect();
        self.ctx.report(
            Mistake::error(word.place, what)
                .expected(format!("one of {}", all.join(", ")))
                .did_you_mean(&word.text, names),
        );
    }

    fn report_missing(&self) {
        for key in self.section.keys {
            if key.need == Need::Required && self.node(key.name).is_none() {
                let what = format!("{} lacks `{}`", self.section.what, key.name);
                let mistake = Mistake::error(self.place, what);
                self.ctx.report(mistake.expected(kind_in_words(key.kind)));
            }
        }
    }

    /// A key's node in a map that is not opened.
    pub fn node_in(node: &'n Node, name: &str) -> Option<&'n Node> {
        match node {
            Node::Map(_, entries) => entries
                .iter()
                .find(|(key, _)| key.text == name)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    /// What is written for a key.
    pub fn node(&self, name: &str) -> Option<&'n Node> {
        let found = self.entries.iter().find(|(key, ..)| key.name == name);
        found.map(|(_, _, node)| *node)
    }

    /// Where a key is written; the map's own place if it isn't.
    pub fn key_place(&self, name: &str) -> Place {
        let found = self.entries.iter().find(|(key, ..)| key.name == name);
        found.map_or(self.place, |(_, word, _)| word.place)
    }

    fn key(&self, name: &str) -> Option<&'static Key> {
        let key = self.section.key(name);
        debug_assert!(key.is_some(), "{name} is not in the table");
        key
    }

    fn default(&self, name: &str) -> &'static str {
        match self.key(name).map(|key| key.need) {
            Some(Need::Default(text)) => text,
            _ => "",
        }
    }

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
        let scalar = self.text(name)?;
        match UrlTemplate::parse(&scalar.text) {
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

    /// A map of the writer's own names; repeated ones are reported.
    pub fn pairs(&self, name: &str) -> Vec<(&'n Word, &'n Node)> {
        let entries = match self.node(name) {
            None => return Vec::new(),
            Some(node) if node.is_null() => return Vec::new(),
            Some(Node::Map(_, entries)) => entries,
            Some(other) => {
                let what = format!("`{name}` must be a map of names and values");
                self.ctx.report(Mistake::error(other.place(), what));
                return Vec::new();
            }
        };
        let mut pairs: Vec<(&Word, &Node)> = Vec::new();
        for (word, node) in entries {
            if pairs.iter().any(|(first, _)| first.text == word.text) {
                let what = format!("`{}` is written twice", scalar::shortened(&word.text));
                self.ctx.report(Mistake::error(word.place, what));
            } else {
                pairs.push((word, node));
            }
        }
        pairs
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

    /// The items of a list; none where it is not written.
    pub fn list(&self, name: &str) -> &'n [Node] {
        match self.node(name) {
            Some(Node::Sequence(_, items)) => items,
            None => &[],
            Some(node) if node.is_null() => &[],
            Some(other) => {
                let what = format!("`{name}` must be a list");
                self.ctx.report(
                    Mistake::error(other.place(), what)
                        .expected("`[…]`, or lines that begin with `- `"),
                );
                &[]
            }
        }
    }

    /// The scalars of a list.
    pub fn texts(&self, name: &str) -> Vec<Scalar> {
        let items = self.list(name).iter();
        items
            .filter_map(|item| scalar::resolve(self.ctx, item, false))
            .collect()
    }

    /// The numbers of a list; the given ones where it is not written.
    pub fn numbers(&self, name: &str, min: u64, max: u64) -> Vec<Located<usize>> {
        let mut numbers = Vec::new();
        for scalar in self.texts(name) {
            if let Some(value) = bounded(&scalar.text, min, max) {
                numbers.push(Located {
                    value,
                    from: scalar,
                });
                continue;
            }
            let what = format!("`{name}` can't hold {}", scalar.named());
            let expected = number_in_words(min, max);
            self.ctx
                .report(Mistake::error(scalar.place, what).expected(expected));
        }
        numbers
    }

    /// The map under a key; where it is not written, one in which every key has its default.
    pub fn section(&self, name: &str) -> Option<Reader<'n, 'c>> {
        let Some(Kind::Section(section)) = self.key(name).map(|key| key.kind) else {
            return None;
        };
        let place = self.key_place(name);
        match self.node(name) {
            Some(node) => Reader::open(self.ctx, section, node, place),
            None => Some(Reader::empty(self.ctx, section, place)),
        }
    }
}

fn bounded(text: &str, min: u64, max: u64) -> Option<usize> {
    let number = values::number(text).filter(|n| (min..=max).contains(n))?;
    usize::try_from(number).ok()
}

fn number_in_words(min: u64, max: u64) -> String {
    format!("a number from {min} to {max}")
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    match names.split_last() {
        None => String::new(),
        Some((only, [])) => (*only).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

fn kind_in_words(kind: Kind) -> String {
    match kind {
        Kind::Choice(choices) => listed(choices.iter().filter(|c| !c.later).map(|c| c.name)),
        Kind::Url => "an `http` or `https` URL".to_owned(),
        Kind::Address => values::ADDRESS.to_owned(),
        Kind::Bool => values::BOOL.to_owned(),
        Kind::Section(section) => section.what.to_owned(),
        _ => "it to be written".to_owned(),
    }
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
