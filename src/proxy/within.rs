//! Requests of a caller that believes to speak to an origin, inside of the
//! connection that it had CONNECT made for it (RFC 9110, 9.3.6).

use super::refusal::Refusal;
use http::header::HeaderValue;

/// HTTPS' own port (RFC 9110, 4.2.2).
const USUAL: u16 = 443;

/// The origin, `https://host:port`.
pub struct Origin {
    /// In lower case; an IPv6 address in brackets.
    pub host: Box<str>,
    pub port: u16,
}

impl Origin {
    /// Refuses a request for another origin: its caller has seen no certificate
    /// for that one. `host` is what `Host` names, in lower case and without a port.
    pub fn check(&self, host: &str, field: &HeaderValue) -> Result<(), Refusal> {
        let port = field.as_bytes().get(host.len()..).unwrap_or_default();
        let port = match std::str::from_utf8(port).unwrap_or_default() {
            "" | ":" => Some(USUAL),
            written => written.trim_start_matches(':').parse().ok(),
        };
        match *host == *self.host && port == Some(self.port) {
            true => Ok(()),
            false => Err(Refusal::bad_request(
                "the Host header is not what CONNECT has named: each host has a connection \
                 of its own",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;
    use http::HeaderValue;

    #[test]
    fn a_request_is_for_the_host_and_port_of_its_connection() {
        for (port, host, field, expected) in [
            (443, "a.example", "a.example", true),
            (443, "a.example", "A.example:443", true),
            (443, "a.example", "a.example:", true),
            (443, "a.example", "a.example:80", false),
            (443, "b.example", "b.example", false),
            (8443, "a.example", "a.example:8443", true),
            (8443, "a.example", "a.example", false),
        ] {
            let origin = Origin {
                host: "a.example".into(),
                port,
            };
            let field = HeaderValue::from_static(field);
            assert_eq!(origin.check(host, &field).is_ok(), expected, "{field:?}");
        }
    }
}
