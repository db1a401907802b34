//! The page as a browser without a script gets it.

use crate::support::sidekey::Launch;
use crate::support::{
    Answer, AuthServer, Conf, Conn, Response, Server, Sidekey, call, eventually, free_port, get,
};

const ADMIN_TOKEN: &str = "admin-Token/+=~aZ09bY18";

struct Visitor {
    sidekey: Sidekey,
    cookie: String,
    auth: AuthServer,
    _upstream: Server,
}

impl Visitor {
    /// Starts sidekey and signs in.
    fn signed_in() -> Self {
        Self::signed_in_at("127.0.0.1:@PROXY@")
    }

    /// The same, with this for its listeners.
    fn signed_in_at(listen: &str) -> Self {
        let auth = AuthServer::start();
        let upstream = Server::start(|_| Answer::ok("content"));
        let conf = Conf::new(&auth, &upstream);
        let admin = format!("admin: {{token: \"{ADMIN_TOKEN}\", ");
        let other = format!("{}/other/", upstream.url());
        let yaml = conf.yaml().replace("127.0.0.1:@PROXY@", listen)
            + &format!("  - {{path: /other/, upstream: \"{other}\", account: one}}\n");
        let mut sidekey = Sidekey::launch(&Launch {
            yaml: yaml.replace("admin: {", &admin),
            ..Launch::default()
        });
        sidekey.wait_for("/readyz");
        let answer = post(&sidekey, "/session", "", &[("token", ADMIN_TOKEN)]);
        assert_eq!(answer.status, 303, "{}", answer.text());
        let cookie = answer.header("set-cookie").unwrap();
        assert!(cookie.len() < 256, "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self {
            sidekey,
            cookie,
            auth,
            _upstream: upstream,
        }
    }

    fn get(&self, path: &str) -> Response {
        call(
            self.sidekey.admin,
            "GET",
            path,
            &[("Cookie", &self.cookie)],
            b"",
        )
    }

    /// Sends a form with the text that the page has put in it.
    fn press(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let page = self.get("/").text();
        let csrf = page.split("name=\"csrf\" value=\"").nth(1).unwrap();
        let csrf = csrf.split('"').next().unwrap();
        let fields = [fields, &[("csrf", csrf)]].concat();
        post(&self.sidekey, path, &self.cookie, &fields)
    }
}

fn post(sidekey: &Sidekey, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Response {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let origin = format!("http://{}", sidekey.admin);
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Origin", origin.as_str()),
        ("Cookie", cookie),
    ];
    call(sidekey.admin, "POST", path, &headers, form.as_bytes())
}

#[test]
fn nobody_sees_the_page_without_a_session() {
    let visitor = Visitor::signed_in();
    for path in ["/", "/accounts/one", "/new", "/try", "/events"] {
        let answer = get(visitor.sidekey.admin, path);
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.text().contains("Admin token"), "{path}");
    }
    for path in ["/", "/accounts/one", "/new", "/try"] {
        assert_eq!(visitor.get(path).status, 200, "{path}");
    }
    let wrong = post(&visitor.sidekey, "/session", "", &[("token", "guessed")]);
    assert_eq!(wrong.status, 401);
    assert!(wrong.header("set-cookie").is_none());
}

