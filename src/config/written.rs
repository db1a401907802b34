//! The written layer: YAML as located text and nothing more. Scalars stay as
//! they are written (`0123`, `yes`, `1.10` are text), unknown and repeated keys
//! stay with their places; only what is not YAML fails here.

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput};
use std::collections::HashMap;

/// The largest file that is read.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;
/// How deep maps and lists may be nested.
const MAX_DEPTH: usize = 32;
/// How many nodes a file may have, aliases written out.
const MAX_NODES: usize = 1_000_000;

/// A stretch of the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// In characters from the start of the source.
    pub start: usize,
    /// In characters from the start of the source, exclusive.
    pub end: usize,
}

impl Place {
    /// The place some characters further on the same line, one character wide.
    #[must_use]
    pub fn further(self, characters: usize) -> Self {
        Self {
            line: self.line,
            column: self.column + characters,
            start: self.start + characters,
            end: self.start + characters + 1,
        }
    }
}

/// A piece of text with its place: a key, or a scalar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub place: Place,
    /// Without quotes or block marker.
    pub plain: bool,
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Scalar(Word),
    Sequence(Place, Vec<Node>),
    /// In order, repeated keys included.
    Map(Place, Vec<(Word, Node)>),
}

impl Node {
    /// Where it is written.
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            Self::Scalar(word) => word.place,
            Self::Sequence(place, _) | Self::Map(place, _) => *place,
        }
    }

    /// True for nothing at all, `~` and `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(word) if word.plain && matches!(word.text.as_str(), "" | "~" | "null"))
    }
}

/// What is not YAML, or past the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotYaml {
    pub place: Place,
    pub what: String,
}

/// Reads one YAML document; an empty one is an empty map.
///
/// # Errors
/// For what is not YAML, for more than one document, and past the limits.
pub fn read(text: &str) -> Result<Node, NotYaml> {
    if text.len() > MAX_BYTES {
        return Err(at(Place::first(), "larger than 8 MiB"));
    }
    let mut options = Options::default();
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut composer = Composer {
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        nodes: 0,
    };
    composer.document()
}

struct Composer<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// Finished anchored nodes, with their sizes.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'t> Composer<'t> {
    fn document(&mut self) -> Result<Node, NotYaml> {
        let mut root = None;
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                _ if root.is_some() => {
                    return Err(at(place, "a second document: one file holds one"));
                }
                event => root = Some(self.node(event, place, 0)?),
            }
        }
        Ok(match root {
            Some(node) if !node.is_null() => node,
            _ => Node::Map(Place::first(), Vec::new()),
        })
    }

    fn next(&mut self) -> Result<(Event<'t>, Place), NotYaml> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, place_of(&span))),
            Some(Err(error)) => Err(not_yaml(&error)),
            None => Ok((Event::StreamEnd, Place::default())),
        }
    }

    fn node(&mut self, event: Event<'t>, place: Place, depth: usize) -> Result<Node, NotYaml> {
        if depth > MAX_DEPTH {
            return Err(at(place, "nested too deeply"));
        }
        self.count(1, place)?;
        let before = self.nodes;
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let word = Word {
                    text: text.into_owned(),
                    place,
                    plain: style == ScalarStyle::Plain,
                };
                (Node::Scalar(word), anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.sequence(place, depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(place, depth)?, anchor),
            Event::Alias(anchor) => return self.alias(anchor, place),
            _ => return Err(at(place, "nothing that belongs here")),
        };
        if anchor != 0 {
            let size = self.nodes - before + 1;
            self.count(size, place)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok(node)
    }

    fn sequence(&mut self, place: Place, depth: usize) -> Result<Node, NotYaml> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => {
                    items.shrink_to_fit();
                    return Ok(Node::Sequence(place, items));
                }
                (event, place) => items.push(self.node(event, place, depth + 1)?),
            }
        }
    }

    fn map(&mut self, place: Place, depth: usize) -> Result<Node, NotYaml> {
        let mut entries = Vec::new();
        loop {
            let (event, key_place) = self.next()?;
            if event == Event::MappingEnd {
                // Most maps are small, and a large file has very many.
                entries.shrink_to_fit();
                return Ok(Node::Map(place, entries));
            }
            let Node::Scalar(key) = self.node(event, key_place, depth + 1)? else {
                return Err(at(key_place, "a key that is no text"));
            };
            let (event, value_place) = self.next()?;
            let value = self.node(event, value_place, depth + 1)?;
            entries.push((key, value));
        }
    }

    /// A copy of the anchored node; its places are those of the anchor, which
    /// is where a mistake in it is to be mended.
    fn alias(&mut self, anchor: usize, place: Place) -> Result<Node, NotYaml> {
        let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
            return Err(at(place, "an alias inside of what it stands for"));
        };
        self.count(size, place)?;
        Ok(node)
    }

    fn count(&mut self, more: usize, place: Place) -> Result<(), NotYaml> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            return Err(at(place, "more than a million values, aliases written out"));
        }
        Ok(())
    }
}

