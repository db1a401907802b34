//! Two people, `ann` and `bob`, each with an account of their own.

use super::{AuthServer, Conf, Server};

/// A configuration whose only route, at `/api/`, serves its callers by the account
/// of their name; what goes upstream names the port of that account's token
/// endpoint. `callers` is the route's list.
pub fn two_people([ann, bob]: &[AuthServer; 2], upstream: &Server, callers: &str) -> String {
    let url = upstream.url();
    let conf = Conf::at("http://127.0.0.1:{port}/token", &format!("{url}/"));
    let yaml = conf.integration("parameters: [port]").yaml();
    let (before, _) = yaml.split_once("accounts:").unwrap();
    let [ann, bob] = [ann, bob].map(|auth| auth.server.address.port());
    format!(
        "{before}accounts:\n\
         \x20 - {{key: ann, integration: test, parameters: {{port: \"{ann}\"}}}}\n\
         \x20 - {{key: bob, integration: test, parameters: {{port: \"{bob}\"}}}}\n\
         routes:\n\
         \x20 - name: main\n\
         \x20   path: /api/\n\
         \x20   upstream: {url}/at-{{port}}/\n\
         \x20   integration: test\n\
         \x20   account: \"{{caller.name}}\"\n\
         \x20   callers: {callers}\n"
    )
}
