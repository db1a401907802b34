//! TLS towards upstreams: by the system's authorities or a route's own, with a
//! client certificate where a route has one.

use super::issuer::issuer;
use crate::base::client_tls::ClientTls;
use crate::base::outgoing::proxy::{Authorities, Proxy};
use crate::net::dial::Origin;
use crate::net::stream::Stream;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError,
    RootCertStore, SignatureScheme,
};
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// As TLS's handshake names them.
const HTTP1: &str = "http/1.1";
const HTTP2: &str = "h2";

/// Names of a certificate that are shown.
const MOST_NAMES: usize = 8;

/// Makes TLS connections; one per process, cheap to clone.
#[derive(Clone)]
pub struct Client {
    /// The system's trust store. Without one only TLS by it fails, and says why.
    system: Result<Arc<dyn ServerCertVerifier>, String>,
    /// For upstreams without settings of their own.
    plain: Result<Arc<ClientConfig>, String>,
}

impl Client {
    /// Reads the operating system's trust store.
    #[must_use]
    pub fn new() -> Self {
        let system = rustls_platform_verifier::Verifier::new(provider())
            .map(|verifier| Arc::new(verifier) as Arc<dyn ServerCertVerifier>)
            .map_err(|error| format!("there is no trust store: {error}"));
        let plain = system.clone().and_then(|by| config(Judge::by(by), None));
        Self {
            system,
            plain: plain.map(Arc::new),
        }
    }

    /// The handshake with an upstream over an open connection, in which HTTP/2
    /// may be offered beside HTTP/1.1 (RFC 7301).
    ///
    /// # Errors
    /// Why not, in words for people.
    pub async fn connect<S: Read + Write + Unpin>(
        &self,
        origin: &Origin,
        stream: S,
        offer_http2: bool,
    ) -> Result<TlsStream<TokioIo<S>>, String> {
        let settings = origin.settings.as_deref();
        let via = origin.via.as_deref();
        let also = via.and_then(|via| Some((via, via.proxy.login.authorities.as_ref()?)));
        let config = match (also, settings) {
            (None, None) => self.plain.clone(),
            (None, Some(settings)) => settings.config(|| self.config_of(Some(settings), None)),
            (Some((via, also)), _) => via.config(|| self.config_of(settings, Some(also))),
        }?;
        let own = settings.and_then(|settings| settings.server_name.clone());
        let name = match own {
            Some(name) => name,
            None => ServerName::try_from(origin.host.clone())
                .map_err(|_| format!("{:?} is not a server name", origin.host))?,
        };
        let connector = TlsConnector::from(config);
        let io = TokioIo::new(stream);
        let connect = match offer_http2 {
            true => connector.with_alpn(alpn(&[HTTP2, HTTP1])).connect(name, io),
            false => connector.connect(name, io),
        };
        connect.await.map_err(|error| match tls_error(&error) {
            Some(error) => explain(error, settings),
            None => format!("the connection ended during the handshake: {error}"),
        })
    }

    /// The handshake with a proxy itself.
    ///
    /// # Errors
    /// Why not, in words for people.
    pub async fn connect_proxy(
        &self,
        proxy: &Proxy,
        stream: Stream,
    ) -> Result<TlsStream<TokioIo<Stream>>, String> {
        let config = match &proxy.login.authorities {
            None => self.plain.clone(),
            Some(own) => own.tls.config(|| self.config_of(None, Some(own))),
        }?;
        let name = ServerName::try_from(proxy.host.clone());
        let name = name.map_err(|_| format!("{:?} is not a server name", proxy.host))?;
        let connect = TlsConnector::from(config).connect(name, TokioIo::new(stream));
        connect.await.map_err(|error| match tls_error(&error) {
            Some(error) => explain(error, None).replace("tls.ca", "the proxy's `ca`"),
            None => format!("the connection ended during the handshake: {error}"),
        })
    }

    /// By the settings' authorities or the system's, and these ones too.
    fn config_of(
        &self,
        settings: Option<&ClientTls>,
        also: Option<&Authorities>,
    ) -> Result<ClientConfig, String> {
        let also = also.and_then(|also| also.tls.roots.as_ref());
        let also = also.map(verifier).transpose()?;
        let first = match settings.and_then(|settings| settings.roots.as_ref()) {
            None => self.system.clone(),
            Some(roots) => verifier(roots),
        };
        let judge = match (first, also) {
            (Err(_), Some(only)) => Judge::by(only),
            (first, second) => Judge {
                first: first?,
                second,
            },
        };
        config(judge, settings)
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

/// True when the upstream has chosen HTTP/2.
#[must_use]
pub fn is_http2<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2.as_bytes())
}

