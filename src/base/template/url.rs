//! Templates of `http`, `https` and, where allowed, `h2c` URLs: each parameter's place is known, its
//! value is escaped for it, and the result is parsed again to see that nothing
//! has moved.

use super::error::{ExpandError, TemplateError};
use super::escape::encode_strict;
use super::text::{Lookup, Part, Template};
use std::fmt;
use url::Url;

/// A template that is a URL: each parameter's place (host, port, path, query,
/// fragment) is known, and its value is escaped for it. The scheme is fixed and
/// there is no user information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlTemplate {
    text: Template,
    /// `https` or `http`; also `http` where `h2c` is written.
    scheme: &'static str,
    is_h2c: bool,
    host: Vec<Part>,
    port: Option<Vec<Part>>,
    path: Vec<Part>,
    query: Option<Vec<Part>>,
    fragment: Option<Vec<Part>>,
}

/// A URL's pieces with all values in them, not yet parsed.
struct Expanded {
    host: String,
    port: Option<String>,
    path: String,
    query: Option<String>,
    fragment: Option<String>,
}

impl fmt::Display for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl UrlTemplate {
    /// Takes a URL template as written.
    ///
    /// # Errors
    /// When it is no template, no `http` or `https` URL whatever the values
    /// are, has a parameter for its scheme, or holds user information.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::parse_with(text, &["https", "http"])
    }

    /// Takes a URL template that may be an `h2c` URL, too.
    ///
    /// # Errors
    /// As [`UrlTemplate::parse`].
    pub fn parse_upstream(text: &str) -> Result<Self, TemplateError> {
        Self::parse_with(text, &["https", "http", "h2c"])
    }

    fn parse_with(text: &str, schemes: &[&'static str]) -> Result<Self, TemplateError> {
        let template = Template::parse(text)?;
        check_characters(&template.parts)?;
        let (written, rest) = split_scheme(&template.parts, schemes)?;
        // The URL standard knows no `h2c`, and would read the rest otherwise.
        let is_h2c = written == "h2c";
        let scheme = if is_h2c { "http" } else { written };
        let (authority, rest) = split_at(&rest, &['/', '?', '#']);
        if authority.is_empty() {
            return Err(TemplateError::at(written.len() + 3, "a URL without a host"));
        }
        let (host, port) = split_authority(&authority)?;
        let (path, rest) = match rest {
            Some(('/', rest)) => {
                let (path, rest) = split_at(&rest, &['?', '#']);
                (with_slash(path), rest)
            }
            other => (Vec::new(), other),
        };
        let (query, rest) = match rest {
            Some(('?', rest)) => {
                let (query, rest) = split_at(&rest, &['#']);
                (Some(query), rest)
            }
            other => (None, other),
        };
        let parsed = Self {
            text: template,
            scheme,
            is_h2c,
            host,
            port,
            path,
            query,
            fragment: rest.map(|(_, fragment)| fragment),
        };
        parsed.probe()?;
        Ok(parsed)
    }

    /// The parameters in order, each as often as it is written.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.text.parameters()
    }

    /// The parameters in order, with the byte offsets of their braces.
    pub fn parameter_places(&self) -> impl Iterator<Item = (&str, usize)> {
        self.text.parameter_places()
    }

    /// The parameters that stand in the host or the port: whoever sets one
    /// decides where the URL leads.
    pub fn authority_parameters(&self) -> impl Iterator<Item = &str> {
        let port = self.port.iter().flatten();
        self.host.iter().chain(port).filter_map(Part::parameter)
    }

    /// True when the host ends, after its last parameter, in a fixed suffix of
    /// at least two labels (`.example.com`), or in `.localhost`, so that a
    /// label in front of it can't lead elsewhere; and the port is fixed.
    #[must_use]
    pub fn has_fixed_suffix(&self) -> bool {
        let port = self.port.iter().flatten();
        if port.filter_map(Part::parameter).next().is_some() {
            return false;
        }
        match self.host.last() {
            Some(Part::Literal { text, .. }) => {
                let labels = text.strip_prefix('.').unwrap_or_default();
                labels == "localhost" || labels.trim_end_matches('.').contains('.')
            }
            _ => false,
        }
    }

    /// True of an `h2c` URL: it expands to an `http` one.
    #[must_use]
    pub fn is_h2c(&self) -> bool {
        self.is_h2c
    }

    /// True when the template has a fragment, be it an empty one.
    #[must_use]
    pub fn has_fragment(&self) -> bool {
        self.fragment.is_some()
    }

    /// The URL with each value escaped for its place.
    ///
    /// # Errors
    /// When a parameter has no value, or one that can't stand at its place: in
    /// the host anything but letters, digits, `-` and `.`, as the port anything
    /// but a number, and `.` or `..` in the path.
    pub fn expand(&self, lookup: Lookup<'_, '_>) -> Result<Url, ExpandError> {
        let strict = |_: &str, value: &str| Ok(encode_strict(value));
        self.parse_again(&Expanded {
            host: fill(&self.host, lookup, &host_value)?,
            port: fill_some(self.port.as_deref(), lookup, &port_value)?,
            path: fill(&self.path, lookup, &path_value)?,
            query: fill_some(self.query.as_deref(), lookup, &strict)?,
            fragment: fill_some(self.fragment.as_deref(), lookup, &strict)?,
        })
    }

    /// Finds what is wrong with the URL whatever the values are.
    fn probe(&self) -> Result<(), TemplateError> {
        let a = |parts: &[Part]| join(parts, "a");
        let expanded = Expanded {
            host: a(&self.host),
            port: self.port.as_deref().map(|port| join(port, "1")),
            path: a(&self.path),
            query: self.query.as_deref().map(a),
            fragment: self.fragment.as_deref().map(a),
        };
        match self.parse_again(&expanded) {
            Ok(_) => Ok(()),
            Err(error) => Err(TemplateError::at(0, error.what)),
        }
    }

    /// Parses the expanded URL and compares it with what was meant.
    fn parse_again(&self, expanded: &Expanded) -> Result<Url, ExpandError> {
        let url = Url::parse(&expanded.write(self.scheme))
            .map_err(|why| ExpandError::whole(&format!("not a valid URL: {why}")))?;
        let port = expanded.port_number(self.scheme)?;
        if url.scheme() != self.scheme || !url.username().is_empty() || url.password().is_some() {
            return Err(ExpandError::whole("the URL's scheme or user would change"));
        }
        if !expanded.host_is(&url) || url.port_or_known_default() != Some(port) {
            let what = "the URL's host or port would be read as something else than is written";
            return Err(ExpandError::whole(what));
        }
        if expanded.path.split('/').any(is_dot_segment) {
            return Err(ExpandError::whole(
                "the URL's path has a `.` or `..` segment",
            ));
        }
        let slashes = |path: &str| path.matches('/').count();
        if slashes(url.path()) != slashes(&expanded.path).max(1) {
            return Err(ExpandError::whole(
                "the URL's path would change its segments",
            ));
        }
        Ok(url)
    }
}

