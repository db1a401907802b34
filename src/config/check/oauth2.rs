//! The `oauth2` block of an integration.

use super::inputs::Input;
use super::outgoing::Proxies;
use crate::base::template::{Template, UrlTemplate};
use crate::config::checked::{
    ClientAuth, ClientSecret, CodeChallenge, GrantType, OAuth2, SecretTemplate, TokenMethod,
};
use crate::config::mistakes::Mistake;
use crate::config::reader::{Located, Reader};
use crate::config::scalar::{Origin, Scalar};
use crate::config::written::Node;

/// Reads the block, and adds its inputs.
pub(super) fn read(
    oauth2: &Reader<'_, '_>,
    inputs: &mut Vec<Input>,
    proxies: &Proxies,
) -> Option<OAuth2> {
    let grant_type = grant_type(oauth2);
    let auth = client_auth(oauth2);
    let proxy = proxies.of(oauth2, &proxies.token_requests);
    let urls = Endpoints::read(oauth2, inputs);
    let scope = text(oauth2, "scope", "oauth2.scope", inputs);
    let issuer = issuer(oauth2, inputs);
    let client_id = text(oauth2, "client_id", "oauth2.client_id", inputs);
    let client_secret = client_secret(oauth2, auth, inputs);
    let authorization = "authorization_parameters";
    let authorization_parameters = pairs(
        oauth2,
        authorization,
        "oauth2.authorization_parameters",
        inputs,
    );
    let token_parameters = pairs(
        oauth2,
        "token_parameters",
        "oauth2.token_parameters",
        inputs,
    );
    Some(OAuth2 {
        grant_type,
        authorization_endpoint: urls.authorization,
        token_endpoint: urls.token?,
        token_endpoint_method: match oauth2.choice("token_endpoint_method") {
            "GET" => TokenMethod::Get,
            _ => TokenMethod::Post,
        },
        token_endpoint_auth_method: auth,
        revocation_endpoint: urls.revocation,
        proxy,
        redirect_uri: urls.redirect,
        issuer,
        scope,
        client_id: client_id?,
        client_secret,
        code_challenge_method: code_challenge(oauth2),
        authorization_parameters,
        token_parameters,
    })
}

fn grant_type(oauth2: &Reader<'_, '_>) -> GrantType {
    if oauth2.choice("grant_type") != "authorization_code" {
        return GrantType::ClientCredentials;
    }
    let place = oauth2.value_place("grant_type");
    if oauth2.node("authorization_endpoint").is_none() {
        let what = "`authorization_code` lacks `authorization_endpoint`";
        let mistake = Mistake::error(place, what);
        oauth2
            .ctx
            .report(mistake.expected("where a person gives consent"));
    }
    GrantType::AuthorizationCode
}

fn client_auth(oauth2: &Reader<'_, '_>) -> ClientAuth {
    match oauth2.choice("token_endpoint_auth_method") {
        "client_secret_post" => ClientAuth::Post,
        "none" => ClientAuth::None,
        _ => ClientAuth::Basic,
    }
}

fn code_challenge(oauth2: &Reader<'_, '_>) -> CodeChallenge {
    match oauth2.choice("code_challenge_method") {
        "plain" => CodeChallenge::Plain,
        "none" => CodeChallenge::None,
        _ => CodeChallenge::S256,
    }
}

struct Endpoints {
    authorization: Option<UrlTemplate>,
    token: Option<UrlTemplate>,
    revocation: Option<UrlTemplate>,
    redirect: Option<UrlTemplate>,
}

impl Endpoints {
    fn read(oauth2: &Reader<'_, '_>, inputs: &mut Vec<Input>) -> Self {
        let mut url = |name, label| {
            let located = oauth2.url(name)?;
            refuse_fragment(oauth2, name, &located);
            inputs.push(Input::url(label, &located));
            Some(located.value)
        };
        Self {
            authorization: url("authorization_endpoint", "oauth2.authorization_endpoint"),
            token: url("token_endpoint", "oauth2.token_endpoint"),
            revocation: url("revocation_endpoint", "oauth2.revocation_endpoint"),
            redirect: url("redirect_uri", "oauth2.redirect_uri"),
        }
    }
}

