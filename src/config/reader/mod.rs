//! Reads one map by its section of the table: unknown, repeated, missing and
//! not yet available keys are reported when it is opened, bad values when they
//! are taken. What could not be read falls back to something harmless, since a
//! configuration with a mistake is never used.

mod leaves;

pub(super) use leaves::Located;

use super::keys::{Key, Kind, Need, Section};
use super::mistakes::Mistake;
use super::scalar::{self, Context};
use super::values;
use super::written::{Node, Place, Word};

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
            // It may be a slip in the name of one whose value is secret.
            self.ctx.hide(node.place());
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
        self.entries.push((key, word, node));
    }

    fn report_unknown(&self, word: &Word) {
        let names = self.section.keys.iter().map(|key| key.name);
        let what = format!(
            "{} has no key `{}`",
            self.section.what,
            scalar::shortened(&word.text)
        );
        let mut mistake = Mistake::error(word.place, what).did_you_mean(&word.text, names.clone());
        // With a likely candidate the whole list would only hide it.
        if mistake.suggestion.is_none() {
            mistake = mistake.expected(listed(names));
        }
        self.ctx.report(mistake);
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
        Kind::Listening => values::LISTENING.to_owned(),
        Kind::Bool => values::BOOL.to_owned(),
        Kind::Section(section) => section.what.to_owned(),
        _ => "it to be written".to_owned(),
    }
}
