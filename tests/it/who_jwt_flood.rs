//! Callers that send many tokens which prove nothing.

use crate::support::client::Conn;
use crate::support::issuer::{Issuer, Key, b64, now, unsigned};
use crate::support::{Answer, AuthServer, Conf, Response, Server, Sidekey, eventually};
use serde_json::{Value, json};

const NOT_LOOKED_AT: &str = "was not looked at";
const BAD_SIGNATURE: &str = "signature is not valid";

struct Stage {
    auth: AuthServer,
    issuer: Issuer,
    another: Issuer,
    upstream: Server,
    sidekey: Sidekey,
    key: Key,
}

fn trusting(auth: &AuthServer, upstream: &Server, issuers: &[&Issuer]) -> Conf {
    let callers = issuers.iter().map(|issuer| {
        let name = issuer.name();
        format!("{{jwt: {{issuer: \"{name}\", audience: sidekey}}}}")
    });
    let callers: Vec<String> = callers.collect();
    let one_worker = Conf::new(auth, upstream).top("workers: {count: 1}");
    one_worker.route(&format!("callers: [{}]", callers.join(", ")))
}

impl Stage {
    fn start() -> Self {
        let auth = AuthServer::start();
        let upstream = Server::start(|_| Answer::ok("content"));
        let key = Key::new("1");
        let [issuer, another] = [(); 2].map(|()| Issuer::start(&[&key]));
        let sidekey = Sidekey::run(&trusting(&auth, &upstream, &[&issuer]));
        eventually("the issuer's keys", || {
            sidekey.metric("sidekey_issuer_keys", &[]) > 0.0
        });
        Self {
            auth,
            issuer,
            another,
            upstream,
            sidekey,
            key,
        }
    }

    /// And forgets nobody.
    fn trust_another(&self) {
        let issuers = [&self.issuer, &self.another];
        let conf = trusting(&self.auth, &self.upstream, &issuers);
        self.sidekey.configure(&conf.yaml());
        eventually("the reload", || {
            self.sidekey.logs().contains("was read again")
        });
    }

    /// All requests of a connection are one worker's.
    fn connect(&self) -> Conn {
        Conn::to(self.sidekey.proxy)
    }

    fn token(&self, more: &Value) -> String {
        self.issuer.token(&self.key, more)
    }

    /// Of the issuer, with a signature that nobody made.
    fn bad(&self, number: u64) -> String {
        let claims = json!({
            "iss": self.issuer.name(), "aud": "sidekey", "sub": "ann", "exp": now() + 600,
        });
        let signed = unsigned(&json!({"alg": "ES256", "kid": "1"}), &claims);
        let mut signature = [7; 64];
        signature[..8].copy_from_slice(&number.to_be_bytes());
        format!("{signed}.{}", b64(&signature))
    }

    /// Sends requests with these tokens together, and reads the answers.
    fn ask(&self, conn: &mut Conn, tokens: &[&str]) -> Vec<Response> {
        let host = self.sidekey.proxy;
        let requests = tokens.iter().map(|token| {
            format!("GET /api/x HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n")
        });
        conn.send(requests.collect::<String>());
        tokens.iter().map(|_| conn.response()).collect()
    }

    fn status(&self, conn: &mut Conn, token: &str) -> u16 {
        self.ask(conn, &[token])[0].status
    }
}

#[track_caller]
fn is_refused(answer: &Response) {
    let found = (answer.status, answer.problem());
    assert_eq!(found, (401, "caller_not_authenticated"));
}

#[test]
fn a_flood_is_looked_at_in_part_and_harms_nobody_who_is_known() {
    let stage = Stage::start();
    let mut conn = stage.connect();
    let known = stage.token(&json!({}));
    assert_eq!(stage.status(&mut conn, &known), 200);
    let mut number = 0;
    eventually("tokens that are not looked at", || {
        let mut limited = false;
        for _ in 0..20 {
            let bad: Vec<String> = (number..number + 15).map(|n| stage.bad(n)).collect();
            number += 15;
            let mut tokens: Vec<&str> = bad.iter().map(String::as_str).collect();
            tokens.push(&known);
            let mut answers = stage.ask(&mut conn, &tokens);
            assert_eq!(answers.pop().unwrap().status, 200, "it is remembered");
            for answer in answers {
                if answer.text().contains(NOT_LOOKED_AT) {
                    let found = (
                        answer.status,
                        answer.problem(),
                        answer.header("retry-after"),
                    );
                    assert_eq!(found, (503, "overloaded", Some("1")));
                    limited = true;
                    continue;
                }
                is_refused(&answer);
                assert!(answer.text().contains(BAD_SIGNATURE), "{}", answer.text());
            }
        }

        limited
    });
    // All that is known is to be looked at once more, behind many that are not good.
    stage.trust_another();
    let bad: Vec<String> = (number..number + 300).map(|n| stage.bad(n)).collect();
    let mut tokens: Vec<&str> = bad.iter().map(String::as_str).collect();
    tokens.push(&known);
    let mut answers = stage.ask(&mut conn, &tokens);
    assert_eq!(answers.pop().unwrap().status, 200, "it was known");
    let newcomer = stage.token(&json!({"sub": "bob"}));
    eventually("the next second", || {
        stage.status(&mut conn, &newcomer) == 200
    });
    let served = stage.upstream.count() as u64;
    assert_eq!(served, 3 + number / 15, "none of the bad ones went on");
}

/// As of a client that goes on trying with what it has.
#[test]
fn the_same_token_again_and_again_is_looked_at_once() {
    let stage = Stage::start();
    let mut conn = stage.connect();
    let words = [
        (stage.bad(1), BAD_SIGNATURE),
        (stage.token(&json!({"exp": now() - 600})), "has expired"),
        (stage.token(&json!({"aud": "other"})), "of none of them"),
    ];
    for _ in 0..20 {
        for (token, words) in &words {
            let tokens = [token.as_str(); 15];
            for answer in stage.ask(&mut conn, &tokens) {
                let text = answer.text();
                assert!(text.contains(words), "{text}");
            }
        }
    }
    assert_eq!(stage.status(&mut conn, &stage.token(&json!({}))), 200);
    assert_eq!(stage.upstream.count(), 1);
}

#[test]
fn what_was_refused_lets_in_once_its_key_is_published() {
    let stage = Stage::start();
    let mut conn = stage.connect();
    // Of the same name as the one that is published.
    let next = Key::new("1");
    let token = stage.issuer.token(&next, &json!({}));
    for answer in stage.ask(&mut conn, &[&token, &token]) {
        is_refused(&answer);
        assert!(answer.text().contains(BAD_SIGNATURE));
    }
    stage.issuer.publish(&[&next]);
    // This makes sidekey fetch the keys.
    let unknown = stage.issuer.token(&Key::new("2"), &json!({}));
    is_refused(&stage.ask(&mut conn, &[&unknown])[0]);
    eventually("the new key", || stage.status(&mut conn, &token) == 200);
}
