//! Paths of routes.

use crate::config::checked::PathMatch;
use crate::config::keys::table::route::PATH;
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Context, Scalar, is_source, resolve};
use crate::config::written::Node;

/// The path that `path` of a route or of its `match` says.
pub(super) fn read(ctx: &Context<'_>, node: &Node) -> Option<PathMatch> {
    if !matches!(node, Node::Map(..)) || is_source(node) {
        return prefix(ctx, &resolve(ctx, node, false)?);
    }
    let reader = Reader::open(ctx, &PATH, node, node.place())?;
    match (reader.text("prefix"), reader.text("exact")) {
        (Some(written), None) => prefix(ctx, &written),
        (None, Some(written)) => check(ctx, &written).then_some(PathMatch::Exact(written.text)),
        (Some(_), Some(second)) => {
            let what = "both `prefix` and `exact`";
            ctx.report(Mistake::error(second.place, what).expected("one of the two"));
            None
        }
        (None, None) => {
            if reader.node("prefix").is_none() && reader.node("exact").is_none() {
                let what = "a path matcher lacks `prefix` or `exact`";
                ctx.report(Mistake::error(node.place(), what));
            }
            None
        }
    }
}

fn prefix(ctx: &Context<'_>, written: &Scalar) -> Option<PathMatch> {
    let text = written.text.strip_suffix('/').unwrap_or(&written.text);
    check(ctx, written).then(|| PathMatch::Prefix(text.to_owned()))
}

fn check(ctx: &Context<'_>, written: &Scalar) -> bool {
    let Some((offset, what, expected)) = fault(&written.text) else {
        return true;
    };
    let mistake = Mistake::error(written.place_at(offset), what);
    ctx.report(mistake.expected(expected));
    false
}

/// What can't be matched, since no request has such a path. Matching compares
/// bytes, so the path is written as requests carry it.
fn fault(path: &str) -> Option<(usize, &'static str, &'static str)> {
    if !path.starts_with('/') {
        return Some((0, "a path must begin with `/`", "`/` or, say, `/crm/`"));
    }
    let bytes = path.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let hex = |i: usize| bytes.get(at + i).is_some_and(u8::is_ascii_hexdigit);
        match byte {
            b'?' | b'#' => {
                return Some((at, "a path has no query and no fragment", "the path alone"));
            }
            b'%' if !(hex(1) && hex(2)) => {
                return Some((at, "a `%` that begins no `%XX`", "`%25` for a percent sign"));
            }
            b'!'..=b'~' if *byte != b'\\' => {}
            _ => {
                let what = "a character that a path holds percent-encoded only";
                return Some((at, what, "`%20` for a space, and so on"));
            }
        }
    }
    let mut at = 0;
    for segment in path.split('/') {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        if plain == "." || plain == ".." {
            let what = "a `.` or `..` segment, which no accepted request has";
            return Some((at, what, "the path without it"));
        }
        at += segment.len() + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn paths_are_what_requests_carry() {
        for good in [
            "/",
            "/crm",
            "/crm/",
            "/a//b",
            "/a%2Fb",
            "/...",
            "/a:b@c;d=e,f'(x)*!~",
        ] {
            assert_eq!(fault(good), None, "{good}");
        }
        let bad = [
            ("", 0),
            ("crm", 0),
            ("/a?b", 2),
            ("/a#b", 2),
            ("/a%2", 2),
            ("/a b", 2),
            ("/ä", 1),
            ("/a\\b", 2),
            ("/a/../b", 3),
            ("/.", 1),
            ("/a/%2E%2e", 3),
        ];
        for (path, offset) in bad {
            assert_eq!(fault(path).map(|f| f.0), Some(offset), "{path}");
        }
    }
}
