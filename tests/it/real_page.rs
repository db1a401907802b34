//! The page in Debian's Chromium: pressed as a person does, held against
//! axe-core in light, dark and on a phone, and pictured; and the API held
//! against its own description by schemathesis.

use crate::support::real::file;
use crate::support::sidekey::Launch;
use crate::support::{Answer, AuthServer, Server, Sidekey, eventually, get};
use std::path::Path;
use std::process::Command;

const ADMIN_TOKEN: &str = "admin-token-of-the-page";

/// What the page has to show: accounts in every state.
struct Stage {
    sidekey: Sidekey,
    _servers: Vec<AuthServer>,
    _others: Vec<Server>,
}

impl Stage {
    fn start() -> Self {
        let servers: Vec<_> = (0..4).map(|_| AuthServer::start()).collect();
        let [good, short, refusing, down] = &servers[..] else {
            unreachable!("four were started");
        };
        short.life(Some(240));
        refusing.fail(Answer::json(401, "{\"error\":\"invalid_client\"}"));
        down.fail(Answer::json(503, "{\"error\":\"temporarily_unavailable\"}"));
        let consent = Server::start(consent);
        let upstream = Server::start(|_| Answer::json(200, "{\"orders\": []}"));
        let mut yaml = include_str!("../real/page.yaml").to_owned();
        for (mark, url) in [
            ("@GOOD@", good.endpoint()),
            ("@SHORT@", short.endpoint()),
            ("@REFUSING@", refusing.endpoint()),
            ("@DOWN@", down.endpoint()),
            ("@CONSENT@", consent.url()),
            ("@UPSTREAM@", upstream.url()),
            ("@TOKEN@", ADMIN_TOKEN.to_owned()),
        ] {
            yaml = yaml.replace(mark, &url);
        }
        let mut sidekey = Sidekey::launch(&Launch {
            yaml,
            ..Launch::default()
        });
        sidekey.wait_for("/livez");
        eventually("the first attempts", || {
            let states = get(sidekey.admin, "/readyz").text();
            states.contains("erp misconfigured") && states.contains("billingEu connected")
        });
        Self {
            sidekey,
            _servers: servers,
            _others: vec![consent, upstream],
        }
    }

    fn admin(&self) -> String {
        format!("http://{}", self.sidekey.admin)
    }
}

/// An authorization endpoint at which everybody consents.
fn consent(request: &crate::support::http::Request) -> Answer {
    let query = request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    let of = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.into_owned())
    };
    let (Some(back), Some(state)) = (of("redirect_uri"), of("state")) else {
        return Answer::new(400);
    };
    let state: String = url::form_urlencoded::byte_serialize(state.as_bytes()).collect();
    let back = format!("{back}?code=the-code&state={state}");
    Answer::new(302).header("Location", &back)
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{command:?}\n{text}");
}

/// Pictures are left in `target/page`.
#[test]
fn the_page_can_be_used_by_everybody() {
    file("node_modules/playwright-core");
    let stage = Stage::start();
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/page");
    succeeds(
        Command::new("node")
            .arg(file("page.mjs"))
            .args([&stage.admin(), ADMIN_TOKEN])
            .arg(pictures),
    );
}

#[test]
fn the_api_keeps_to_its_description() {
    let stage = Stage::start();
    let cache = tempfile::tempdir().unwrap();
    succeeds(
        Command::new(file(".venv/bin/schemathesis"))
            .current_dir(cache.path())
            .arg("--config-file")
            .arg(file("schemathesis.toml"))
            .args(["run", &format!("{}/api/openapi.json", stage.admin())])
            .args(["--header", &format!("Authorization: Bearer {ADMIN_TOKEN}")])
            .args(["--phases", "examples,coverage,fuzzing"])
            .args(["--max-examples", "20", "--max-time", "60"])
            .args(["--generation-deterministic", "--no-color"]),
    );
}
