//! Who may call: callers whose connection proves who they are, by a certificate
//! or by a process, and listeners that are for certain callers only.

use crate::support::people::two_people;
use crate::support::sidekey::{Launch, command};
use crate::support::tls::{Authority, curled, put};
use crate::support::{
    Answer, AuthServer, Conf, Server, Sidekey, call, eventually, eventually_some,
};
use rustix::process::{getegid, geteuid};

const FIELD: &str = "Sidekey-Caller-Key";
const PLAIN: &str = "listen: 127.0.0.1:@PROXY@\n";
const MUTUAL: &str = "[{address: \"127.0.0.1:@PROXY@\", tls: {certificate: tls.crt, \
    key: tls.key, client_ca: callers.crt, client_certificate: optional}}]";

/// A sidekey, and what its callers need.
struct Stage {
    sidekey: Sidekey,
    folder: tempfile::TempDir,
    authority: Authority,
    authority_file: String,
    /// Of `ann` and of `bob`.
    keys: [String; 2],
    upstream: Server,
    _auth: AuthServer,
}

/// `@DIR@` is a folder for sockets.
fn stage(listen: &str, routes: &str) -> Stage {
    let auth = AuthServer::start();
    let upstream = Server::start(|request| Answer::ok(request.target.clone()));
    let yaml = Conf::new(&auth, &upstream).yaml();
    let (before, _) = yaml.split_once("routes:").unwrap();
    let yaml = format!(
        "callers_file: callers\n{before}routes:\n{}",
        routes.replace("@UP@", &upstream.url())
    );
    launched(&yaml, listen, auth, upstream)
}

fn launched(yaml: &str, listen: &str, auth: AuthServer, upstream: Server) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let yaml = yaml.replace(PLAIN, &format!("listen: {listen}\n"));
    let keys = ["ann", "bob"].map(|name| key(&folder, name));
    let authority = Authority::new("authority");
    let own = authority.server();
    let callers = std::fs::read_to_string(folder.path().join("callers")).unwrap();
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: yaml.replace("@DIR@", at),
        files: vec![
            ("tls.crt".into(), own.certificate),
            ("tls.key".into(), own.key),
            ("callers.crt".into(), authority.pem()),
            ("callers".into(), callers),
        ],
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    let authority_file = put(folder.path(), "authority.crt", &authority.pem());
    Stage {
        sidekey,
        folder,
        authority,
        authority_file,
        keys,
        upstream,
        _auth: auth,
    }
}

