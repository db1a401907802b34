//! Two kinds of authorities, either of which is enough.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// A certificate whose issuer the first does not know is judged by the second.
#[derive(Debug)]
pub struct OneOfTwo {
    pub first: Arc<dyn ServerCertVerifier>,
    pub second: Arc<dyn ServerCertVerifier>,
}

impl ServerCertVerifier for OneOfTwo {
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
        match by(&*self.first) {
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => by(&*self.second),
            judged => judged,
        }
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
