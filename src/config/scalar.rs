//! Scalars with their sources: written in the file, or taken from the
//! environment or from another file.

use super::keys::table::SOURCE;
use super::mistakes::{Mistake, Severity, Source};
use super::reader::Reader;
use super::stamp::{Stamp, Stamps};
use super::written::{Node, Place, Word};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The largest file that may stand for a scalar.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// The largest file that is named by a value: the certificates of very many authorities.
const MAX_NAMED_FILE_BYTES: u64 = 1024 * 1024;

/// What reading a configuration needs, and where its mistakes are collected.
pub(super) struct Context<'a> {
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Relative paths start here.
    pub folder: PathBuf,
    mistakes: RefCell<Vec<Mistake>>,
    secrets: RefCell<Vec<(usize, usize)>>,
    /// Texts that are no templates: what they refer to is not known for sure.
    unparsed: RefCell<Vec<String>>,
    /// Files that values stand in, also those that can't be read.
    files: RefCell<BTreeSet<PathBuf>>,
    /// In which state those were that were read here.
    stamps: RefCell<Stamps>,
}

impl<'a> Context<'a> {
    pub fn new(folder: PathBuf, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            env,
            folder,
            mistakes: RefCell::default(),
            secrets: RefCell::default(),
            unparsed: RefCell::default(),
            files: RefCell::default(),
            stamps: RefCell::default(),
        }
    }

    pub fn report(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(mistake);
    }

    /// True once a mistake was reported that is more than a warning.
    pub fn has_errors(&self) -> bool {
        let mistakes = self.mistakes.borrow();
        mistakes.iter().any(|m| m.severity == Severity::Error)
    }

    /// Keeps a stretch of the file out of every excerpt.
    pub fn hide(&self, place: Place) {
        self.secrets.borrow_mut().push((place.start, place.end));
    }

    /// Notes a text that should have been a template.
    pub fn note_unparsed(&self, text: &str) {
        self.unparsed.borrow_mut().push(text.to_owned());
    }

    /// Whether such a text seems to use a parameter.
    pub fn may_be_used(&self, parameter: &str) -> bool {
        let written = format!("{{{parameter}");
        self.unparsed
            .borrow()
            .iter()
            .any(|text| text.contains(&written))
    }

    pub fn path(&self, written: &str) -> PathBuf {
        self.folder.join(written)
    }

    pub fn into_parts(self, name: &str, text: &str) -> (Source, Vec<Mistake>) {
        let source = Source {
            name: name.to_owned(),
            text: text.to_owned(),
            secrets: self.secrets.into_inner(),
            files: self.files.into_inner().into_iter().collect(),
            stamps: self.stamps.into_inner(),
        };
        (source, self.mistakes.into_inner())
    }
}

/// Where a scalar's text came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Written { plain: bool },
    Env(String),
    File(PathBuf),
}

/// A scalar's text, its place in the configuration, and its source.
#[derive(Clone)]
pub(super) struct Scalar {
    pub text: String,
    pub place: Place,
    pub origin: Origin,
    pub secret: bool,
}

impl Scalar {
    pub fn written(word: &Word) -> Self {
        Self {
            text: word.text.clone(),
            place: word.place,
            origin: Origin::Written { plain: word.plain },
            secret: false,
        }
    }

    /// How a mistake names the value: quoted where it can be seen in the file
    /// anyway, else only by its source.
    pub fn named(&self) -> String {
        match &self.origin {
            _ if self.secret => "this value".to_owned(),
            Origin::Written { .. } => format!("`{}`", shortened(&self.text)),
            Origin::Env(name) => format!("the value of the environment variable {name}"),
            Origin::File(path) => format!("the content of {}", path.display()),
        }
    }

    /// The place of a byte offset in the text, as near as the notation allows.
    pub fn place_at(&self, offset: usize) -> Place {
        if offset == 0 {
            return self.place;
        }
        let before = self.text.get(..offset).unwrap_or_default();
        let characters = before.chars().count();
        let width = self.place.end.saturating_sub(self.place.start);
        let length = self.text.chars().count();
        match self.origin {
            Origin::Written { plain: true } if width == length => self.place.further(characters),
            // Quotes, and nothing escaped between them.
            Origin::Written { plain: false } if width == length + 2 => {
                self.place.further(characters + 1)
            }
            _ => self.place,
        }
    }
}

/// Shows nothing of the text, which may be a secret.
impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scalar")
            .field("place", &self.place)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// Text for a message: on one line, and not too long.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(LONGEST).map(clean).collect();
    if text.chars().count() > LONGEST {
        short.push('…');
    }
    short
}

/// True for `{env: …}` and `{file: …}`, which stand for a scalar.
pub(super) fn is_source(node: &Node) -> bool {
    match node {
        Node::Map(_, entries) => entries
            .iter()
            .any(|(key, _)| key.text == "env" || key.text == "file"),
        _ => false,
    }
}

