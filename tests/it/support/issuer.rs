//! An issuer of JWTs: signs what it is told to, and publishes its keys.

use super::http::Request;
use super::server::{Answer, Server};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// Its server, and the keys that it publishes now.
pub struct Issuer {
    pub server: Server,
    keys: Published,
}

type Published = Arc<Mutex<Option<Vec<Value>>>>;

/// A key, published or not.
pub struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

impl Issuer {
    /// Publishes these keys.
    pub fn start(keys: &[&Key]) -> Self {
        let published = Published::default();
        let shown = published.clone();
        let issuer = Self {
            server: Server::start(move |request| answer(request, &shown)),
            keys: published,
        };
        issuer.publish(keys);
        issuer
    }

    pub fn name(&self) -> String {
        self.server.url()
    }

    pub fn publish(&self, keys: &[&Key]) {
        let keys = keys.iter().map(|key| key.jwk()).collect();
        *self.keys.lock().unwrap() = Some(keys);
    }

    /// It answers with 500 from now on.
    pub fn fail(&self) {
        *self.keys.lock().unwrap() = None;
    }

    /// How often its keys were asked for.
    pub fn asked(&self) -> usize {
        let requests = self.server.requests();
        requests.iter().filter(|r| r.target == "/jwks").count()
    }

    /// A token of this issuer for `sidekey`, with these claims besides; a null takes one away.
    pub fn token(&self, key: &Key, more: &Value) -> String {
        let mut claims = json!({
            "iss": self.name(), "aud": "sidekey", "sub": "ann", "exp": now() + 600,
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, v| !v.is_null());
        key.sign(&json!({"alg": "ES256", "kid": key.id}), &claims)
    }
}

fn answer(request: &Request, keys: &Published) -> Answer {
    let Some(keys) = keys.lock().unwrap().clone() else {
        return Answer::new(500);
    };
    let own = format!("http://{}", request.header("host").unwrap());
    match request.target.as_str() {
        "/.well-known/openid-configuration" => {
            let content = json!({"issuer": own, "jwks_uri": format!("{own}/jwks")});
            Answer::json(200, &content.to_string())
        }
        "/jwks" => Answer::json(200, &json!({ "keys": keys }).to_string()),
        _ => Answer::new(404),
    }
}

impl Key {
    pub fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        }
    }

    pub fn jwk(&self) -> Value {
        let (x, y) = self.point().split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y), "kid": self.id, "use": "sig",
        })
    }

    /// Both coordinates.
    pub fn point(&self) -> &[u8] {
        &self.pair.public_key().as_ref()[1..]
    }

    pub fn sign(&self, head: &Value, claims: &Value) -> String {
        let signed = unsigned(head, claims);
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", b64(signature.unwrap().as_ref()))
    }
}

/// The first two parts of a token.
pub fn unsigned(head: &Value, claims: &Value) -> String {
    let part = |value: &Value| b64(value.to_string().as_bytes());
    format!("{}.{}", part(head), part(claims))
}

pub fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since the epoch.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
