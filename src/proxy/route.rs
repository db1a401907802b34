//! Which route a request takes: the most specific host, then the longest path,
//! then the one that asks for most.

use super::outgoing::Whole;
use super::pool::Pool;
use super::several::Several;
use super::who::CALLER_TOKEN;
use crate::config::checked::callers::Speaks;
use crate::config::checked::served::Served;
use crate::config::checked::{HostMatch, PathMatch, Route};
use crate::telemetry::access::Labels;
use crate::telemetry::requests::RouteStats;
use crate::token::Reader;
use http::header::{AUTHORIZATION, HeaderName, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method, request};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

/// A route on one worker, with all that a request on it needs.
pub struct WorkerRoute {
    pub name: Arc<str>,
    pub route: Arc<Route>,
    /// `Host` for the upstream.
    pub authority: HeaderValue,
    pub credential: Reader,
    /// Statuses that lead to a refresh and one replay.
    pub retry_on: Arc<[u16]>,
    pub pool: Rc<Pool>,
    /// Where a proxy gets its requests whole.
    pub whole: Option<Box<Whole>>,
    /// For the access log, if there is one.
    pub labels: Option<Labels>,
    /// Shared with the routes of this name before and after.
    pub stats: Rc<RefCell<RouteStats>>,
    /// Of a route whose upstream has several addresses: what leads to each.
    pub several: Option<Box<Several>>,
}

/// All routes of one worker.
#[derive(Default)]
pub struct Routes {
    exact_hosts: HashMap<String, Paths>,
    /// By `.suffix`, longest first.
    host_suffixes: Vec<(String, Paths)>,
    any_host: Paths,
    keep_case: bool,
    /// Where callers of any route send their JWTs, besides the usual places: on no
    /// route that is an upstream's to see.
    token_fields: Vec<HeaderName>,
    all: Vec<Rc<WorkerRoute>>,
    /// What serves each caller of a route by the caller's own account.
    own: HashMap<Arc<str>, HashMap<Arc<str>, Rc<WorkerRoute>>>,
    /// Of all routes, each once: routes of one origin share theirs.
    pools: Vec<Rc<Pool>>,
}

/// The routes of one host.
#[derive(Default)]
struct Paths {
    exact: HashMap<String, Vec<Rc<WorkerRoute>>>,
    /// Most have few of them, so that a hash would cost more than it saves.
    prefixes: BTreeMap<String, Vec<Rc<WorkerRoute>>>,
    longest_prefix: usize,
}

/// What was found.
pub enum Found<'a> {
    Route(&'a Rc<WorkerRoute>),
    /// A route would match, but not with this method.
    MethodNotAllowed,
    Nothing,
}

impl Routes {
    /// Builds the tables.
    #[must_use]
    pub fn new(all: Vec<Rc<WorkerRoute>>) -> Self {
        let mut routes = Self::default();
        for route in &all {
            routes.keep_case |= route.route.keep_header_case;
            routes.note_token_fields(route);
            if let Speaks::For {
                caller,
                route: lead,
            } = &route.route.speaks
            {
                let own = routes.own.entry(lead.clone()).or_default();
                own.insert(caller.clone(), route.clone());
                continue;
            }
            let paths = match &route.route.matcher.host {
                None => &mut routes.any_host,
                Some(HostMatch::Exact(host)) => routes.exact_hosts.entry(host.clone()).or_default(),
                Some(HostMatch::Suffix(suffix)) => suffix_entry(&mut routes.host_suffixes, suffix),
            };
            paths.insert(route);
        }
        routes
            .host_suffixes
            .sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        let members = all.iter().filter_map(|route| route.several.as_deref());
        let members = members.flat_map(Several::routes);
        let every = all.iter().chain(members);
        routes.pools = every.map(|route| route.pool.clone()).collect();
        routes.pools.sort_unstable_by_key(Rc::as_ptr);
        routes.pools.dedup_by(|a, b| Rc::ptr_eq(a, b));
        routes.all = all;
        routes
    }

    /// The table of those among them that are named.
    #[must_use]
    pub fn only(&self, named: &Served) -> Self {
        let some = self.all.iter().filter(|route| named.serves(&route.route));
        Self::new(some.cloned().collect())
    }