impl Place {
    /// The start of a file.
    #[must_use]
    pub fn first() -> Self {
        Self {
            line: 1,
            column: 1,
            start: 0,
            end: 0,
        }
    }
}

fn place_of(span: &Span) -> Place {
    Place {
        line: span.start.line().max(1),
        column: span.start.col() + 1,
        start: span.start.index(),
        end: span.end.index(),
    }
}

fn not_yaml(error: &ScanError) -> NotYaml {
    let mark = error.marker();
    let place = Place {
        line: mark.line().max(1),
        column: mark.col() + 1,
        start: mark.index(),
        end: mark.index() + 1,
    };
    at(place, &format!("not valid YAML: {}", error.info()))
}

fn at(place: Place, what: &str) -> NotYaml {
    NotYaml {
        place,
        what: what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, read};
    use proptest::prelude::{any, proptest};

    fn map(text: &str) -> Vec<(String, Node)> {
        match read(text).unwrap() {
            Node::Map(_, entries) => entries.into_iter().map(|(k, v)| (k.text, v)).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn text(node: &Node) -> (&str, usize, usize) {
        match node {
            Node::Scalar(word) => (&word.text, word.place.line, word.place.column),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn scalars_are_taken_as_written_with_their_places() {
        let entries =
            map("a: 0123\nb: yes\n\n  # text\nc: [1.10, \"ä\\n\", 'q']\nd: |\n  two\n  lines\n");
        assert_eq!(text(&entries[0].1), ("0123", 1, 4));
        assert_eq!(text(&entries[1].1), ("yes", 2, 4));
        let Node::Sequence(place, items) = &entries[2].1 else {
            panic!("{entries:?}")
        };
        assert_eq!((place.line, place.column), (5, 4));
        assert_eq!(text(&items[0]), ("1.10", 5, 5));
        assert_eq!(text(&items[1]), ("ä\n", 5, 11));
        assert_eq!(text(&items[2]), ("q", 5, 18));
        assert_eq!(text(&entries[3].1).0, "two\nlines\n");
    }

    #[test]
    fn repeated_keys_stay() {
        let entries = map("a: 1\na: 2\n");
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn an_empty_file_is_an_empty_map() {
        for empty in ["", "# nothing\n", "---\n", "~\n"] {
            assert!(map(empty).is_empty(), "{empty:?}");
        }
    }

    #[test]
    fn aliases_are_written_out_at_the_anchors_place() {
        let entries = map("a: &x {k: v}\nb: *x\n");
        assert_eq!(entries[0].1, entries[1].1);
    }

    #[test]
    fn what_is_not_yaml_has_a_place() {
        for (bad, line) in [
            ("a: 1\nb: [1,\n", 2),
            ("a: 1\n---\nb: 2\n", 3),
            ("a: *nowhere\n", 1),
            ("? [a]\n: b\n", 1),
            ("a: \"open\n", 1),
        ] {
            assert_eq!(read(bad).unwrap_err().place.line, line, "{bad:?}");
        }
    }

    #[test]
    fn alias_bombs_and_towers_are_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert!(read(&bomb).unwrap_err().what.contains("million"));
        assert!(read(&"[".repeat(10_000)).is_err());
        assert!(read(&"- ".repeat(10_000)).is_err());
        assert!(read(&"a:\n".repeat(3)).is_ok());
    }

    proptest! {
        #[test]
        fn reading_never_panics(noise in any::<String>(), yaml in "[a-c:&*\\[\\]{}?|>'\"!%@~#,\n -]{0,60}") {
            let _ = read(&noise);
            let _ = read(&yaml);
        }
    }
}
