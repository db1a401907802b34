//! `sidekey ca init`, what `sidekey check` says of an authority, and what others
//! make of its certificate.

use crate::support::sidekey::command;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Runs sidekey in a folder of its own: exit code, and what it said.
fn sidekey(home: &TempDir, arguments: &[&str]) -> (i32, String) {
    let output = command(home).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    (output.status.code().unwrap(), said)
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

/// openssl in that folder; it must be content.
fn openssl(home: &TempDir, arguments: &[&str]) -> String {
    let (good, said) = judged(home, arguments);
    assert!(good, "{arguments:?}: {said}");
    said
}

fn judged(home: &TempDir, arguments: &[&str]) -> (bool, String) {
    let mut openssl = Command::new("openssl");
    let output = openssl.args(arguments).current_dir(home.path()).output();
    let output = output.unwrap_or_else(|e| panic!("openssl: {e}: ./test installs it"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

const CONFIGURATION: &str = "\
listen:
  - address: 127.0.0.1:0
    connect:
      intercept: [api.example.com, \"*.crm.example.com\"]
      authority: {certificate: ca.pem, key: ca-key.pem}
integrations:
  - key: crm
    oauth2:
      grant_type: client_credentials
      token_endpoint: https://as.example/token
      client_id: abc
      client_secret: {env: TEST_CLIENT_SECRET}
accounts: [{key: one, integration: crm}]
routes:
  - {match: {host: api.example.com}, upstream: \"https://api.example.com/\", account: one}
  - {match: {host: \"*.crm.example.com\"}, upstream: \"https://api.example.com/crm/\", account: one}
  - {path: /other/, upstream: \"https://other.example.com/x/\", account: one}
";

const CONNECT: &str = "    connect:
      intercept: [api.example.com, \"*.crm.example.com\"]
      authority: {certificate: ca.pem, key: ca-key.pem}
";

fn home(configuration: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("sidekey.yaml"), configuration).unwrap();
    home
}

/// A home with an authority for these hosts beside the configuration.
fn with_authority(hosts: &[&str]) -> TempDir {
    let home = home(CONFIGURATION);
    let hosts = hosts.iter().flat_map(|host| ["--host", host]);
    let arguments: Vec<_> = ["ca", "init", "--out", "."]
        .into_iter()
        .chain(hosts)
        .collect();
    let (code, said) = sidekey(&home, &arguments);
    assert_eq!(code, 0, "{said}");
    home
}

fn check(home: &TempDir) -> (i32, String) {
    sidekey(home, &["check", "--config", "sidekey.yaml"])
}

#[test]
fn it_is_made_for_the_intercepted_hosts_and_says_what_to_do() {
    let home = home(CONFIGURATION);
    let (code, said) = check(&home);
    assert!(code == 1 && said.contains("ca.pem can't be read"), "{said}");
    let (code, said) = sidekey(&home, &["ca", "init", "--config", "sidekey.yaml"]);
    assert_eq!(code, 0, "{said}");
    let folder = home.path().join(".config/sidekey");
    let (certificate, key) = (folder.join("ca.pem"), folder.join("ca-key.pem"));
    for part in [
        "for: *.crm.example.com, api.example.com\n",
        "intercept: [\"*.crm.example.com\", \"api.example.com\"]",
        "REQUESTS_CA_BUNDLE=",
        "NODE_EXTRA_CA_CERTS=",
        "keytool -importcert",
        "--cacert",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains(certificate.to_str().unwrap()), "{said}");
    assert_eq!(
        (mode(&folder), mode(&key), mode(&certificate)),
        (0o700, 0o600, 0o644)
    );
    assert!(!said.contains("PRIVATE"), "{said}");
    let text = openssl(
        &home,
        &[
            "x509",
            "-in",
            certificate.to_str().unwrap(),
            "-noout",
            "-text",
        ],
    );
    for part in [
        "X509v3 Name Constraints: critical",
        "DNS:crm.example.com",
        "DNS:api.example.com",
        "CA:TRUE, pathlen:0",
        "TLS Web Server Authentication",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // What is there stays, unless it is said otherwise; nothing else is left behind.
    let before = fs::read(&certificate).unwrap();
    let (code, said) = sidekey(&home, &["ca", "init", "--config", "sidekey.yaml"]);
    assert!(code == 1 && said.contains("--force"), "{said}");
    assert_eq!(fs::read(&certificate).unwrap(), before);
    let (code, said) = sidekey(
        &home,
        &["ca", "init", "--config", "sidekey.yaml", "--force"],
    );
    assert_eq!(code, 0, "{said}");
    assert_ne!(fs::read(&certificate).unwrap(), before);
    assert_eq!(mode(&key), 0o600);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
}

#[test]
fn half_of_one_that_is_there_stays_as_it_is() {
    for left in ["ca.pem", "ca-key.pem"] {
        let home = home(CONFIGURATION);
        fs::write(home.path().join(left), "mine").unwrap();
        let (code, said) = sidekey(&home, &["ca", "init", "--host", "a.example", "--out", "."]);
        assert!(code == 1 && said.contains(left), "{said}");
        assert_eq!(fs::read(home.path().join(left)).unwrap(), b"mine");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2);
    }
}

#[test]
fn hosts_come_from_the_routes_where_none_are_listed() {
    let home = home(&CONFIGURATION.replace(CONNECT, ""));
    let init = ["ca", "init", "--config", "sidekey.yaml"];
    let (code, said) = sidekey(&home, &init);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("for: api.example.com, other.example.com\n"),
        "{said}"
    );
    let (code, said) = sidekey(&home, &["ca", "init"]);
    assert!(code == 1 && said.contains("--host"), "{said}");
    let bad = ["https://a.example", "a.example:443", "a b", "*", ""];
    for bad in bad.into_iter().chain(["a.example.", "[1.2.3.4]"]) {
        let (code, said) = sidekey(&home, &["ca", "init", "--host", bad, "--out", "bad"]);
        assert!(code == 1 && said.contains("is no host"), "{bad}: {said}");
    }
    assert!(!home.path().join("bad").exists());
}

#[test]
fn nobody_believes_it_for_another_host() {
    let home = with_authority(&["api.example.com", "*.crm.example.com", "10.1.2.3"]);
    let at = |name: &str| home.path().join(name);
    openssl(
        &home,
        &[
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-noout",
            "-out",
            "leaf-key.pem",
        ],
    );
    for (name, believed) in [
        ("DNS:api.example.com", true),
        ("DNS:eu.crm.example.com", true),
        ("IP:10.1.2.3", true),
        ("DNS:other.example.com", false),
        ("DNS:example.com", false),
        ("DNS:api.example.com,DNS:bank.example", false),
        ("IP:10.1.2.4", false),
        ("IP:0:0:0:0:0:0:0:1", false),
    ] {
        fs::write(at("extensions"), format!("subjectAltName={name}\n")).unwrap();
        let request = [
            "req",
            "-new",
            "-key",
            "leaf-key.pem",
            "-subj",
            "/O=a leaf",
            "-out",
            "leaf.csr",
        ];
        openssl(&home, &request);
        let sign = [
            "x509",
            "-req",
            "-in",
            "leaf.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca-key.pem",
        ];
        let more = [
            "-CAcreateserial",
            "-days",
            "1",
            "-extfile",
            "extensions",
            "-out",
            "leaf.pem",
        ];
        openssl(&home, &[&sign[..], &more].concat());
        let verify = [
            "verify",
            "-purpose",
            "sslserver",
            "-CAfile",
            "ca.pem",
            "leaf.pem",
        ];
        let (good, said) = judged(&home, &verify);
        assert_eq!(good, believed, "{name}: {said}");
        assert!(good || said.contains("subtree violation"), "{name}: {said}");
    }
}

#[test]
fn check_is_content_with_what_init_has_made() {
    let home = with_authority(&["api.example.com", "*.crm.example.com"]);
    assert_eq!(check(&home), (0, "sidekey.yaml: no mistakes\n".to_owned()));
}

#[test]
fn check_tells_of_an_authority_that_will_not_do() {
    let home = with_authority(&["api.example.com"]);
    let (code, said) = check(&home);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("may not vouch for `*.crm.example.com`"),
        "{said}"
    );
    assert!(!said.contains("vouch for `api.example.com`"), "{said}");

    let home = with_authority(&["api.example.com", "crm.example.com"]);
    let key = home.path().join("ca-key.pem");
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    let (code, said) = check(&home);
    assert!(code == 0 && said.contains("chmod 600"), "{said}");

    let other = with_authority(&["api.example.com", "crm.example.com"]);
    fs::copy(other.path().join("ca-key.pem"), &key).unwrap();
    let (code, said) = check(&home);
    assert!(code == 1 && said.contains("does not go with"), "{said}");

    let unrouted = CONFIGURATION.replace("host: api.example.com", "path: /api/");
    let config = with_authority(&["api.example.com", "crm.example.com"]);
    fs::write(config.path().join("sidekey.yaml"), unrouted).unwrap();
    let (code, said) = check(&config);
    assert!(code == 0 && said.contains("1 warning"), "{said}");
    assert!(
        said.contains("api.example.com is intercepted, and no route names it"),
        "{said}"
    );

    fs::remove_file(&key).unwrap();
    let (code, said) = check(&home);
    assert!(
        code == 1 && said.contains("ca-key.pem can't be read"),
        "{said}"
    );
}

/// With an authority that somebody else has made.
fn with_foreign(change: impl FnOnce(&mut CertificateParams)) -> (i32, String) {
    with_foreign_key(&KeyPair::generate().unwrap(), change)
}

fn with_foreign_key(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> (i32, String) {
    let home = home(CONFIGURATION);
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let put = |name: &str, text: String| {
        let file: PathBuf = home.path().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
    };
    put("ca.pem", params.self_signed(key).unwrap().pem());
    put("ca-key.pem", key.serialize_pem());
    check(&home)
}

#[test]
fn check_tells_of_an_authority_that_is_old_or_may_do_too_much_or_nothing() {
    let (code, said) = with_foreign(|_| {});
    assert!(
        code == 0 && said.contains("not limited to certain hosts"),
        "{said}"
    );
    assert!(!said.contains("RSA"), "{said}");
    let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let (code, said) = with_foreign_key(&rsa, |_| {});
    assert!(code == 0 && said.contains("signs by RSA"), "{said}");
    let (code, said) = with_foreign(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert!(code == 0 && said.contains("not valid now"), "{said}");
    let (code, said) = with_foreign(|params| params.is_ca = IsCa::NoCa);
    assert!(
        code == 1 && said.contains("no authority's certificate"),
        "{said}"
    );
}

#[test]
fn check_wants_an_authority_and_something_to_do() {
    let line = "      authority: {certificate: ca.pem, key: ca-key.pem}\n";
    let (code, said) = check(&home(&CONFIGURATION.replace(line, "")));
    assert!(code == 1 && said.contains("sidekey ca init"), "{said}");
    let list = "      intercept: [api.example.com, \"*.crm.example.com\"]\n";
    let nothing = CONFIGURATION
        .replace(line, "")
        .replace(list, "      connect_timeout: 1s\n");
    let (code, said) = check(&home(&nothing));
    assert!(
        code == 1 && said.contains("`tunnel` or `intercept`"),
        "{said}"
    );
    let bad = CONFIGURATION.replace("[api.example.com,", "[\"https://api.example.com\",");
    let (code, said) = check(&home(&bad));
    assert!(code == 1 && said.contains("sidekey.yaml:4:"), "{said}");
}

#[test]
fn check_tells_of_an_authority_whose_name_cannot_be_written() {
    for (subject, expected) in [("/DC=com/CN=Works", 0), ("/DC=com/DC=example/CN=Works", 1)] {
        let home = home(CONFIGURATION);
        let new = [
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9",
        ];
        let to = ["-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", subject];
        openssl(&home, &[&new[..], &to].concat());
        let (code, said) = check(&home);
        assert_eq!(code, expected, "{subject}: {said}");
        assert_eq!(said.contains("its subject has parts"), code == 1, "{said}");
    }
}