    /// Every route, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<WorkerRoute>> {
        self.all.iter()
    }

    fn note_token_fields(&mut self, route: &WorkerRoute) {
        let jwts = route.route.callers.iter().flat_map(|all| all.jwts());
        for field in jwts.map(|jwt| &jwt.header) {
            // The first is also others'; the other two end here anyway.
            let is_usual = [AUTHORIZATION, PROXY_AUTHORIZATION, CALLER_TOKEN].contains(field);
            if !is_usual && !self.token_fields.contains(field) {
                self.token_fields.push(field.clone());
            }
        }
    }

    /// Fields of callers' JWTs that hardly any configuration names.
    #[must_use]
    pub fn token_fields(&self) -> &[HeaderName] {
        &self.token_fields
    }

    /// Every pool, once.
    pub fn pools(&self) -> impl Iterator<Item = &Rc<Pool>> {
        self.pools.iter()
    }

    /// Finds the route of a request; `host` in lower case, without a port.
    pub fn find(&self, host: &str, path: &str, head: &request::Parts) -> Found<'_> {
        let mut found = Found::Nothing;
        if !self.exact_hosts.is_empty()
            && let Some(paths) = self.exact_hosts.get(host)
        {
            found = paths.find(path, head, found);
        }
        for (suffix, paths) in &self.host_suffixes {
            if matches!(found, Found::Route(_)) {
                break;
            }
            if host.len() > suffix.len() && host.ends_with(suffix.as_str()) {
                found = paths.find(path, head, found);
            }
        }
        self.any_host.find(path, head, found)
    }

    /// What serves this caller's requests that the route of this name has taken.
    #[must_use]
    pub fn of_caller(&self, route: &str, caller: &str) -> Option<&Rc<WorkerRoute>> {
        self.own.get(route)?.get(caller)
    }

    /// True where a route keeps the spelling of fields' names.
    #[must_use]
    pub fn keep_case(&self) -> bool {
        self.keep_case
    }

    /// True when a route names this host, so that callers may use it.
    #[must_use]
    pub fn names_host(&self, host: &str) -> bool {
        self.exact_hosts.contains_key(host)
            || self
                .host_suffixes
                .iter()
                .any(|(suffix, _)| host.len() > suffix.len() && host.ends_with(suffix.as_str()))
    }
}

fn suffix_entry<'a>(suffixes: &'a mut Vec<(String, Paths)>, suffix: &str) -> &'a mut Paths {
    let at = match suffixes.iter().position(|(s, _)| s == suffix) {
        Some(at) => at,
        None => {
            suffixes.push((suffix.to_owned(), Paths::default()));
            suffixes.len() - 1
        }
    };
    &mut suffixes[at].1
}

impl Paths {
    fn insert(&mut self, route: &Rc<WorkerRoute>) {
        let list = match &route.route.matcher.path {
            PathMatch::Exact(path) => self.exact.entry(path.clone()).or_default(),
            PathMatch::Prefix(prefix) => {
                self.longest_prefix = self.longest_prefix.max(prefix.len());
                self.prefixes.entry(prefix.clone()).or_default()
            }
        };
        list.push(route.clone());
        list.sort_by_key(|route| {
            let matcher = &route.route.matcher;
            std::cmp::Reverse((!matcher.methods.is_empty(), matcher.headers.len()))
        });
    }

    /// Looks here unless a route was found before; an earlier "method not
    /// allowed" stays unless a route is found.
    fn find<'a>(&'a self, path: &str, head: &request::Parts, before: Found<'a>) -> Found<'a> {
        if matches!(before, Found::Route(_)) {
            return before;
        }
        let mut found = before;
        if !self.exact.is_empty()
            && let Some(list) = self.exact.get(path)
        {
            found = first_match(list, head, found);
        }
        for prefix in self.prefixes_of(path) {
            if matches!(found, Found::Route(_)) {
                break;
            }
            if let Some(list) = self.prefixes.get(prefix) {
                found = first_match(list, head, found);
            }
        }
        found
    }

    /// The path's prefixes that end before a slash or at its end, longest
    /// first, none longer than any route has.
    fn prefixes_of<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p str> + use<'p> {
        let longest = self.longest_prefix;
        let whole = (path.len() <= longest).then_some(path);
        let reach = path.len().min(longest + 1);
        let before_slashes = memchr::memrchr_iter(b'/', &path.as_bytes()[..reach]);
        whole
            .into_iter()
            .chain(before_slashes.map(move |at| &path[..at]))
    }
}

fn first_match<'a>(
    list: &'a [Rc<WorkerRoute>],
    head: &request::Parts,
    before: Found<'a>,
) -> Found<'a> {
    let mut found = before;
    for route in list {
        let matcher = &route.route.matcher;
        if !headers_match(route, head) {
            continue;
        }
        if method_matches(&matcher.methods, &head.method) {
            return Found::Route(route);
        }
        found = Found::MethodNotAllowed;
    }
    found
}

fn method_matches(methods: &[Method], method: &Method) -> bool {
    methods.is_empty() || methods.contains(method)
}