impl Expanded {
    fn write(&self, scheme: &str) -> String {
        let mut url = format!("{scheme}://{}", self.host);
        let pieces = [
            (":", self.port.as_deref()),
            ("", Some(self.path.as_str())),
            ("?", self.query.as_deref()),
            ("#", self.fragment.as_deref()),
        ];
        for (delimiter, piece) in pieces {
            if let Some(piece) = piece {
                url.push_str(delimiter);
                url.push_str(piece);
            }
        }
        url
    }

    fn port_number(&self, scheme: &str) -> Result<u16, ExpandError> {
        match self.port.as_deref() {
            None if scheme == "https" => Ok(443),
            None => Ok(80),
            Some(port) => match port.parse() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(ExpandError::whole("the URL's port isn't one of 1 to 65535")),
            },
        }
    }

    /// The URL standard reads `0x7f.1` as an IPv4 address and decodes
    /// percent-encoded hosts: what is written must be what is meant.
    fn host_is(&self, url: &Url) -> bool {
        let literal_elsewhere = self.host.starts_with('[') || !self.host.is_ascii();
        literal_elsewhere
            || url
                .host_str()
                .is_some_and(|host| host.eq_ignore_ascii_case(&self.host))
    }
}

/// The URL standard drops tabs and line ends and reads `\` as `/`: none of
/// that may come into a URL unseen.
fn check_characters(parts: &[Part]) -> Result<(), TemplateError> {
    for part in parts {
        if let Part::Literal { offset, text } = part {
            let bad = |c: char| c == '\\' || c.is_whitespace() || c.is_control();
            if let Some(at) = text.find(bad) {
                let what = "a URL holds no white space, control character or backslash";
                return Err(TemplateError::at(offset + at, what));
            }
        }
    }
    Ok(())
}

fn split_scheme(
    parts: &[Part],
    schemes: &[&'static str],
) -> Result<(&'static str, Vec<Part>), TemplateError> {
    let Some((Part::Literal { offset, text }, rest)) = parts.split_first() else {
        let what = match parts.first() {
            Some(_) => "a URL's scheme can't be a parameter: begin with `https://` or `http://`",
            None => "an empty text is no URL",
        };
        return Err(TemplateError::at(0, what));
    };
    for scheme in schemes {
        let length = scheme.len() + 3;
        let matches = text.get(..length).is_some_and(|start| {
            start.ends_with("://") && start[..scheme.len()].eq_ignore_ascii_case(scheme)
        });
        if matches {
            let mut after = vec![Part::Literal {
                offset: offset + length,
                text: text[length..].to_owned(),
            }];
            after.extend_from_slice(rest);
            return Ok((scheme, after));
        }
    }
    let what = "not a URL that begins with `https://` or `http://`";
    Err(TemplateError::at(0, what))
}

/// Splits at the first of the delimiters that stands in literal text.
fn split_at(parts: &[Part], delimiters: &[char]) -> (Vec<Part>, Option<(char, Vec<Part>)>) {
    let mut before = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if let Part::Literal { offset, text } = part
            && let Some((at, delimiter)) = text.char_indices().find(|(_, c)| delimiters.contains(c))
        {
            let after_at = at + delimiter.len_utf8();
            push(&mut before, *offset, &text[..at]);
            let mut after = Vec::new();
            push(&mut after, offset + after_at, &text[after_at..]);
            after.extend_from_slice(&parts[index + 1..]);
            return (before, Some((delimiter, after)));
        }
        match part {
            Part::Literal { offset, text } => push(&mut before, *offset, text),
            Part::Parameter { .. } => before.push(part.clone()),
        }
    }
    (before, None)
}

