//! The answers of upstreams, played: the program with such an upstream behind,
//! and callers of both versions before it.

use super::answers::{Case, Outcome};
use super::arrivals::Faults;
use super::callers::{Caller, Seen};
use super::upstreams::{self, Script};
use crate::support::{AuthServer, Conf, Sidekey};
use std::sync::Arc;

/// Plays all cases of one version's upstream.
pub fn play(cases: &[Arc<Case>], is_http2: bool) -> Faults {
    let auth = AuthServer::start();
    let script = Script::default();
    let address = upstreams::start(&script, is_http2);
    let scheme = if is_http2 { "h2c" } else { "http" };
    let conf = Conf::at(&auth.endpoint(), &format!("{scheme}://{address}/"));
    // With one worker the next request comes to where the last has been.
    let conf = conf.top("workers: {count: 1}").route("timeout: 30s");
    let sidekey = Sidekey::run(&conf.log("{level: error, access: false}"));
    let mut faults = Faults::default();
    for caller_is_http2 in [false, true] {
        for case in cases {
            let mut scene = Scene {
                sidekey: &sidekey,
                script: &script,
                is_http2: caller_is_http2,
                faults: &mut faults,
            };
            scene.play(case);
        }
    }
    faults
}

struct Scene<'s> {
    sidekey: &'s Sidekey,
    script: &'s Script,
    is_http2: bool,
    faults: &'s mut Faults,
}

impl Scene<'_> {
    fn play(&mut self, case: &Arc<Case>) {
        let proxy = self.sidekey.proxy;
        let mut caller = Caller::to(proxy, self.is_http2);
        self.script.set(Some(case.clone()));
        let seen = caller.ask(proxy, &case.ask, "");
        self.script.set(None);
        if let Some(late) = &case.late {
            self.script.say(late);
        }
        self.check(case, &seen);
        // The caller's connection goes on unless its answer was cut.
        let goes_on = match &seen {
            Ok((Outcome::Answer(..), fields)) => {
                let closing = |(name, value): &(String, String)| {
                    name.eq_ignore_ascii_case("connection") && value == "close"
                };
                !fields.iter().any(closing)
            }
            Ok((Outcome::Cut, _)) => self.is_http2,
            Err(_) => false,
        };
        if goes_on {
            self.check_next(case, &mut caller, "behind");
        }
        self.check_next(case, &mut Caller::to(proxy, self.is_http2), "fresh");
    }

    fn say(&mut self, case: &Case, what: &str) {
        let version = if self.is_http2 { "HTTP/2" } else { "HTTP/1.1" };
        self.faults
            .say(&case.name, &format!("to a caller of {version}: {what}"));
    }

    fn check(&mut self, case: &Case, seen: &Seen) {
        let (outcome, fields) = match seen {
            Ok(seen) => seen,
            Err(fault) => return self.say(case, fault),
        };
        let fits = |wanted: &Outcome| match (wanted, outcome) {
            (Outcome::Answer(wanted, None), Outcome::Answer(status, _)) => wanted == status,
            _ => wanted == outcome,
        };
        if !case.gets.iter().any(fits) {
            let text = match outcome {
                Outcome::Answer(status, Some(body)) => {
                    format!(
                        "{status} {:?}",
                        String::from_utf8_lossy(&body[..body.len().min(200)])
                    )
                }
                other => format!("{other:?}"),
            };
            self.say(case, &format!("{text} and not {:?}", case.gets));
        }
        for gone in &case.gone {
            if fields
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case(gone))
            {
                self.say(case, &format!("{gone} came through"));
            }
        }
    }

    /// The next request gets its own answer, whatever was left over.
    fn check_next(&mut self, case: &Case, caller: &mut Caller, what: &str) {
        let body = format!("{what} {}", case.name);
        let seen = caller.ask(self.sidekey.proxy, "PUT", &body);
        let own = Outcome::Answer(200, Some(body.into_bytes()));
        if !seen.as_ref().is_ok_and(|(outcome, _)| *outcome == own) {
            self.faults.reached.insert(case.name.clone());
            self.say(case, &format!("the next request ({what}): {seen:?}"));
        }
    }
}
