//! Mistakes and warnings, each with its place, and how they are shown: file,
//! line, column, the line itself with a caret, what was expected.

use super::stamp::Stamps;
use super::written::Place;
use std::fmt;
use std::path::PathBuf;

/// How bad a remark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration can't be used.
    Error,
    /// It can, and someone should know.
    Warning,
}

/// One thing that is wrong, or worth saying. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub severity: Severity,
    /// `None`: the file as a whole.
    pub place: Option<Place>,
    pub what: String,
    pub expected: Option<String>,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl Mistake {
    /// Something that makes the configuration unusable.
    #[must_use]
    pub fn error(place: Place, what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            place: Some(place),
            what: what.into(),
            expected: None,
            suggestion: None,
        }
    }

    /// Something worth saying.
    #[must_use]
    pub fn warning(place: Place, what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(place, what)
        }
    }

    /// Adds what was expected.
    #[must_use]
    pub fn expected(mut self, what: impl Into<String>) -> Self {
        self.expected = Some(what.into());
        self
    }

    /// Adds the likeliest of the candidates, if one is near.
    #[must_use]
    pub fn did_you_mean<'c>(
        mut self,
        found: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Self {
        let scored = candidates
            .into_iter()
            .map(|candidate| (distance(found, candidate), candidate));
        self.suggestion = scored
            .min_by_key(|(distance, _)| *distance)
            .filter(|(distance, candidate)| distance * 3 <= candidate.chars().count().max(3))
            .map(|(_, candidate)| candidate.to_owned());
        self
    }
}

fn distance(found: &str, candidate: &str) -> usize {
    strsim::damerau_levenshtein(&found.to_lowercase(), &candidate.to_lowercase())
}

/// The text that was read, and which stretches of it must never be shown.
#[derive(Clone)]
pub struct Source {
    /// As the person gave it.
    pub name: String,
    pub text: String,
    /// In characters from the start.
    pub secrets: Vec<(usize, usize)>,
    /// Other files that it takes values from.
    pub files: Vec<PathBuf>,
    /// In which state those were that were read.
    pub stamps: Stamps,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Everything that is wrong with a file, sorted by place; warnings included.
#[derive(Clone, Debug)]
pub struct Mistakes {
    source: Source,
    list: Vec<Mistake>,
}

impl Mistakes {
    pub(super) fn new(source: Source, mut list: Vec<Mistake>) -> Self {
        list.sort_by(|a, b| (a.place, &a.what).cmp(&(b.place, &b.what)));
        // An alias is read once for each use, and its mistakes lie at its anchor.
        list.dedup();
        Self { source, list }
    }

    /// A file that can't be read at all.
    pub(super) fn unreadable(name: &str, why: &str) -> Self {
        let source = Source {
            name: name.to_owned(),
            text: String::new(),
            secrets: Vec::new(),
            files: Vec::new(),
            stamps: Stamps::new(),
        };
        let mut mistake = Mistake::error(Place::default(), why);
        mistake.place = None;
        Self::new(source, vec![mistake])
    }

    /// Each mistake and warning, by place.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.list.iter()
    }

    /// The files that values were taken from, or should have been.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.source.files
    }

    /// In which state those of them were that were read.
    #[must_use]
    pub fn stamps(&self) -> &Stamps {
        &self.source.stamps
    }

    /// How many of them are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many of them are warnings.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|m| m.severity == severity).count()
    }

    /// The warnings, a line each.
    #[must_use]
    pub fn warning_lines(&self) -> Vec<String> {
        let warnings = self.list.iter().filter(|m| m.severity == Severity::Warning);
        warnings
            .map(|m| format!("{}: {}", self.position(m), m.what))
            .collect()
    }

    /// All of it for people, with colours for a terminal if wanted.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let paint = Paint(colour);
        let shown: Vec<_> = self.list.iter().map(|m| self.show(m, paint)).collect();
        shown.join("\n")
    }

    fn position(&self, mistake: &Mistake) -> String {
        match mistake.place {
            Some(place) => format!("{}:{}:{}", self.source.name, place.line, place.column),
            None => self.source.name.clone(),
        }
    }

    fn show(&self, mistake: &Mistake, paint: Paint) -> String {
        let severity = match mistake.severity {
            Severity::Error => paint.red("error"),
            Severity::Warning => paint.yellow("warning"),
        };
        let what = paint.bold(&mistake.what);
        let mut out = format!("{}: {severity}: {what}\n", self.position(mistake));
        if let Some(excerpt) = mistake.place.and_then(|place| self.source.excerpt(place)) {
            let margin = " ".repeat(excerpt.number.len());
            out.push_str(&format!("  {} | {}\n", excerpt.number, excerpt.line));
            let carets = paint.red(&"^".repeat(excerpt.carets));
            let indent = " ".repeat(excerpt.indent);
            out.push_str(&format!("  {margin} | {indent}{carets}\n"));
        }
        if let Some(expected) = &mistake.expected {
            out.push_str(&format!("  expected: {expected}\n"));
        }
        if let Some(suggestion) = &mistake.suggestion {
            let suggestion = paint.green(&format!("`{suggestion}`"));
            out.push_str(&format!("  did you mean {suggestion}?\n"));
        }
        out
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Mistakes {}

/// A line with its marked stretch, all in characters.
struct Excerpt {
    number: String,
    line: String,
    indent: usize,
    carets: usize,
}

/// The longest stretch of a line that is shown.
const EXCERPT_WIDTH: usize = 110;

impl Source {
    fn excerpt(&self, place: Place) -> Option<Excerpt> {
        let column = place.column.saturating_sub(1);
        let line_start = place.start.saturating_sub(column);
        let line = self.text.chars().skip(line_start);
        let line: Vec<char> = line.take_while(|c| !matches!(c, '\n' | '\r')).collect();
        let line_end = line_start + line.len();
        // There may be very many in the file.
        let secrets = self.secrets.iter().copied();
        let here = |(from, to): &(usize, usize)| *from < line_end && line_start < *to;
        let secrets: Vec<_> = secrets.filter(here).collect();
        let line = (line_start..).zip(line);
        let shown: Vec<char> = line.map(|(at, c)| shown(&secrets, at, c)).collect();
        if shown.is_empty() {
            return None;
        }
        let from = match shown.len() > EXCERPT_WIDTH {
            true => column.saturating_sub(EXCERPT_WIDTH / 2),
            false => 0,
        };
        let to = shown.len().min(from + EXCERPT_WIDTH);
        let rest_of_line = to.saturating_sub(column).max(1);
        let width = place.end.saturating_sub(place.start);
        Some(Excerpt {
            number: place.line.to_string(),
            line: shown[from.min(to)..to].iter().collect(),
            indent: column.saturating_sub(from),
            carets: width.clamp(1, rest_of_line),
        })
    }
}

fn shown(secrets: &[(usize, usize)], at: usize, c: char) -> char {
    let secret = |(start, end): &(usize, usize)| (*start..*end).contains(&at);
    match c {
        _ if secrets.iter().any(secret) => '*',
        '\t' => ' ',
        _ if c.is_control() => '\u{fffd}',
        _ => c,
    }
}

#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        match self.0 {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    fn yellow(self, text: &str) -> String {
        self.wrap("1;33", text)
    }

    fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }
}
