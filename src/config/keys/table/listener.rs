//! The keys of a listener for applications.

use super::callers::CALLERS;
use crate::config::keys::{Choice, Kind, Need, Section, key, now};
use Kind::{Duration, List, Listening, Text};
use Need::{Default, Optional, Required};

/// The long form of `listen`.
pub static LISTENER: Section = Section {
    what: "a listener",
    keys: &[
        key(
            "address",
            Listening,
            Required,
            "`127.0.0.1:7480`, or `[::]:7480` for IPv6 and IPv4; `unix:/path` for a Unix socket; `fd:3` or `systemd:NAME` for a listening socket that was open when sidekey began.",
        ),
        key(
            "mode",
            Text,
            Default("0600"),
            "Permission bits of a Unix socket's file, in octal: who may write to it may call.",
        ),
        key(
            "hosts",
            List(&Text),
            Optional("loopback names and the hosts that routes name"),
            "Further host names by which callers may reach this listener.",
        ),
        key(
            "tls",
            Kind::Section(&TLS),
            Optional("plain HTTP"),
            "HTTPS: the listener's certificate, and whose certificates callers show.",
        ),
        key(
            "connect",
            Kind::Section(&CONNECT),
            Optional("CONNECT is refused"),
            "For callers that take sidekey for their HTTP proxy and call `https://`: what they may reach by CONNECT.",
        ),
        key(
            "callers",
            CALLERS,
            Optional("whoever can reach the listener"),
            "Who may call; everybody else is refused before any route is looked for. A route's own `callers` holds in addition.",
        ),
        key(
            "routes",
            List(&Text),
            Optional("all routes"),
            "Names of the routes that this listener serves. Its callers find no others, as if these did not exist.",
        ),
    ],
};

static CONNECT: Section = Section {
    what: "`connect` of a listener",
    keys: &[
        key(
            "tunnel",
            List(&Text),
            Optional("no tunnels"),
            "Tunnels, into which no token goes. The hosts and ports that callers may reach by CONNECT: `api.example.com:443`, `*.example.com:443`. What a pattern matches may not lead to this machine or its link; a host that is written out may.",
        ),
        key(
            "connect_timeout",
            Duration,
            Default("5s"),
            "For connecting to the target, the look-up of its name included.",
        ),
        key(
            "tunnel_idle_timeout",
            Duration,
            Default("1h"),
            "How long a tunnel may be silent in both directions.",
        ),
        key(
            "intercept",
            List(&Text),
            Optional("nothing is intercepted"),
            "The hosts whose connections end here, so that the routes that name them serve their requests, token and all: `api.example.com`, `*.example.com`, at port 443 or `:PORT`. Goes before `tunnel`.",
        ),
        key(
            "authority",
            Kind::Section(&AUTHORITY),
            Optional("none; `intercept` needs one"),
            "Who signs the certificates that callers of intercepted hosts see, and must trust: `sidekey ca init` makes one.",
        ),
    ],
};

static AUTHORITY: Section = Section {
    what: "a listener's authority",
    keys: &[
        key(
            "certificate",
            Text,
            Required,
            "The file with the authority's certificate, PEM, those between it and the root behind it; a relative path starts at the configuration's folder. Read again when it changes.",
        ),
        key(
            "key",
            Text,
            Required,
            "The file with the certificate's private key, PEM, for its owner only; read again when it changes.",
        ),
    ],
};

static CLIENT_CERTIFICATE: &[Choice] = &[now("required"), now("optional")];

static TLS: Section = Section {
    what: "a listener's TLS",
    keys: &[
        key(
            "certificate",
            Text,
            Required,
            "The file with the listener's certificate and its chain, PEM; a relative path starts at the configuration's folder. Read again when it changes.",
        ),
        key(
            "key",
            Text,
            Required,
            "The file with the certificate's private key, PEM; read again when it changes.",
        ),
        key(
            "client_ca",
            Text,
            Optional("callers are asked for no certificate"),
            "The file with the certificates of those who issue callers' certificates, PEM; read again when it changes.",
        ),
        key(
            "client_certificate",
            Kind::Choice(CLIENT_CERTIFICATE),
            Default("required"),
            "With `client_ca`: whether callers without a certificate are refused in the handshake.",
        ),
    ],
};