/// The scalar that a node is or stands for; reports what it is not.
pub(super) fn resolve(ctx: &Context<'_>, node: &Node, secret: bool) -> Option<Scalar> {
    match node {
        _ if node.is_null() => {
            let mistake = Mistake::error(node.place(), "nothing is written here");
            ctx.report(mistake.expected("a value (an empty text is written `\"\"`)"));
            None
        }
        Node::Scalar(word) => {
            if secret {
                ctx.hide(word.place);
            }
            let mut scalar = Scalar::written(word);
            scalar.secret = secret;
            Some(scalar)
        }
        Node::Map(..) => from_elsewhere(ctx, node, secret),
        Node::Sequence(place, _) => {
            ctx.report(
                Mistake::error(*place, "a list, where one value belongs")
                    .expected("a value, `{env: NAME}` or `{file: PATH}`"),
            );
            None
        }
    }
}

fn from_elsewhere(ctx: &Context<'_>, node: &Node, secret: bool) -> Option<Scalar> {
    if !is_source(node) {
        ctx.report(
            Mistake::error(node.place(), "a map, where one value belongs")
                .expected("a value, `{env: NAME}` or `{file: PATH}`"),
        );
        return None;
    }
    if let Some(default) = Reader::node_in(node, "default").filter(|_| secret) {
        ctx.hide(default.place());
    }
    let reader = Reader::open(ctx, &SOURCE, node, node.place())?;
    let plain = |name: &str| reader.written(name);
    match (plain("env"), plain("file"), plain("default")) {
        (Some(name), None, default) => from_env(ctx, &name, default, secret),
        (None, Some(path), None) => from_file(ctx, &path, secret),
        (None, Some(path), Some(default)) => {
            let what = "a `default` beside `file`: it is for variables only";
            ctx.report(Mistake::error(default.place, what));
            from_file(ctx, &path, secret)
        }
        (Some(_), Some(file), _) => {
            let what = "both `env` and `file`: a value has one source";
            ctx.report(Mistake::error(file.place, what));
            None
        }
        (None, None, _) => None,
    }
}

fn from_env(
    ctx: &Context<'_>,
    name: &Scalar,
    default: Option<Scalar>,
    secret: bool,
) -> Option<Scalar> {
    if let Some(text) = (ctx.env)(&name.text) {
        return Some(Scalar {
            text,
            place: name.place,
            origin: Origin::Env(name.text.clone()),
            secret,
        });
    }
    if let Some(default) = default {
        return Some(Scalar { secret, ..default });
    }
    let what = format!(
        "the environment variable {} is not set",
        shortened(&name.text)
    );
    let expected = "the variable to be set, or a `default` beside `env`";
    ctx.report(Mistake::error(name.place, what).expected(expected));
    None
}

/// The content of the file that a scalar names, which is watched from now on.
pub(super) fn content_of(ctx: &Context<'_>, path: &Scalar) -> Option<String> {
    from_file(ctx, path, false).map(|content| content.text)
}

fn from_file(ctx: &Context<'_>, written: &Scalar, secret: bool) -> Option<Scalar> {
    let path = ctx.path(&written.text);
    ctx.files.borrow_mut().insert(path.clone());
    match read_text(ctx, &path) {
        Ok(text) => Some(Scalar {
            text,
            place: written.place,
            origin: Origin::File(path),
            secret,
        }),
        Err(why) => {
            let what = format!("the file {} can't be read: {why}", path.display());
            ctx.report(Mistake::error(written.place, what));
            None
        }
    }
}

/// The content of a file that a value names; it is watched from now on.
pub(super) fn read_file(ctx: &Context<'_>, name: &Scalar) -> Option<Zeroizing<Vec<u8>>> {
    let path = ctx.path(&name.text);
    ctx.files.borrow_mut().insert(path.clone());
    let read = read_stamped(ctx, &path, MAX_NAMED_FILE_BYTES);
    read.map_err(|why| {
        let what = format!("the file {} can't be read: {why}", path.display());
        ctx.report(Mistake::error(name.place, what));
    })
    .ok()
    .map(Zeroizing::new)
}

fn read_stamped(ctx: &Context<'_>, path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let (stamp, read) = read_bounded(path, most);
    // Read twice, it counts as what it was at first: what changed between is noticed.
    let mut stamps = ctx.stamps.borrow_mut();
    stamps.entry(path.to_path_buf()).or_insert(stamp);
    read
}

/// The content, and in which state the file was just before it was read.
fn read_bounded(path: &Path, most: u64) -> (Option<Stamp>, Result<Vec<u8>, String>) {
    let seen = match std::fs::metadata(path) {
        Ok(seen) => seen,
        Err(error) => return (None, Err(error.to_string())),
    };
    let mut stamp = Stamp::of(&seen);
    // Opening a FIFO would wait for its writer.
    if !seen.is_file() {
        return (Some(stamp), Err("it is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| {
        // Another one may have been put there since.
        stamp = Stamp::of(&file.metadata()?);
        file.take(most + 1).read_to_end(&mut bytes)
    });
    let read = match read {
        Err(error) => Err(error.to_string()),
        Ok(_) if bytes.len() as u64 > most => Err(format!("it is larger than {} KiB", most / 1024)),
        Ok(_) => Ok(bytes),
    };
    (Some(stamp), read)
}

/// The content without its last line end.
fn read_text(ctx: &Context<'_>, path: &Path) -> Result<String, String> {
    let bytes = read_stamped(ctx, path, MAX_FILE_BYTES)?;
    let mut text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
