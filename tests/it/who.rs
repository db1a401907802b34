//! Who may call: callers prove who they are with a key, and each may be served
//! by an account of its own.

use crate::support::people::two_people;
use crate::support::real::file;
use crate::support::sidekey::{Launch, command};
use crate::support::{
    Answer, AuthServer, Conf, Response, Server, Sidekey, call, eventually, eventually_some,
};
use std::process::Command;

const FIELD: &str = "Sidekey-Caller-Key";

/// A file of callers, as the command line makes it.
struct Callers {
    home: tempfile::TempDir,
}

impl Callers {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { home }
    }

    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = command(&self.home);
        command.arg("callers").args(arguments);
        command.args(["--file", "callers"]);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    /// Gives the key.
    fn add(&self, arguments: &[&str]) -> String {
        let (done, text) = self.run(&[&["add"], arguments].concat());
        assert!(done, "{text}");
        text.trim_end().to_owned()
    }

    fn content(&self) -> String {
        std::fs::read_to_string(self.home.path().join("callers")).unwrap_or_default()
    }
}

/// A sidekey with this file beside its configuration.
fn with_callers(yaml: &str, callers: &Callers) -> Sidekey {
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: yaml.to_owned(),
        files: vec![("callers".into(), callers.content())],
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    sidekey
}

struct Stage {
    auth: AuthServer,
    upstream: Server,
    callers: Callers,
    sidekey: Sidekey,
    /// Of `ann` and of `bob`.
    keys: [String; 2],
}

fn stage(who: &str) -> Stage {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let callers = Callers::new();
    let keys = [callers.add(&["ann"]), callers.add(&["bob"])];
    let conf = Conf::new(&auth, &upstream).top("callers_file: callers");
    let conf = conf.route(&format!("callers: [{who}]"));
    let sidekey = with_callers(&conf.yaml(), &callers);
    Stage {
        auth,
        upstream,
        callers,
        sidekey,
        keys,
    }
}

impl Stage {
    fn with(&self, key: &str) -> Response {
        call(self.sidekey.proxy, "GET", "/api/x", &[(FIELD, key)], b"")
    }
}

#[track_caller]
fn is_refused(answer: &Response) {
    let code = answer.problem();
    assert_eq!((answer.status, code), (403, "caller_not_allowed"));
}

/// The line of the access log about this path.
fn logged(sidekey: &Sidekey, path: &str) -> String {
    eventually_some(path, || {
        let logs = sidekey.logs();
        let mut lines = logs.lines().filter(|line| line.contains(path));
        lines.next().map(str::to_owned)
    })
}

#[test]
fn whoever_is_not_named_is_refused() {
    let stage = stage("{key: ann}");
    let [ann, bob] = &stage.keys;
    assert_eq!(stage.with(ann).status, 200);
    is_refused(&stage.with(bob));
    is_refused(&stage.sidekey.get("/api/x"));
    is_refused(&stage.with(""));
    is_refused(&stage.with(&ann[..ann.len() - 1]));
    is_refused(&stage.with(&format!("{ann}x")));
    let both = [(FIELD, ann.as_str()), (FIELD, bob.as_str())];
    is_refused(&call(stage.sidekey.proxy, "GET", "/api/x", &both, b""));
    assert_eq!(stage.upstream.count(), 1);
    let counted = [("reason", "caller_not_allowed")];
    eventually("the count of them", || {
        stage.sidekey.metric("sidekey_refused_total", &counted) == 6.0
    });
}

#[test]
fn a_key_is_nobodys_else_to_see() {
    let stage = stage("{key: \"*\"}");
    let [ann, bob] = &stage.keys;
    assert_eq!(stage.with(ann).status, 200);
    assert_eq!(stage.with(bob).status, 200);
    for seen in stage.upstream.requests() {
        assert!(seen.all(FIELD).is_empty());
        assert_eq!(seen.bearer(), Some(stage.auth.token().as_str()));
        assert!(!String::from_utf8_lossy(&seen.head).contains("sidekey_"));
    }
    let wrong = "sidekey_of-nobody-0123456789";
    is_refused(&call(
        stage.sidekey.proxy,
        "GET",
        "/api/wrong",
        &[(FIELD, wrong)],
        b"",
    ));
    let line = logged(&stage.sidekey, "/api/wrong");
    assert!(line.contains("error=caller_not_allowed"), "{line}");
    let said = format!("{}{}", stage.sidekey.logs(), stage.sidekey.metrics());
    for secret in [ann, bob, wrong] {
        assert!(!said.contains(secret) && !stage.callers.content().contains(secret));
    }
}

