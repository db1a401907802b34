//! Requests of callers that take sidekey for their HTTP proxy, because all they
//! know is `http_proxy`: the request line names the host (RFC 9112, 3.2.2), and
//! CONNECT wants a tunnel to it (RFC 9110, 9.3.6).

use super::connection::Connection;
use super::refusal::{Code, Refusal};
use super::route::WorkerRoute;
use http::header::HeaderValue;
use http::{Uri, Version, request};

/// True where the request line names a host. By HTTP/2 every request does, also
/// of callers that know no proxy.
pub fn is_absolute(head: &request::Parts) -> bool {
    head.uri.authority().is_some() && head.version != Version::HTTP_2
}

/// True for a request that is meant for another host than the listener: by its
/// line, or because its connection is intercepted.
pub fn is_for_another(head: &request::Parts, connection: &Connection) -> bool {
    is_absolute(head) || connection.origin().is_some()
}

/// Refuses a request line that names another host than `Host` does: whichever of
/// the two is meant, somebody would be deceived. That the one names the scheme's
/// own port and the other leaves it out is no difference (RFC 9110, 4.2.3).
pub fn check(uri: &Uri, host: &HeaderValue) -> Result<(), Refusal> {
    let Some(authority) = uri.authority() else {
        return Ok(());
    };
    let usual: &[u8] = match uri.scheme_str() {
        Some("http") => b":80",
        Some("https") => b":443",
        Some(_) => {
            return Err(Refusal::bad_request(
                "the request target's scheme is neither http nor https",
            ));
        }
        None => b"",
    };
    let (named, host) = (authority.as_str().as_bytes(), host.as_bytes());
    let agree = named.eq_ignore_ascii_case(host)
        || without(named, usual).eq_ignore_ascii_case(without(host, usual));
    match agree {
        true => Ok(()),
        false => Err(Refusal::bad_request(
            "the request target's host and the Host header differ",
        )),
    }
}

fn without<'a>(authority: &'a [u8], port: &[u8]) -> &'a [u8] {
    authority.strip_suffix(port).unwrap_or(authority)
}

/// True where the route is meant. A caller that names a foreign host as its
/// target wants that host: a route that names no host has nothing to do with it.
pub fn is_meant(
    head: &request::Parts,
    host: &str,
    connection: &Connection,
    route: &WorkerRoute,
) -> bool {
    !is_for_another(head, connection)
        || route.route.matcher.host.is_some()
        || connection.listener.is_own_name(host)
}

/// No route names the host that a caller wants by its proxy.
pub fn unnamed(host: &str) -> Refusal {
    Refusal::new(
        Code::RouteNotFound,
        format!(
            "no route names the host {host:?}: add one with `match: {{host: {host:?}}}`, \
             `upstream: https://{host}/` and its `account`, or list the host in the \
             caller's `no_proxy`"
        ),
    )
}

/// CONNECT, where nothing says that its target may be reached.
pub fn no_tunnel(head: &request::Parts) -> Refusal {
    let target = head.uri.authority().map(|authority| {
        let host = authority.host();
        format!(" (http://{host}/… in place of https://{host}/…)")
    });
    Refusal::new(
        Code::MethodNotAllowed,
        format!(
            "CONNECT is not proxied: a token can't be written into what is encrypted for \
             another. Call the address by http:// through this proxy{}, for which a route \
             must name the host; sidekey itself calls the route's upstream by https. Or make a \
             local authority by `sidekey ca init` and list the host under `connect.intercept` of \
             the listener, so that https:// gets its token too. Or list host and port under \
             `connect.tunnel`, for a tunnel without a token",
            target.unwrap_or_default()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::check;
    use http::header::HeaderValue;

    #[test]
    fn target_and_host_agree_but_for_the_usual_port() {
        for (target, host, agree) in [
            ("http://a.example/x", "a.example", true),
            ("http://A.example/x", "a.EXAMPLE", true),
            ("http://a.example:80/x", "a.example", true),
            ("http://a.example/x", "a.example:80", true),
            ("https://a.example:443/x", "a.example", true),
            ("http://a.example:8080/x", "a.example:8080", true),
            ("http://[::1]:80/", "[::1]", true),
            ("http://a.example:443/x", "a.example", false),
            ("https://a.example:80/x", "a.example", false),
            ("http://a.example:8080/x", "a.example", false),
            ("http://a.example/x", "b.example", false),
            ("http://a.example:80/x", "a.example:8080", false),
            ("http://user@a.example/x", "a.example", false),
            ("ftp://a.example/x", "a.example", false),
            ("/x", "a.example", true),
        ] {
            let uri = target.parse().unwrap();
            let host = HeaderValue::from_static(host);
            assert_eq!(check(&uri, &host).is_ok(), agree, "{target} {host:?}");
        }
    }
}