/// The TLS error in an error of a stream, if it is one.
#[must_use]
pub fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// A TLS error in words for people, with the key that may cure it.
#[must_use]
pub fn explain(error: &Error, settings: Option<&ClientTls>) -> String {
    match error {
        Error::InvalidCertificate(why) => certificate(why),
        Error::AlertReceived(alert) => refused(*alert, settings),
        other => other.to_string(),
    }
}

fn alpn(protocols: &[&str]) -> Vec<Vec<u8>> {
    let names = protocols.iter();
    names.map(|name| name.as_bytes().to_vec()).collect()
}

fn verifier(roots: &Arc<RootCertStore>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let built = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider()).build();
    match built {
        Ok(verifier) => Ok(verifier),
        Err(error) => Err(error.to_string()),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn config(judge: Judge, settings: Option<&ClientTls>) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(judge));
    let identity = settings.and_then(|settings| settings.identity.clone());
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
        }
    };
    config.alpn_protocols = alpn(&[HTTP1]);
    Ok(config)
}

/// Judges by another, and by a second one where the first does not know the issuer;
/// names the issuer of what neither trusts.
#[derive(Debug)]
struct Judge {
    first: Arc<dyn ServerCertVerifier>,
    second: Option<Arc<dyn ServerCertVerifier>>,
}

impl Judge {
    fn by(only: Arc<dyn ServerCertVerifier>) -> Self {
        Self {
            first: only,
            second: None,
        }
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by = |judge: &dyn ServerCertVerifier| {
            judge.verify_server_cert(end_entity, intermediates, name, ocsp, now)
        };
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let judged = match (by(&*self.first), &self.second) {
            (Err(error), Some(second)) if error == unknown => by(&**second),
            (judged, _) => judged,
        };
        judged.map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                let untrusted = Arc::new(Untrusted::of(end_entity, intermediates));
                Error::InvalidCertificate(CertificateError::Other(OtherError(untrusted)))
            }
            other => other,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.first.supported_verify_schemes()
    }
}

/// A certificate of an authority that is not trusted.
#[derive(Debug)]
struct Untrusted {
    issuer: String,
    /// Of the last certificate that came with it.
    last: Option<String>,
}

impl Untrusted {
    fn of(end_entity: &[u8], intermediates: &[CertificateDer<'_>]) -> Self {
        let issuer_of = |der: &[u8]| issuer(der).unwrap_or_else(|| "nobody it names".to_owned());
        let issuer = issuer_of(end_entity);
        let last = intermediates.last().map(|der| issuer_of(der));
        let last = last.filter(|last| *last != issuer);
        Self { issuer, last }
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its certificate was issued by {:?}", self.issuer)?;
        if let Some(last) = &self.last {
            write!(f, ", which leads to {last:?}")?;
        }
        f.write_str(
            ", an authority that is not trusted; set tls.ca to a file with that authority's certificate",
        )
    }
}

impl std::error::Error for Untrusted {}

fn certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::Other(OtherError(inner)) => inner.to_string(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate expired at {}", time(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is not valid before {}", time(*not_before))
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let expected = expected.to_str();
            format!(
                "its certificate is for {}, not for {expected}; if that is the right server, set \
                 tls.server_name to a name of the certificate",
                names(presented)
            )
        }
        other => format!("its certificate can't be used: {other}"),
    }
}

fn time(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).ok();
    let stamp = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    stamp.map_or_else(|| "an unknown time".to_owned(), |stamp| stamp.to_string())
}

/// `DnsName("a.example")` and `IpAddress(…)`, without their wrapping.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inside = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest);
        let inside = inside.strip_suffix(')').unwrap_or(inside);
        inside
            .trim_matches('"')
            .chars()
            .take(253)
            .collect::<String>()
    };
    let mut shown: Vec<_> = presented.iter().take(MOST_NAMES).map(bare).collect();
    match presented.len() {
        0 => shown.push("no name".to_owned()),
        all if all > MOST_NAMES => shown.push(format!("{} more", all - MOST_NAMES)),
        _ => {}
    }
    shown.join(", ")
}

/// What the upstream said when it gave up.
fn refused(alert: AlertDescription, settings: Option<&ClientTls>) -> String {
    let has_identity = settings.is_some_and(|settings| settings.identity.is_some());
    let said = format!("TLS alert {alert:?}");
    match (is_of_certificate(alert), has_identity) {
        (true, false) => format!(
            "the upstream refused the connection ({said}): it seems to want a client \
             certificate; set tls.certificate and tls.key"
        ),
        (true, true) => {
            format!("the upstream refused the client certificate of tls.certificate ({said})")
        }
        (false, _) => format!("the upstream refused the connection ({said})"),
    }
}

/// Alerts of a server that judges a client's certificate (RFC 8446, 6.2).
fn is_of_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}