#[test]
fn a_key_ends_here_also_where_nobody_asks_for_it() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream));
    let fields = [(FIELD, "sidekey_x"), ("Sidekey-Caller-Token", "a.b.c")];
    let answer = call(sidekey.proxy, "GET", "/api/", &fields, b"");
    assert_eq!(answer.status, 200);
    for (field, _) in fields {
        assert!(upstream.only().all(field).is_empty(), "{field}");
    }
}

#[test]
fn a_key_in_the_tokens_place_is_no_key() {
    let stage = stage("{key: ann}");
    let bearer = format!("Bearer {}", stage.keys[0]);
    let fields = [("Authorization", bearer.as_str())];
    is_refused(&call(stage.sidekey.proxy, "GET", "/api/", &fields, b""));
    assert_eq!(stage.upstream.connections(), 0);
    // Beside one in its own place it is replaced by the token, as ever.
    let both = [fields[0], (FIELD, stage.keys[0].as_str())];
    let answer = call(stage.sidekey.proxy, "GET", "/api/", &both, b"");
    assert_eq!(answer.status, 200);
    let token = stage.auth.token();
    assert_eq!(stage.upstream.only().bearer(), Some(token.as_str()));
}

#[test]
fn the_access_log_says_who() {
    let stage = stage("{key: \"*\"}");
    for (key, name) in stage.keys.iter().zip(["ann", "bob"]) {
        let path = format!("/api/of-{name}");
        let answer = call(stage.sidekey.proxy, "GET", &path, &[(FIELD, key)], b"");
        assert_eq!(answer.status, 200);
        let line = logged(&stage.sidekey, &path);
        assert!(line.contains(&format!(" caller={name}")), "{line}");
    }
}

#[test]
fn a_changed_file_counts_at_once() {
    let stage = stage("{key: ann}");
    let [ann, _] = &stage.keys;
    assert_eq!(stage.with(ann).status, 200);
    let put = || stage.sidekey.put("callers", &stage.callers.content());
    let second = stage.callers.add(&["ann", "--another"]);
    put();
    eventually("the second key", || stage.with(&second).status == 200);
    assert_eq!(stage.with(ann).status, 200, "both work");
    let third = stage.callers.add(&["ann", "--replace"]);
    put();
    eventually("the third key", || stage.with(&third).status == 200);
    // One worker may have the new file before another.
    for old in [ann, &second] {
        eventually("the end of an old key", || stage.with(old).status == 403);
    }
    assert!(stage.callers.run(&["remove", "ann"]).0);
    put();
    // The configuration still names her, and nobody can call as her.
    eventually("the end of her keys", || stage.with(&third).status == 403);
}

#[test]
fn the_command_shows_a_key_once_and_keeps_its_digest() {
    let callers = Callers::new();
    let key = callers.add(&["ann"]);
    assert!(key.starts_with("sidekey_") && key.len() == 51, "{key}");
    let (done, said) = callers.run(&["add", "ann"]);
    assert!(!done && said.contains("--replace"), "{said}");
    callers.add(&["ann", "--another"]);
    callers.add(&["bob"]);
    let (_, listed) = callers.run(&["list"]);
    assert_eq!(listed, "ann  2 keys\nbob  1 key\n");
    assert!(!callers.content().contains(&key));
    assert_eq!(callers.content().lines().count(), 3);
    let (done, _) = callers.run(&["remove", "ann"]);
    assert!(done);
    let (done, said) = callers.run(&["remove", "ann"]);
    assert!(!done && said.contains("no key"), "{said}");
    assert_eq!(callers.run(&["list"]).1, "bob  1 key\n");
    let (done, said) = callers.run(&["add", "a b"]);
    assert!(!done && said.contains("no name"), "{said}");
}

