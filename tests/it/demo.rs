//! The demo, which is the README's first command.

use crate::support::sidekey::run_to_end;
use crate::support::{free_port, local};
use std::net::TcpListener;

/// Four free ports in a row.
fn ports() -> u16 {
    loop {
        let base = free_port();
        let held: Vec<_> = (0..4).map(|n| TcpListener::bind(local(base + n))).collect();
        if held.iter().all(Result::is_ok) {
            return base;
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