#[test]
fn the_page_tells_of_accounts_and_loads_only_its_own_files() {
    let visitor = Visitor::signed_in();
    let answer = visitor.get("/");
    let page = answer.text();
    for part in [
        "1 account, all connected",
        "one",
        "Connected",
        " left",
        "Refresh",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(
        !page.contains("style=\"") && !page.contains("<style"),
        "{page}"
    );
    for asset in page.split('"').filter(|text| text.starts_with("/assets/")) {
        let file = get(visitor.sidekey.admin, asset);
        assert_eq!(file.status, 200, "{asset}");
        assert!(file.header("cache-control").unwrap().contains("immutable"));
    }
    assert!(!page.contains("src=\"http"), "{page}");
}

#[test]
fn a_form_needs_its_text_and_its_origin() {
    let visitor = Visitor::signed_in();
    let path = "/accounts/one/refresh";
    let stale = post(
        &visitor.sidekey,
        path,
        &visitor.cookie,
        &[("csrf", "guessed")],
    );
    assert_eq!(stale.status, 403);
    let foreign = [
        ("Cookie", visitor.cookie.as_str()),
        ("Origin", "https://evil.example"),
    ];
    let foreign = call(visitor.sidekey.admin, "POST", path, &foreign, b"csrf=x");
    assert_eq!(foreign.status, 403);
    assert_eq!(visitor.auth.count(), 1, "nothing was done");
    let done = visitor.press(path, &[("back", "overview")]);
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(visitor.auth.count(), 2);
    visitor
        .auth
        .fail(Answer::json(401, "{\"error\":\"invalid_client\"}"));
    let failed = visitor.press(path, &[]);
    assert!(
        failed.text().contains("The refresh failed: "),
        "{}",
        failed.text()
    );
}

#[test]
fn a_route_is_tried_as_an_application_would() {
    let visitor = Visitor::signed_in();
    let fields = [("route", "main"), ("path", "orders?x=1"), ("method", "GET")];
    let tried = visitor.press("/try", &fields).text();
    assert!(tried.contains("200 OK in "), "{tried}");
    assert!(tried.contains("GET /api/orders?x=1"), "{tried}");
    let nonsense = [("route", "main"), ("path", "a b"), ("method", "GET")];
    let tried = visitor.press("/try", &nonsense).text();
    assert!(tried.contains("This is no path"), "{tried}");
}

#[test]
fn a_route_is_tried_at_a_listener_that_serves_it() {
    let free = free_port();
    let visitor = Visitor::signed_in_at(&format!(
        "[{{address: \"127.0.0.1:{free}\", routes: [other]}}, \
         {{address: \"127.0.0.1:@PROXY@\", routes: [main]}}]"
    ));
    for route in ["main", "other"] {
        let fields = [("route", route), ("path", "x"), ("method", "GET")];
        let tried = visitor.press("/try", &fields).text();
        assert!(tried.contains("200 OK in "), "{tried}");
    }
}

#[test]
fn an_account_is_created_and_removed() {
    let visitor = Visitor::signed_in();
    assert!(visitor.get("/new/test").text().contains("Account key"));
    let wrong = visitor.press("/new/test", &[("key", "two words")]);
    assert_eq!(wrong.status, 422);
    assert!(wrong.text().contains("letters, digits"), "{}", wrong.text());
    let made = visitor.press("/new/test", &[("key", "two")]);
    assert_eq!(made.header("location"), Some("/accounts/two"));
    eventually("the new account's token", || {
        visitor.get("/accounts/two").text().contains("Connected")
    });
    let asked = visitor.get("/accounts/two/disconnect").text();
    assert!(asked.contains("Disconnect two?"), "{asked}");
}

#[test]
fn a_change_is_told_to_open_pages() {
    let visitor = Visitor::signed_in();
    let mut events = Conn::to(visitor.sidekey.admin);
    events.send(format!(
        "GET /events HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n",
        visitor.sidekey.admin, visitor.cookie
    ));
    // From here on it tells of what changes.
    let begun = events.until(": hello");
    assert!(begun.contains("text/event-stream"), "{begun}");
    assert_eq!(visitor.press("/accounts/one/refresh", &[]).status, 303);
    let told = events.until("account-one");
    assert!(told.contains("event: part"), "{told}");
}

#[test]
fn an_oversized_request_is_told_what_to_clear() {
    let visitor = Visitor::signed_in();
    let cookie = format!("{}; other={}", visitor.cookie, "x".repeat(20 * 1024));
    let headers = [("Cookie", cookie.as_str()), ("Accept", "text/html")];
    let answer = call(visitor.sidekey.admin, "GET", "/", &headers, b"");
    assert_eq!(answer.status, 431);
    assert!(
        answer.text().contains("clear the cookies"),
        "{}",
        answer.text()
    );
}
