//! What goes on as it was while the configuration is read again.

use crate::support::{Answer, AuthServer, Conf, Conn, Server, Sidekey, eventually};
use rusqlite::Connection;

const RELOADS: &str = "sidekey_config_reloads_total";

fn have_read(sidekey: &Sidekey, yaml: &str) {
    sidekey.configure(yaml);
    hang_up(sidekey);
    // That may have been a reading that had begun before: the next one has not.
    hang_up(sidekey);
}

fn hang_up(sidekey: &Sidekey) {
    let before = sidekey.metric(RELOADS, &[]);
    sidekey.signal("HUP");
    eventually("a reload", || sidekey.metric(RELOADS, &[]) > before);
}

#[test]
fn a_request_under_way_is_replayed_with_its_token_where_it_was_at_first() {
    let auth = AuthServer::start();
    let live = auth.checker();
    let upstream = Server::start(
        move |request| match request.method == "GET" || live(request) {
            true => Answer::ok("content"),
            false => Answer::rejected(),
        },
    );
    let yaml = Conf::new(&auth, &upstream).yaml();
    let sidekey = Sidekey::run_yaml(&yaml);
    let mut upload = Conn::to(sidekey.proxy);
    upload.send(format!(
        "POST /api/ HTTP/1.1\r\nHost: {}\r\nContent-Length: 6\r\n\r\nabc",
        sidekey.proxy
    ));
    eventually("the upload's connection", || upstream.open() == 1);
    let template = "    token: {in: header, name: X-Token, value: \"T {token}\"}\n    oauth2:\n";
    have_read(&sidekey, &yaml.replace("    oauth2:\n", template));
    auth.revoke();
    upload.send("def");
    assert_eq!(upload.response().status, 200);
    let (first, replay) = (&auth.tokens()[0], &auth.tokens()[1]);
    let requests = upstream.requests();
    let sent: Vec<_> = requests.iter().map(|r| r.bearer()).collect();
    assert_eq!(sent, [Some(first.as_str()), Some(replay.as_str())]);
    assert!(requests.iter().all(|r| r.header("x-token").is_none()));
    // Whoever comes now goes by the new configuration, with the same token.
    sidekey.get("/api/");
    let token = format!("T {replay}");
    assert_eq!(upstream.last().header("x-token"), Some(token.as_str()));
    assert_eq!(auth.count(), 2);
}

#[test]
fn a_created_account_whose_record_can_t_be_read_for_a_moment_stays() {
    let auth = AuthServer::start();
    let upstream = auth.upstream();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sidekey.db");
    let yaml = Conf::new(&auth, &upstream)
        .store(&format!(
            "{{path: \"{}\", key: {{generate: true}}}}",
            file.display()
        ))
        .yaml();
    let route = format!(
        "  - {{path: /new/, upstream: \"{}/\", account: new, integration: test}}\n",
        upstream.url()
    );
    let yaml = format!("{yaml}{route}");
    let sidekey = Sidekey::run_yaml(&yaml);
    let body = r#"{"key":"new","integration":"test","parameters":{}}"#;
    assert_eq!(sidekey.api("POST", "/api/accounts", body).status, 201);
    eventually("its token", || sidekey.get("/new/").status == 200);
    let store = Connection::open(&file).unwrap();
    store
        .busy_timeout(std::time::Duration::from_secs(30))
        .unwrap();
    let of = "key = 'created/new'";
    let record = |column: &str| -> Vec<u8> {
        let query = format!("SELECT {column} FROM record WHERE {of}");
        store.query_row(&query, [], |row| row.get(0)).unwrap()
    };
    let put = |body: &[u8]| {
        let update = format!("UPDATE record SET body = ?1 WHERE {of}");
        assert_eq!(store.execute(&update, [body]).unwrap(), 1);
    };
    let whole = record("body");
    put(b"no record of ours");
    have_read(&sidekey, &yaml.replace("scope: api", "scope: more"));
    assert_eq!(sidekey.api("GET", "/api/accounts/new", "").status, 200);
    assert_eq!(sidekey.get("/new/").status, 200);
    eventually("what is said of it", || {
        sidekey.logs().contains("so it stays as it was")
    });
    let before = sidekey.metric(RELOADS, &[]);
    put(&whole);
    eventually("another look, by itself", || {
        sidekey.metric(RELOADS, &[]) > before
    });
    assert_eq!(sidekey.api("GET", "/api/accounts/new", "").status, 200);
    assert_eq!(sidekey.get("/new/").status, 200);
}
