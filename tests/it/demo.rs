//! The demo, which is the README's first command.

use crate::support::sidekey::{command, run_to_end, signal};
use crate::support::{Browser, free_port, get, local};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;

/// Four free ports in a row, which no other test is given.
fn ports() -> u16 {
    loop {
        let got: [u16; 4] = std::array::from_fn(|_| free_port());
        if got.windows(2).all(|pair| pair[1] == pair[0] + 1) {
            return got[0];
        }
    }
}

fn demo(base: u16, more: &[&str]) -> (i32, String) {
    let base = base.to_string();
    let arguments = [&["demo", "--once", "--port-base", &base], more].concat();
    run_to_end(&arguments)
}

#[test]
fn it_shows_everything_and_exits_0() {
    let (code, said) = demo(ports(), &[]);
    assert_eq!(code, 0, "{said}");
    for part in ["refresh", "401", "listen:"] {
        assert!(said.contains(part), "{part}: not in\n{said}");
    }
    let colours = said.contains('\u{1b}');
    assert!(!colours, "no colour where there is no terminal");
}

#[test]
fn it_fails_when_refreshing_does() {
    let (code, said) = demo(ports(), &["--break", "refresh"]);
    assert_eq!(code, 1, "{said}");
}

#[test]
fn it_fails_when_the_api_rejects_for_ever() {
    let (code, said) = demo(ports(), &["--break", "api"]);
    assert_eq!(code, 1, "{said}");
}

#[test]
fn it_fails_when_a_port_is_taken_and_names_it() {
    for offset in 0..4 {
        let base = ports();
        let _holder = TcpListener::bind(local(base + offset)).unwrap();
        let (code, said) = demo(base, &[]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(&(base + offset).to_string()), "{said}");
        assert!(said.contains("--port-base"), "{said}");
    }
}

/// What stands between two texts.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text.split_once(before).expect(before);
    rest.split_once(after).expect(after).0
}

#[test]
fn a_person_connects_an_account_on_the_page() {
    let base = ports();
    let home = tempfile::tempdir().unwrap();
    let mut demo = command(&home)
        .args(["demo", "--port-base", &base.to_string()])
        .spawn()
        .unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    let invited = lines.by_ref().find(|line| line.contains("once), press"));
    assert!(invited.is_some(), "the demo goes on with an invitation");
    let link = lines.next().unwrap();
    let link = link.trim().trim_start_matches("$ ");
    let person = || get(local(base), "/me/");
    assert_eq!(person().problem(), "account_not_connected");

    let mut browser = Browser::default();
    assert_eq!(browser.get(link).status, 303);
    let page = format!("http://127.0.0.1:{}/connect/demoPerson", base + 1);
    let text = browser.get(&page).text();
    let csrf = between(&text, "name=\"csrf\" value=\"", "\"");
    let begun = browser.post(&page, &[("csrf", csrf)]).text();
    let address = between(&begun, "content=\"0; url=", "\"").replace("&#38;", "&");
    let sign_in = Browser::default().get(&address).text();
    let agree = between(&sign_in, "<a href=\"", "\"").replace("&amp;", "&");
    let agreed = format!("http://127.0.0.1:{}{agree}", base + 2);
    let agreed = Browser::default().get(&agreed);
    let back = browser.get(agreed.header("location").unwrap());
    assert_eq!(back.status, 200, "{}", back.text());
    assert!(person().text().contains("Ada"), "{}", person().text());
    signal(demo.id(), "TERM");
    assert_eq!(demo.wait().unwrap().code(), Some(0));
}
