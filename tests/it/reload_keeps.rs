//! What goes on as it was while the configuration is read again.

use crate::support::{Answer, AuthServer, Conf, Conn, Server, Sidekey, eventually};

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
    let upstream = Server::start(move |request| match request.method == "GET" || live(request) {
        true => Answer::ok("content"),
        false => Answer::rejected(),
    });
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
