//! Upstreams whose name has several addresses (RFC 8305). Each sidekey here has
//! names of its own, in a mount namespace with another `/etc/hosts`. Who may run
//! Podman, as the tests of the image do, may make one.

use crate::support::feature::shown;
use crate::support::real::Part;
use crate::support::sidekey::Launch;
use crate::support::tls::curled;
use crate::support::{AuthServer, Conf, Sidekey, call, free_port};
use rustix::process::geteuid;
use std::net::SocketAddr;
use std::process::Command;

/// At two names all addresses but one refuse, whichever is tried first; at the
/// third all do.
const HOSTS: &str = "\
127.0.0.1 localhost
127.0.0.2 first.test
127.0.0.3 first.test
127.0.0.3 second.test
127.0.0.2 second.test
127.0.0.2 nobody.test
127.0.0.4 nobody.test
";
/// Its first argument is the other `/etc/hosts`.
const WITH_HOSTS: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
const SERVER: &str = "require('node:http').createServer((request, response) => \
    response.end(request.method + ' ' + request.url + ' ' + request.headers.authorization))\
    .listen(Number(process.argv[1]), '127.0.0.3')";

struct Stage {
    auth: AuthServer,
    sidekey: Sidekey,
    port: u16,
    _node: Part,
    _hosts: tempfile::TempDir,
}

fn stage() -> Stage {
    let port = free_port();
    let mut node = Command::new("node");
    node.args(["-e", SERVER, &port.to_string()]);
    let node = Part::start("node", tempfile::tempdir().unwrap(), &mut node);
    let node = node.wait_until_it_listens(SocketAddr::from(([127, 0, 0, 3], port)));
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, HOSTS).unwrap();
    let mut wrapper = vec!["unshare", "--mount"];
    if !geteuid().is_root() {
        wrapper.push("--map-root-user");
    }
    wrapper.extend(["sh", "-c", WITH_HOSTS, hosts.to_str().unwrap()]);
    let auth = AuthServer::start();
    let yaml = Conf::at(&auth.endpoint(), "http://127.0.0.1:1/").yaml();
    let (before, _) = yaml.split_once("routes:").unwrap();
    let routes = ["first", "second", "nobody"].map(|name| {
        format!(
            "  - {{name: {name}, path: /{name}/, upstream: \"http://{name}.test:{port}/\", \
             account: one, allow_plaintext: true}}\n"
        )
    });
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: format!("{before}routes:\n{}", routes.concat()),
        wrapper: wrapper.into_iter().map(str::to_owned).collect(),
        ..Launch::default()
    });
    // Where no namespace can be made it ends, and the test with what was said.
    sidekey.wait_for("/readyz");
    Stage {
        auth,
        sidekey,
        port,
        _node: node,
        _hosts: folder,
    }
}

#[test]
fn an_address_that_refuses_is_passed_by() {
    let stage = stage();
    for name in ["first", "second"] {
        for method in ["GET", "POST"] {
            let url = format!("http://{}/{name}/x", stage.sidekey.proxy);
            let said = curled(&["-X", method, &url]);
            assert_eq!(said, format!("{method} /x Bearer {}", stage.auth.token()));
        }
    }
    let what = "a name of which one address refuses";
    shown("HTTP/1.1", what, "curl", "Node http");
}

#[test]
fn where_all_refuse_each_is_told() {
    let stage = stage();
    let answer = call(stage.sidekey.proxy, "GET", "/nobody/", &[], b"");
    assert_eq!(
        (answer.status, answer.problem()),
        (502, "upstream_unreachable")
    );
    for address in ["127.0.0.2", "127.0.0.4"] {
        let told = format!("{address}:{}: ", stage.port);
        assert!(answer.text().contains(&told), "{told}{}", answer.text());
    }
}