/// RFC 6749, 3.1, 3.1.2 and 3.2.
fn refuse_fragment(oauth2: &Reader<'_, '_>, name: &str, located: &Located<UrlTemplate>) {
    if located.value.has_fragment() {
        let what = format!("`{name}` has a fragment (`#…`)");
        let mistake = Mistake::error(located.from.place, what);
        oauth2.ctx.report(mistake.expected("a URL without one"));
    }
}

/// As the server writes it (RFC 8414, 2), so no URL that is made uniform.
fn issuer(oauth2: &Reader<'_, '_>, inputs: &mut Vec<Input>) -> Option<Template> {
    let located = oauth2.template("issuer")?;
    let text = &located.from.text;
    let is_url = text.starts_with("https://") || text.starts_with("http://");
    if !is_url || text.contains(['?', '#', ' ']) {
        let what = "`issuer` is not an authorization server's name for itself";
        let expected = "a URL without query and fragment, as the server's metadata has it";
        let mistake = Mistake::error(located.from.place, what);
        oauth2.ctx.report(mistake.expected(expected));
        return None;
    }
    inputs.push(Input::text("oauth2.issuer", &located));
    Some(located.value)
}

fn text(
    oauth2: &Reader<'_, '_>,
    name: &str,
    label: &'static str,
    inputs: &mut Vec<Input>,
) -> Option<Template> {
    let located = oauth2.template(name)?;
    inputs.push(Input::text(label, &located));
    Some(located.value)
}

fn pairs(
    oauth2: &Reader<'_, '_>,
    name: &str,
    label: &'static str,
    inputs: &mut Vec<Input>,
) -> Vec<(String, Template)> {
    let mut pairs = Vec::new();
    for (name, located) in oauth2.template_pairs(name) {
        inputs.push(Input::text(label, &located));
        pairs.push((name, located.value));
    }
    pairs
}

fn client_secret(
    oauth2: &Reader<'_, '_>,
    auth: ClientAuth,
    inputs: &mut Vec<Input>,
) -> Option<ClientSecret> {
    let place = oauth2.key_place("client_secret");
    let Some(node) = oauth2.node("client_secret") else {
        if auth != ClientAuth::None {
            let what = "an `oauth2` block lacks `client_secret`";
            let expected = "a secret, or `token_endpoint_auth_method: none`";
            oauth2
                .ctx
                .report(Mistake::error(place, what).expected(expected));
        }
        return None;
    };
    let scalar = oauth2.text("client_secret")?;
    if auth == ClientAuth::None {
        let what = "`client_secret` is not used with `token_endpoint_auth_method: none`";
        oauth2.ctx.report(Mistake::warning(place, what));
    }
    if scalar.text.is_empty() {
        let what = "`client_secret` is empty";
        oauth2.ctx.report(Mistake::error(scalar.place, what));
        return None;
    }
    let literal = !scalar.text.contains('{');
    if literal && matches!(node, Node::Scalar(_)) {
        let what = "a client secret lies in the configuration file; `{file: PATH}` or \
                    `{env: NAME}` keep it out";
        oauth2.ctx.report(Mistake::warning(place, what));
    }
    secret_from(oauth2, scalar, inputs)
}

/// What comes from a file or the environment is taken as it is: another system
/// made it, and a brace in it is no parameter.
fn secret_from(
    oauth2: &Reader<'_, '_>,
    scalar: Scalar,
    inputs: &mut Vec<Input>,
) -> Option<ClientSecret> {
    match scalar.origin {
        Origin::File(path) => Some(ClientSecret::File(path)),
        Origin::Env(_) => Some(ClientSecret::Text(SecretTemplate(Template::literal(
            &scalar.text,
        )))),
        Origin::Written { .. } => {
            let located = oauth2.as_template(scalar)?;
            inputs.push(Input::text("oauth2.client_secret", &located));
            Some(ClientSecret::Text(SecretTemplate(located.value)))
        }
    }
}