/// A new key, which the file in the folder then knows.
fn key(folder: &tempfile::TempDir, name: &str) -> String {
    let mut command = command(folder);
    command.args(["callers", "add", name, "--another", "--file", "callers"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Stage {
    /// curl's answer, with the status behind it; `who` are a certificate's name
    /// and the URI in it, or none.
    fn secure(&self, who: Option<(&str, &str)>, path: &str) -> String {
        let url = format!("https://127.0.0.1:{}{path}", self.sidekey.proxy.port());
        let mut arguments = vec!["--cacert".to_owned(), self.authority_file.clone()];
        if let Some((name, uri)) = who {
            let issued = match uri {
                "" => self.authority.called(name),
                uri => self.authority.caller(uri),
            };
            let folder = self.folder.path();
            let certificate = put(folder, &format!("{name}.crt"), &issued.certificate);
            let key = put(folder, &format!("{name}.key"), &issued.key);
            arguments.extend(["--cert".into(), certificate, "--key".into(), key]);
        }
        arguments.extend(["-w".into(), " %{http_code}".into(), url]);
        curled(&Vec::from_iter(arguments.iter().map(String::as_str)))
    }

    /// The status of curl's answer over the Unix socket.
    fn local(&self, path: &str) -> String {
        let socket = self.folder.path().join("s");
        let socket = socket.to_str().unwrap();
        let url = format!("http://localhost{path}");
        let status = "%{http_code}";
        curled(&[
            "--unix-socket",
            socket,
            "-o",
            "/dev/null",
            "-w",
            status,
            &url,
        ])
    }

    /// Whom the access log names for this path.
    fn logged(&self, path: &str, caller: &str) {
        let line = eventually_some(path, || {
            let logs = self.sidekey.logs();
            let mut lines = logs.lines().filter(|line| line.contains(path));
            lines.next().map(str::to_owned)
        });
        assert!(line.contains(&format!(" caller={caller}")), "{line}");
    }

    fn with(&self, key: &str, path: &str) -> (u16, String) {
        let fields: &[_] = match key {
            "" => &[],
            key => &[(FIELD, key)],
        };
        let answer = call(self.sidekey.proxy, "GET", path, fields, b"");
        match answer.status {
            200 => (200, String::new()),
            status => (status, answer.problem().to_owned()),
        }
    }
}

fn is_refused(answer: &str) -> bool {
    answer.contains("caller_not_allowed") && answer.ends_with(" 403")
}

#[test]
fn a_certificate_lets_in_whom_it_names() {
    let stage = stage(
        MUTUAL,
        "  - {path: /uri/, upstream: \"@UP@/\", account: one, \
              callers: [{certificate: \"spiffe://x/ann\", name: ann}]}\n\
         \x20 - {path: /common/, upstream: \"@UP@/\", account: one, \
              callers: [{certificate: build}]}\n\
         \x20 - {path: /any/, upstream: \"@UP@/\", account: one, \
              callers: [{certificate: \"*\"}]}\n\
         \x20 - {path: /free/, upstream: \"@UP@/\", account: one}\n",
    );
    let ann = Some(("ann", "spiffe://x/ann"));
    let longer = Some(("longer", "spiffe://x/ann/more"));
    let build = Some(("build", ""));
    assert_eq!(stage.secure(ann, "/uri/a1"), "/a1 200");
    stage.logged("/uri/a1", "ann");
    assert_eq!(stage.secure(build, "/common/a2"), "/a2 200");
    stage.logged("/common/a2", "build");
    assert_eq!(stage.secure(longer, "/any/a3"), "/a3 200");
    stage.logged("/any/a3", "spiffe://x/ann/more");
    assert_eq!(stage.secure(None, "/free/a4"), "/a4 200");
    for (who, path) in [
        (None, "/uri/"),
        (longer, "/uri/"),
        (build, "/uri/"),
        (ann, "/common/"),
        (None, "/any/"),
    ] {
        let answer = stage.secure(who, path);
        assert!(is_refused(&answer), "{who:?} {path}: {answer}");
    }
    assert_eq!(stage.upstream.count(), 4);
}

#[test]
fn a_process_is_its_user_and_its_group() {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let route = |path: &str, who: &str| {
        format!("  - {{path: /{path}/, upstream: \"@UP@/\", account: one, callers: [{who}]}}\n")
    };
    let routes = [
        route("own", &format!("{{uid: {uid}, name: me}}")),
        route("unnamed", &format!("{{uid: {uid}}}")),
        route("other", &format!("{{uid: {}}}", uid + 1)),
        route("group", &format!("{{uid: {}}}, {{gid: {gid}}}", uid + 1)),
        route("groups", &format!("{{gid: {}}}", gid + 1)),
    ];
    let stage = stage(
        "[{address: \"unix:@DIR@/s\"}, {address: \"127.0.0.1:@PROXY@\"}]",
        &routes.concat(),
    );
    assert_eq!(stage.local("/own/a1"), "200");
    stage.logged("/own/a1", "me");
    assert_eq!(stage.local("/unnamed/a2"), "200");
    stage.logged("/unnamed/a2", &format!("uid={uid}"));
    assert_eq!(stage.local("/group/a3"), "200");
    stage.logged("/group/a3", &format!("gid={gid}"));
    assert_eq!(stage.local("/other/"), "403");
    assert_eq!(stage.local("/groups/"), "403");
    let refused = (403, "caller_not_allowed".to_owned());
    assert_eq!(stage.with("", "/own/"), refused, "over the network");
    assert_eq!(stage.upstream.count(), 3);
}

#[test]
fn each_certificate_is_served_by_an_account_of_its_own() {
    let auths = [AuthServer::start(), AuthServer::start()];
    let upstream = Server::start(|request| Answer::ok(request.target.clone()));
    let callers = "[{certificate: \"spiffe://x/ann\", name: ann}, \
                   {certificate: \"spiffe://x/bob\", name: bob}]";
    let yaml = two_people(&auths, &upstream, callers);
    let [ann, bob] = [&auths[0], &auths[1]].map(|auth| auth.server.address.port());
    let [first, second] = auths;
    let stage = launched(&yaml, MUTUAL, first, upstream);
    let tokens = [&stage._auth, &second].map(AuthServer::token);
    for (name, port, token) in [("ann", ann, &tokens[0]), ("bob", bob, &tokens[1])] {
        let uri = format!("spiffe://x/{name}");
        let answer = stage.secure(Some((name, &uri)), &format!("/api/of-{name}"));
        assert_eq!(answer, format!("/at-{port}/of-{name} 200"));
        assert_eq!(stage.upstream.last().bearer(), Some(token.as_str()));
        stage.logged(&format!("/api/of-{name}"), name);
    }
    assert!(is_refused(
        &stage.secure(Some(("eve", "spiffe://x/eve")), "/api/")
    ));
}

#[test]
fn a_listener_lets_in_its_callers_before_it_looks_for_routes() {
    let stage = stage(
        "[{address: \"127.0.0.1:@PROXY@\", callers: [{key: ann}]}]",
        "  - {path: /all/, upstream: \"@UP@/\", account: one}\n\
         \x20 - {path: /bobs/, upstream: \"@UP@/\", account: one, callers: [{key: bob}]}\n\
         \x20 - {path: /both/, upstream: \"@UP@/\", account: one, callers: [{key: \"*\"}]}\n",
    );
    let [ann, bob] = &stage.keys;
    let done = (200, String::new());
    let refused = (403, "caller_not_allowed".to_owned());
    assert_eq!(stage.with(ann, "/all/a1"), done);
    stage.logged("/all/a1", "ann");
    assert_eq!(stage.with(ann, "/both/"), done);
    // Both lists must let the caller in.
    assert_eq!(stage.with(ann, "/bobs/"), refused);
    assert_eq!(stage.with(bob, "/bobs/"), refused);
    assert_eq!(stage.with("", "/all/"), refused);
    // Nobody else learns which routes there are.
    assert_eq!(stage.with("", "/none/"), refused);
    assert_eq!(stage.with(ann, "/none/"), (404, "route_not_found".into()));
    assert_eq!(stage.upstream.count(), 2);
    // A reload lets in who is new, also where the listener stays open.
    let third = key(&stage.folder, "ann");
    assert_eq!(stage.with(&third, "/all/"), refused);
    let file = std::fs::read_to_string(stage.folder.path().join("callers")).unwrap();
    stage.sidekey.put("callers", &file);
    eventually("the new key", || stage.with(&third, "/all/") == done);
}
