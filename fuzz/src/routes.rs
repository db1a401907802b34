//! Route matching, held against the rule said in one sentence: the most
//! specific host, then the longest path, then whoever asks for most.

use http::{Method, Request};
use sidekey::config::checked::{HostMatch, PathMatch, RouteMatch};
use sidekey::proxy::fuzzed::{Taken, find};

const MOST: usize = 8;

/// The request on the first line (`METHOD host /path`), then a route on each
/// (`METHOD|* host|*.suffix|* /prefix|=/path`).
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.lines();
    let Some((method, host, path)) = words(lines.next().unwrap_or_default()) else {
        return;
    };
    let request = Request::builder().method(method).uri(path).body(());
    let Some((head, ())) = request.ok().map(Request::into_parts) else {
        return;
    };
    let host = host.to_ascii_lowercase();
    let matchers: Vec<RouteMatch> = lines.filter_map(matcher).take(MOST).collect();
    let expected = expected(&matchers, &host, head.uri.path(), &head.method);
    let taken = find(matchers.clone(), &host, &head);
    assert_eq!(taken, expected, "{head:?} {host} {matchers:#?}");
}

fn words(line: &str) -> Option<(&str, &str, &str)> {
    let mut words = line.split(' ');
    Some((words.next()?, words.next()?, words.next()?))
}

fn matcher(line: &str) -> Option<RouteMatch> {
    let (method, host, path) = words(line)?;
    Some(RouteMatch {
        host: match host.strip_prefix('*') {
            Some("") => None,
            Some(suffix) => Some(HostMatch::Suffix(suffix.to_ascii_lowercase())),
            None => Some(HostMatch::Exact(host.to_ascii_lowercase())),
        },
        // As the configuration gives them: exact ones whole, prefixes without
        // a closing slash.
        path: match path.strip_prefix('=') {
            Some(path) => PathMatch::Exact(path.to_owned()),
            None => PathMatch::Prefix(path.trim_end_matches('/').to_owned()),
        },
        methods: match method {
            "*" => Vec::new(),
            method => vec![method.parse().ok()?],
        },
        headers: Vec::new(),
    })
}

fn expected(matchers: &[RouteMatch], host: &str, path: &str, method: &Method) -> Taken {
    let all = matchers.iter().enumerate();
    let fitting: Vec<_> = all
        .filter_map(|(index, m)| Some((rank(m, host, path)?, index, m)))
        .collect();
    let allowed = fitting
        .iter()
        .filter(|(_, _, m)| m.methods.is_empty() || m.methods.contains(method));
    // Of equals the first.
    let best = allowed.max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    match best {
        Some((_, index, m)) => Taken::Route(*index, rest(m, path).to_owned()),
        None if fitting.is_empty() => Taken::Nothing,
        None => Taken::MethodNotAllowed,
    }
}

/// Greater is more specific; `None` when it does not match.
fn rank(matcher: &RouteMatch, host: &str, path: &str) -> Option<(usize, usize, bool)> {
    let by_host = match &matcher.host {
        None => 0,
        Some(HostMatch::Exact(exact)) => (exact == host).then_some(usize::MAX)?,
        Some(HostMatch::Suffix(suffix)) => (host.len() > suffix.len()
            && host.ends_with(suffix.as_str()))
        .then_some(suffix.len())?,
    };
    let by_path = match &matcher.path {
        PathMatch::Exact(exact) => (exact == path).then_some(usize::MAX)?,
        PathMatch::Prefix(prefix) => {
            let after = path.strip_prefix(prefix.as_str())?;
            (after.is_empty() || after.starts_with('/')).then_some(prefix.len())?
        }
    };
    Some((by_host, by_path, !matcher.methods.is_empty()))
}

fn rest<'p>(matcher: &RouteMatch, path: &'p str) -> &'p str {
    match &matcher.path {
        PathMatch::Exact(_) => path,
        PathMatch::Prefix(prefix) => &path[prefix.len()..],
    }
}
