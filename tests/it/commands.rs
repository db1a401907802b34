//! The commands that speak to a running process about a person's account.

use crate::support::{Browser, Conf, Consent, Server, Sidekey};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

fn started() -> (Consent, Server, Sidekey) {
    let consent = Consent::start();
    let upstream = consent.upstream();
    let token = format!("{}/token", consent.server.url());
    let mut conf = Conf::at(&token, &format!("{}/", upstream.url()));
    conf.oauth2 = consent.lines();
    let yaml = conf.yaml();
    let yaml = yaml.replace("      grant_type: client_credentials\n", "");
    let sidekey = Sidekey::run_yaml(&yaml);
    (consent, upstream, sidekey)
}

fn ended(mut command: Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap_or(-1);
    (code, text(output.stdout), text(output.stderr))
}

/// Connects by the command; `visit` does what a person would do with the
/// address, and gives what is to be pasted.
fn connect(sidekey: &Sidekey, visit: impl FnOnce(&str) -> Option<String>) -> (i32, String) {
    let mut command = sidekey.cli(&["connect", "one", "--no-browser"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = said.by_ref().map(Result::unwrap);
    let redirect = said
        .find(|line| line.contains("must be registered"))
        .unwrap();
    assert!(redirect.contains("/oauth/callback"), "{redirect}");
    let address = said.find(|line| line.contains("/authorize?")).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    if let Some(pasted) = visit(address.trim()) {
        writeln!(stdin, "{pasted}").unwrap();
    }
    // What else it says is not to block it.
    let rest = std::thread::scope(|scope| {
        let rest = scope.spawn(move || said.collect::<Vec<_>>().join("\n"));
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (
            output.status.code().unwrap_or(-1),
            format!("{text}{}", rest.join().unwrap()),
        )
    });
    drop(stdin);
    rest
}

fn consent(address: &str) -> String {
    let answer = Browser::default().get(address);
    answer.header("location").unwrap().to_owned()
}

#[test]
fn connect_waits_for_the_browser_and_says_what_happened() {
    let (consent_server, _upstream, sidekey) = started();
    let (code, said) = connect(&sidekey, |address| {
        let page = Browser::default().get(&consent(address));
        assert_eq!(page.status, 200, "{}", page.text());
        None
    });
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("one is connected\n"), "{said}");
    assert_eq!(sidekey.get("/api/").status, 200);
    let (code, token, _) = ended(sidekey.cli(&["token", "one"]));
    assert_eq!(code, 0);
    assert!(
        token.starts_with("acc3ss") && token.lines().count() == 1,
        "{token}"
    );
    let (code, said, why) = ended(sidekey.cli(&["refresh", "one"]));
    assert_eq!(code, 0, "{said}{why}");
    let (code, said, why) = ended(sidekey.cli(&["revoke", "one"]));
    assert_eq!(code, 0, "{said}{why}");
    assert!(said.contains("were revoked"), "{said}");
    assert_eq!(consent_server.live(), 0);
    let (code, token, why) = ended(sidekey.cli(&["token", "one"]));
    assert_eq!((code, token.as_str()), (1, ""), "{why}");
}

#[test]
fn the_final_address_can_be_pasted() {
    let (_consent, _upstream, sidekey) = started();
    let (code, said) = connect(&sidekey, |address| Some(consent(address)));
    assert_eq!(code, 0, "{said}");
    assert_eq!(sidekey.get("/api/").status, 200);
    let (code, said, why) = ended(sidekey.cli(&["disconnect", "one"]));
    assert_eq!(code, 0, "{said}{why}");
    assert_eq!(sidekey.get("/api/").problem(), "account_not_connected");
}

#[test]
fn a_refusal_ends_the_command_with_its_reason() {
    let (server, _upstream, sidekey) = started();
    server.says("access_denied");
    let (code, said) = connect(&sidekey, |address| Some(consent(address)));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("refused consent"), "{said}");
}

#[test]
fn an_unknown_account_is_named() {
    let (_consent, _upstream, sidekey) = started();
    for command in ["connect", "refresh", "revoke", "disconnect", "token"] {
        let (code, said, why) = ended(sidekey.cli(&[command, "nobody"]));
        assert_eq!((code, said.as_str()), (1, ""));
        assert!(why.contains("there is no account nobody"), "{why}");
    }
}

#[test]
fn connect_without_an_account_gives_a_link_to_the_page() {
    let (_consent, _upstream, sidekey) = started();
    let (code, link, _) = ended(sidekey.cli(&["connect", "--no-browser"]));
    assert_eq!(code, 0);
    let mut browser = Browser::default();
    assert_eq!(browser.get(link.trim()).status, 303);
    let home = browser.get(&format!("http://{}/", sidekey.admin));
    assert!(home.text().contains("/connect/one"), "{}", home.text());
    assert_eq!(Browser::default().get(link.trim()).status, 403);
}