/// A page that may call asks first, and can't show its key when it does.
#[test]
fn a_pages_question_is_answered_and_its_request_is_not() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let callers = Callers::new();
    let key = callers.add(&["ann"]);
    let conf = Conf::new(&auth, &upstream).top("callers_file: callers");
    let conf = conf.route("callers: [{key: ann}]");
    let conf = conf.route("allow_origins: [\"https://app.example.com\"]");
    let sidekey = with_callers(&conf.yaml(), &callers);
    let origin = ("Origin", "https://app.example.com");
    let asked = ("Access-Control-Request-Method", "GET");
    let answer = call(sidekey.proxy, "OPTIONS", "/api/", &[origin, asked], b"");
    assert_eq!(answer.status, 204);
    is_refused(&call(sidekey.proxy, "GET", "/api/", &[origin], b""));
    let same = format!("http://{}", sidekey.proxy);
    let of_itself = [("Origin", same.as_str()), asked];
    is_refused(&call(sidekey.proxy, "OPTIONS", "/api/", &of_itself, b""));
    assert_eq!(upstream.connections(), 0);
    let answer = call(sidekey.proxy, "GET", "/api/", &[origin, (FIELD, &key)], b"");
    assert_eq!(answer.status, 200);
}

/// Each person's own account, and one who has none.
struct People {
    auths: [AuthServer; 2],
    upstream: Server,
    sidekey: Sidekey,
    /// Of `ann`, `bob` and `eve`.
    keys: [String; 3],
}

fn people() -> People {
    let auths = [AuthServer::start(), AuthServer::start()];
    let upstream = Server::start(|request| Answer::ok(request.target.clone()));
    let callers = Callers::new();
    let keys = ["ann", "bob", "eve"].map(|name| callers.add(&[name]));
    let yaml = two_people(&auths, &upstream, "[{key: \"*\"}]");
    let yaml = format!("callers_file: callers\n{yaml}");
    let sidekey = with_callers(&yaml, &callers);
    People {
        auths,
        upstream,
        sidekey,
        keys,
    }
}

#[test]
fn each_person_is_served_by_that_persons_own_account() {
    let people = people();
    for round in 0..2 {
        for (auth, key) in people.auths.iter().zip(&people.keys) {
            let answer = call(people.sidekey.proxy, "GET", "/api/x", &[(FIELD, key)], b"");
            let at = format!("/at-{}/x", auth.server.address.port());
            assert_eq!((answer.status, answer.text()), (200, at));
            let token = auth.token();
            assert_eq!(
                people.upstream.last().bearer(),
                Some(token.as_str()),
                "{round}"
            );
        }
    }
    let answer = call(
        people.sidekey.proxy,
        "GET",
        "/api/of-eve",
        &[(FIELD, &people.keys[2])],
        b"",
    );
    assert_eq!(
        (answer.status, answer.problem()),
        (503, "account_not_connected")
    );
    let line = logged(&people.sidekey, "/api/of-eve");
    assert!(
        line.contains("caller=eve") && line.contains("account=eve"),
        "{line}"
    );
    is_refused(&people.sidekey.get("/api/x"));
    assert_eq!(people.upstream.count(), 4);
}

#[test]
fn curl_and_python_requests_call_as_themselves() {
    let people = people();
    let [ann, bob, _] = &people.keys;
    let url = format!("http://{}/api/x", people.sidekey.proxy);
    let said = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "--noproxy", "*", "-H"]);
    curl.arg(format!("{FIELD}: {ann}")).arg(&url);
    let of = |at: usize| format!("/at-{}/x", people.auths[at].server.address.port());
    assert_eq!(said(&mut curl), of(0));
    let mut python = Command::new(file(".venv/bin/python"));
    python.env("NO_PROXY", "*").arg("-c").arg(
        "import requests, sys\n\
         s = requests.Session()\n\
         s.headers['Sidekey-Caller-Key'] = sys.argv[2]\n\
         a = s.get(sys.argv[1], timeout=60)\n\
         a.raise_for_status()\n\
         print(a.text)\n\
         assert requests.get(sys.argv[1], timeout=60).status_code == 403",
    );
    assert_eq!(said(python.arg(&url).arg(bob)), of(1));
}