fn push(parts: &mut Vec<Part>, offset: usize, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Literal {
            offset,
            text: text.to_owned(),
        });
    }
}

fn with_slash(path: Vec<Part>) -> Vec<Part> {
    let mut parts = Vec::new();
    push(&mut parts, 0, "/");
    parts.extend(path);
    parts
}

type HostAndPort = (Vec<Part>, Option<Vec<Part>>);

fn split_authority(authority: &[Part]) -> Result<HostAndPort, TemplateError> {
    let (_, user) = split_at(authority, &['@']);
    if user.is_some() {
        let offset = start(authority);
        return Err(TemplateError::at(
            offset,
            "a URL must not hold a user or password",
        ));
    }
    let (host, port) = match authority.first() {
        Some(Part::Literal { text, .. }) if text.starts_with('[') => split_ipv6(authority)?,
        _ => {
            let (host, port) = split_at(authority, &[':']);
            (host, port.map(|(_, port)| port))
        }
    };
    if host.is_empty() {
        return Err(TemplateError::at(start(authority), "a URL without a host"));
    }
    match port {
        Some(port) if port.is_empty() => {
            Err(TemplateError::at(start(authority), "a `:` without a port"))
        }
        port => Ok((host, port)),
    }
}

fn split_ipv6(authority: &[Part]) -> Result<HostAndPort, TemplateError> {
    let (inside, after) = split_at(authority, &[']']);
    let fixed = inside.iter().all(|p| matches!(p, Part::Literal { .. }));
    let Some((_, after)) = after.filter(|_| fixed) else {
        let what = "an address in brackets must be closed and hold no parameter";
        return Err(TemplateError::at(start(authority), what));
    };
    let mut host = inside;
    push(&mut host, 0, "]");
    let (between, port) = split_at(&after, &[':']);
    if between.is_empty() {
        return Ok((host, port.map(|(_, port)| port)));
    }
    let what = "only a port can follow an address in brackets";
    Err(TemplateError::at(start(&between), what))
}

fn start(parts: &[Part]) -> usize {
    match parts.first() {
        Some(Part::Literal { offset, .. } | Part::Parameter { offset, .. }) => *offset,
        None => 0,
    }
}

type Escape<'a> = &'a dyn Fn(&str, &str) -> Result<String, ExpandError>;

fn fill(parts: &[Part], lookup: Lookup<'_, '_>, escape: Escape<'_>) -> Result<String, ExpandError> {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Literal { text, .. } => out.push_str(text),
            Part::Parameter { name, .. } => {
                let value = lookup(name).ok_or_else(|| ExpandError::missing(name))?;
                out.push_str(&escape(name, value)?);
            }
        }
    }
    Ok(out)
}

fn fill_some(
    parts: Option<&[Part]>,
    lookup: Lookup<'_, '_>,
    escape: Escape<'_>,
) -> Result<Option<String>, ExpandError> {
    parts.map(|parts| fill(parts, lookup, escape)).transpose()
}

fn join(parts: &[Part], probe: &str) -> String {
    let pieces = parts.iter().map(|part| match part {
        Part::Literal { text, .. } => text.as_str(),
        Part::Parameter { .. } => probe,
    });
    pieces.collect()
}

fn host_value(name: &str, value: &str) -> Result<String, ExpandError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    if !value.is_empty() && value.bytes().all(fits) {
        return Ok(value.to_owned());
    }
    let what = "stands in a host, where only letters, digits, `-` and `.` can be";
    Err(ExpandError::of(name, what))
}

fn port_value(name: &str, value: &str) -> Result<String, ExpandError> {
    if (1..=5).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(value.to_owned());
    }
    Err(ExpandError::of(
        name,
        "stands for a port, which is a number",
    ))
}

fn path_value(name: &str, value: &str) -> Result<String, ExpandError> {
    if value == "." || value == ".." {
        return Err(ExpandError::of(
            name,
            "is `.` or `..`, which can't be in a path",
        ));
    }
    Ok(encode_strict(value))
}

fn is_dot_segment(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

#[cfg(test)]
mod tests;
