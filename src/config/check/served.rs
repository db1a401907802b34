//! `routes` of a listener: whether each name is a route's, and whether each route
//! is served anywhere.

use super::accounts::report_unknown;
use super::settings::Placed;
use crate::config::checked::listening::Listener;
use crate::config::checked::served::Served;
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Context, Scalar};
use crate::config::written::Node;
use std::collections::{BTreeSet, HashSet};

/// The names of all routes of the file.
#[derive(Default)]
pub(super) struct Names {
    pub known: Vec<Placed<String>>,
    /// There are more, whose names can't be told for a mistake in them.
    pub is_partial: bool,
}

/// What a listener serves; `None`: all routes. The names are added to `asked`.
pub(super) fn read(listener: &Reader<'_, '_>, asked: &mut Vec<Scalar>) -> Option<Served> {
    let node = listener.node("routes")?;
    let mut names = BTreeSet::new();
    for name in listener.texts("routes") {
        if names.insert(name.text.clone()) {
            asked.push(name);
        } else {
            let what = format!("the route {} is named twice", name.named());
            let mistake = Mistake::error(name.place, what);
            listener.ctx.report(mistake.expected("each name once"));
        }
    }
    let is_empty = node.is_null() || matches!(node, Node::Sequence(_, items) if items.is_empty());
    if is_empty {
        let what = "`routes` names no route, so this listener would serve nothing";
        let mistake = Mistake::error(listener.value_place("routes"), what);
        let expected = "names of routes, or no `routes`, which means all of them";
        listener.ctx.report(mistake.expected(expected));
    }
    Some(Served::new(names))
}

/// Reports names that no route has, and routes that no listener serves.
pub(super) fn check(
    ctx: &Context<'_>,
    listeners: &[Placed<Listener>],
    asked: &[Scalar],
    names: &Names,
) {
    if !names.is_partial {
        let known = names.known.iter().map(|known| known.value.as_str());
        let known: HashSet<_> = known.collect();
        for name in asked.iter().filter(|name| !known.contains(&*name.text)) {
            let what = format!("no such route: {}", name.named());
            let mut known = names.known.iter().map(|known| known.value.as_str());
            report_unknown(ctx, name, what, &mut known);
        }
    }
    // Not where a listener may be missing for a mistake in it.
    if ctx.has_errors() {
        return;
    }
    let mut all = listeners.iter().map(|listener| &listener.value.routes);
    let Some(lists) = all.try_fold(Vec::new(), |mut lists, routes| {
        lists.push(routes.as_ref()?);
        Some(lists)
    }) else {
        return;
    };
    for route in &names.known {
        if !lists.iter().any(|list| list.names(&route.value)) {
            let what = format!(
                "no listener serves the route `{}`: it is in no listener's `routes`",
                route.value
            );
            ctx.report(Mistake::warning(route.place, what));
        }
    }
}
