//! What is believed, and what is not.

use super::claims::LEEWAY;
use super::keys::KeySet;
use super::{Fault, LONGEST, Unverified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

enum Signer {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
}

fn ec(of: &'static signature::EcdsaSigningAlgorithm) -> Signer {
    Signer::Ec(EcdsaKeyPair::generate(of).unwrap())
}

fn rsa(encoding: &'static dyn RsaEncoding) -> Signer {
    Signer::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap(), encoding)
}

impl Signer {
    fn jwk(&self, id: &str) -> Value {
        let mut jwk = match self {
            Self::Ec(key) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let crv = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": crv, "x": b64(x), "y": b64(y)})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().as_ref())})
            }
            Self::Rsa(key, _) => {
                let public = key.public_key();
                let n = public.modulus().big_endian_without_leading_zero();
                let e = public.exponent().big_endian_without_leading_zero();
                json!({"kty": "RSA", "n": b64(n), "e": b64(e)})
            }
        };
        jwk["kid"] = id.into();
        jwk
    }

    fn sign(&self, head: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", of(head), of(claims));
        let random = SystemRandom::new();
        let message = signed.as_bytes();
        let signature = match self {
            Self::Ec(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        };
        format!("{signed}.{}", b64(&signature))
    }
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn of(value: &Value) -> String {
    b64(value.to_string().as_bytes())
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn verified(keys: &KeySet, token: &str) -> Result<(), Fault> {
    let token = Unverified::read(token.as_bytes())?;
    keys.verify(&token).map(drop)
}

fn claims() -> Value {
    json!({"iss": "https://a", "sub": "ann", "exp": 1000})
}

#[test]
fn each_algorithm_by_its_own_kind_of_key() {
    let all = [
        ("ES256", ec(&ECDSA_P256_SHA256_FIXED_SIGNING)),
        ("ES384", ec(&ECDSA_P384_SHA384_FIXED_SIGNING)),
        ("EdDSA", Signer::Ed(Ed25519KeyPair::generate().unwrap())),
        ("RS256", rsa(&signature::RSA_PKCS1_SHA256)),
        ("RS384", rsa(&signature::RSA_PKCS1_SHA384)),
        ("RS512", rsa(&signature::RSA_PKCS1_SHA512)),
        ("PS256", rsa(&signature::RSA_PSS_SHA256)),
        ("PS384", rsa(&signature::RSA_PSS_SHA384)),
        ("PS512", rsa(&signature::RSA_PSS_SHA512)),
    ];
    let keys: Vec<_> = all.iter().map(|(name, key)| key.jwk(name)).collect();
    let keys = set(&keys);
    for (name, key) in &all {
        let good = key.sign(&json!({"alg": name, "kid": name}), &claims());
        assert_eq!(verified(&keys, &good), Ok(()), "{name}");
        let anonymous = key.sign(&json!({"alg": name}), &claims());
        let found = verified(&keys, &anonymous);
        // RSA keys are more than are tried.
        let tried = name.starts_with('E');
        assert!(!tried || found.is_ok(), "{name}: {found:?}");
        for (other, _) in all.iter().filter(|(other, _)| other != name) {
            let wrong = key.sign(&json!({"alg": other, "kid": name}), &claims());
            let found = verified(&keys, &wrong);
            let faults = [Err(Fault::Algorithm), Err(Fault::Signature)];
            assert!(faults.contains(&found), "{name} as {other}: {found:?}");
            let wrong = key.sign(&json!({"alg": name, "kid": other}), &claims());
            assert!(verified(&keys, &wrong).is_err(), "{name} under {other}");
        }
    }
}

#[test]
fn a_public_key_is_no_shared_secret_and_nothing_is_unsigned() {
    let key = rsa(&signature::RSA_PKCS1_SHA256);
    let jwk = key.jwk("1");
    let secret = json!({"kty": "oct", "k": b64(b"secret"), "kid": "2"});
    let keys = set(&[jwk.clone(), secret]);
    assert_eq!(keys.count(), 1);
    for secret in [jwk["n"].as_str().unwrap().as_bytes(), b"secret"] {
        let signed = format!("{}.{}", of(&json!({"alg": "HS256"})), of(&claims()));
        let hmac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        let tag = aws_lc_rs::hmac::sign(&hmac, signed.as_bytes());
        let token = format!("{signed}.{}", b64(tag.as_ref()));
        assert_eq!(verified(&keys, &token), Err(Fault::Algorithm));
    }
    for none in ["none", "None", "NONE", ""] {
        let token = format!("{}.{}.", of(&json!({"alg": none})), of(&claims()));
        assert_eq!(verified(&keys, &token), Err(Fault::Algorithm), "{none}");
    }
    let good = key.sign(&json!({"alg": "RS256"}), &claims());
    let (signed, _) = good.rsplit_once('.').unwrap();
    assert_eq!(
        verified(&keys, &format!("{signed}.")),
        Err(Fault::Signature)
    );
    let jku = json!({"alg": "RS256", "jku": "https://evil", "jwk": rsa(&signature::RSA_PKCS1_SHA256).jwk("1")});
    assert_eq!(
        verified(&keys, &key.sign(&jku, &claims())),
        Ok(()),
        "not looked at"
    );
    let crit = json!({"alg": "RS256", "crit": ["b64"], "b64": false});
    assert_eq!(
        verified(&keys, &key.sign(&crit, &claims())),
        Err(Fault::Critical)
    );
}

#[test]
fn a_key_is_for_what_it_says() {
    let key = ec(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let with = |name: &str, value: Value| {
        let mut jwk = key.jwk("1");
        jwk[name] = value;
        KeySet::read(json!({"keys": [jwk]}).to_string().as_bytes()).map(|set| set.count())
    };
    assert_eq!(with("use", "sig".into()), Ok(1));
    assert_eq!(with("alg", "ES256".into()), Ok(1));
    assert_eq!(with("key_ops", json!(["verify"])), Ok(1));
    assert_eq!(with("x5c", json!(["MIIB"])), Ok(1));
    for (name, value) in [
        ("use", json!("enc")),
        ("alg", json!("ES384")),
        ("alg", json!("HS256")),
        ("alg", json!("ECDH-ES")),
        ("key_ops", json!(["sign"])),
        ("crv", json!("secp256k1")),
        ("kty", json!("RSA")),
        ("kty", json!("oct")),
        ("x", json!("!")),
    ] {
        assert!(with(name, value.clone()).is_err(), "{name}: {value}");
    }
    for none in [&b""[..], b"{}", b"[]", b"{\"keys\": {}}", b"{\"keys\": []}"] {
        assert!(KeySet::read(none).is_err());
    }
}

#[test]
fn a_key_that_is_not_there_is_told_from_a_signature_that_is_wrong() {
    let key = ec(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let keys = set(&[key.jwk("1")]);
    let head = |id: &str| json!({"alg": "ES256", "kid": id});
    assert_eq!(verified(&keys, &key.sign(&head("1"), &claims())), Ok(()));
    let other = key.sign(&head("2"), &claims());
    assert_eq!(verified(&keys, &other), Err(Fault::UnknownKey));
    let other = ec(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let other = other.sign(&head("1"), &claims());
    assert_eq!(verified(&keys, &other), Err(Fault::Signature));
}

/// A key without a name must not keep one from being fetched that has the name.
#[test]
fn a_named_key_that_is_not_there_is_missed_beside_keys_without_names() {
    let (old, new) = (
        ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
        ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
    );
    let mut nameless = old.jwk("1");
    nameless.as_object_mut().unwrap().remove("kid");
    let before = set(&[nameless.clone()]);
    let by = |key: &Signer, alg: &str| key.sign(&json!({"alg": alg, "kid": "2"}), &claims());
    assert_eq!(verified(&before, &by(&old, "ES256")), Ok(()));
    let stranger = ec(&ECDSA_P256_SHA256_FIXED_SIGNING);
    for token in [by(&new, "ES384"), by(&stranger, "ES256")] {
        assert_eq!(verified(&before, &token), Err(Fault::UnknownKey));
    }
    let after = set(&[nameless, new.jwk("2")]);
    assert_eq!(verified(&after, &by(&new, "ES384")), Ok(()));
    assert_eq!(
        verified(&after, &by(&stranger, "ES256")),
        Err(Fault::Signature)
    );
}

#[test]
fn a_token_holds_from_nbf_to_exp_give_or_take_a_minute() {
    let key = ec(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let keys = set(&[key.jwk("1")]);
    let of = |claims: Value| {
        let token = key.sign(&json!({"alg": "ES256"}), &claims);
        keys.verify(&Unverified::read(token.as_bytes()).unwrap())
    };
    let token = of(json!({"exp": 1000.7, "nbf": 500})).ok().unwrap();
    assert_eq!(token.holds(500 - LEEWAY), Ok(()));
    assert_eq!(token.holds(500 - LEEWAY - 1), Err(Fault::NotYet));
    assert_eq!(token.holds(1000 + LEEWAY - 1), Ok(()));
    assert_eq!(token.holds(1000 + LEEWAY), Err(Fault::Expired));
    for bad in [json!({}), json!({"exp": "1000"}), json!({"exp": null})] {
        assert_eq!(of(bad).err(), Some(Fault::NoExpiry));
    }
    let bad = of(json!({"exp": 1000, "nbf": "soon"}));
    assert_eq!(bad.err(), Some(Fault::NotYet));
    let far = of(json!({"exp": 1e300})).ok().unwrap();
    assert_eq!(far.holds(i64::MAX - LEEWAY - 1), Ok(()));
}

#[test]
fn what_is_said_is_found_wherever_it_stands() {
    let key = ec(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let keys = set(&[key.jwk("1")]);
    let claims = json!({
        "exp": 1, "aud": ["a", "b"], "scope": "read write", "words": "read write", "n": 7,
        "kubernetes.io": {"namespace": "prod"}, "sub": "x\ny", "map": {}, "long": "x".repeat(257),
    });
    let token = key.sign(&json!({"alg": "ES256"}), &claims);
    let token = keys.verify(&Unverified::read(token.as_bytes()).unwrap());
    let token = token.ok().unwrap();
    let says = |claim, value: &str| token.says(claim, &[value.to_owned()]);
    assert!(token.is_for(&["c".into(), "b".into()]) && !token.is_for(&["c".into()]));
    assert!(says("scope", "write") && !says("scope", "wri") && !says("scope", "read write"));
    assert!(says("words", "read write") && !says("words", "read"));
    assert!(says("n", "7") && says("/kubernetes.io/namespace", "prod"));
    assert!(!says("kubernetes.io", "prod") && !says("none", "") && !says("map", ""));
    assert_eq!(token.name("n").as_deref(), Some("7"));
    for none in ["sub", "map", "long", "aud", "none"] {
        assert_eq!(token.name(none), None, "{none}");
    }
}

#[test]
fn what_is_no_token_is_none() {
    let good = format!("{}.{}.c2ln", of(&json!({"alg": "ES256"})), of(&claims()));
    assert!(Unverified::read(good.as_bytes()).is_ok());
    let long = format!("{good}{}", "A".repeat(LONGEST));
    assert_eq!(
        Unverified::read(long.as_bytes()).err(),
        Some(Fault::TooLong)
    );
    for bad in [
        String::new(),
        "..".into(),
        good.replace('.', ""),
        format!("{good}.e30"),
        format!("={good}"),
        good.replacen('.', "=.", 1),
        format!("{}.{}.c2ln", of(&json!({"kid": "1"})), of(&claims())),
        format!("{}.{}.c2ln", of(&json!({"alg": 1})), of(&claims())),
        format!("{}.{}.c2ln", of(&json!({"alg": "ES256"})), of(&json!([]))),
        format!(
            "{}.{}.c2ln",
            b64(br#"{"alg":"ES256","alg":"none"}"#),
            of(&claims())
        ),
    ] {
        let found = Unverified::read(bad.as_bytes()).err();
        assert_eq!(found, Some(Fault::NotAToken), "{bad}");
    }
}

proptest! {
    #[test]
    fn anything_at_all_is_read_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        head in "\\PC{0,40}", claims in "\\PC{0,40}", signature in "[A-Za-z0-9_-]{0,90}",
        keys in "\\PC{0,80}",
    ) {
        let key = json!({"kty": "EC", "crv": "P-256", "x": b64(&[1; 32]), "y": b64(&[2; 32])});
        let set = set(&[key]);
        let _ = KeySet::read(keys.as_bytes());
        for token in [
            bytes,
            format!("{}.{}.{signature}", b64(head.as_bytes()), b64(claims.as_bytes())).into(),
            format!("{}.{}.{signature}", of(&json!({"alg": "ES256"})), of(&json!({"exp": 1}))).into(),
        ] {
            if let Ok(token) = Unverified::read(&token) {
                prop_assert!(set.verify(&token).is_err());
            }
        }
    }
}