fn headers_match(route: &WorkerRoute, head: &request::Parts) -> bool {
    route.route.matcher.headers.iter().all(|(name, value)| {
        head.headers
            .get_all(name)
            .iter()
            .any(|sent| sent == value.as_str())
    })
}

impl WorkerRoute {
    /// What follows this route's prefix in a path that it matched. A route that
    /// names a whole path has no prefix to replace.
    #[must_use]
    pub fn rest<'p>(&self, path: &'p str) -> &'p str {
        match &self.route.matcher.path {
            PathMatch::Exact(_) => path,
            PathMatch::Prefix(prefix) => path.get(prefix.len()..).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::{Found, Routes, WorkerRoute};
    use crate::config::checked::{HostMatch, PathMatch, RouteMatch};
    use crate::proxy::sample::route;
    use http::{HeaderName, HeaderValue, Method, Request, request};
    use std::rc::Rc;

    pub fn matcher(host: Option<HostMatch>, path: PathMatch) -> RouteMatch {
        RouteMatch {
            host,
            path,
            methods: Vec::new(),
            headers: Vec::new(),
        }
    }

    fn any() -> RouteMatch {
        matcher(None, prefix(""))
    }

    fn prefix(path: &str) -> PathMatch {
        PathMatch::Prefix(path.into())
    }

    fn head(method: Method) -> request::Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = method;
        head
    }

    fn name_of(routes: &Routes, host: &str, path: &str, head: &request::Parts) -> String {
        match routes.find(host, path, head) {
            Found::Route(route) => route.name.to_string(),
            Found::MethodNotAllowed => "405".into(),
            Found::Nothing => "404".into(),
        }
    }

    #[test]
    fn the_longest_prefix_on_a_segment_boundary_wins() {
        let routes = Routes::new(vec![
            route("crm", matcher(None, prefix("/crm"))),
            route("v2", matcher(None, prefix("/crm/v2"))),
            route("one", matcher(None, PathMatch::Exact("/crm/v2/one".into()))),
        ]);
        let get = head(Method::GET);
        for (path, expected) in [
            ("/crm", "crm"),
            ("/crm/", "crm"),
            ("/crm//v2", "crm"),
            ("/crmx", "404"),
            ("/", "404"),
            ("/crm/v2", "v2"),
            ("/crm/v2/x/y", "v2"),
            ("/crm/v2/one", "one"),
            ("/crm/v2/one/", "v2"),
            ("/crm/v21", "crm"),
        ] {
            assert_eq!(
                name_of(&routes, "localhost", path, &get),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn the_most_specific_host_wins_and_others_fall_through() {
        let exact = Some(HostMatch::Exact("api.internal".into()));
        let wide = Some(HostMatch::Suffix(".internal".into()));
        let routes = Routes::new(vec![
            route("any", matcher(None, prefix(""))),
            route("wide", matcher(wide, prefix("/w"))),
            route("exact", matcher(exact, prefix("/e"))),
        ]);
        let get = head(Method::GET);
        for (host, path, expected) in [
            ("api.internal", "/e", "exact"),
            ("api.internal", "/w", "wide"),
            ("x.internal", "/w/1", "wide"),
            ("internal", "/w", "any"),
            ("localhost", "/e", "any"),
        ] {
            assert_eq!(name_of(&routes, host, path, &get), expected, "{host}{path}");
        }
        assert!(routes.names_host("a.b.internal") && !routes.names_host("internal"));
    }

    #[test]
    fn a_shared_pool_is_counted_once() {
        let (one, two) = (route("one", any()), route("two", any()));
        let pool = two.pool.clone();
        let three = WorkerRoute {
            pool,
            ..Rc::into_inner(route("three", any())).unwrap()
        };
        let routes = Routes::new(vec![two, one, Rc::new(three)]);
        assert_eq!((routes.iter().count(), routes.pools().count()), (3, 2));
    }

    #[test]
    fn methods_and_headers_narrow_a_route() {
        let mut narrow = matcher(None, prefix("/p"));
        narrow.methods = vec![Method::GET];
        narrow.headers = vec![(HeaderName::from_static("x-team"), "blue".into())];
        let routes = Routes::new(vec![route("narrow", narrow)]);
        let mut get = head(Method::GET);
        assert_eq!(name_of(&routes, "", "/p", &get), "404");
        get.headers
            .insert("x-team", HeaderValue::from_static("blue"));
        assert_eq!(name_of(&routes, "", "/p", &get), "narrow");
        get.method = Method::POST;
        assert_eq!(name_of(&routes, "", "/p", &get), "405");
    }
}
