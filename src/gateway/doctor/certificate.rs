//! Looks at a certificate that was not trusted, to tell a self-signed one from one of an authority unknown here. It looks and
//! hangs up: this verifier refuses every certificate, so nothing is ever sent through.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

const LOOK: Duration = Duration::from_secs(5);

/// Whether the server's own certificate names itself as its issuer; `None` when it could not be seen.
pub(super) async fn is_self_signed(host: &str, port: u16) -> Option<bool> {
    let host = host.to_owned();
    let seen = tokio::task::spawn_blocking(move || look(&host, port)).await.ok()??;
    let (issuer, subject) = names(&seen)?;
    Some(issuer == subject)
}

fn look(host: &str, port: u16) -> Option<Vec<u8>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses = (host, port).to_socket_addrs().ok()?;
    let mut stream = addresses.find_map(|address| TcpStream::connect_timeout(&address, LOOK).ok())?;
    stream.set_read_timeout(Some(LOOK)).ok()?;
    stream.set_write_timeout(Some(LOOK)).ok()?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let witness = Arc::new(Witness {
        seen: Mutex::default(),
        provider: provider.clone(),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    // It always ends in an error: the certificate is refused once it is seen.
    while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
    witness.seen.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Remembers the certificate and refuses it.
#[derive(Debug)]
struct Witness {
    seen: Mutex<Option<Vec<u8>>>,
    provider: Arc<CryptoProvider>,
}

fn refused() -> Error {
    Error::General("the certificate was looked at, not accepted".to_owned())
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.as_ref().to_vec());
        Err(refused())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(refused())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(refused())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Issuer and subject of an X.509 certificate, as they are encoded (RFC 5280, section 4.1).
fn names(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (certificate, _) = element(der)?;
    let (mut rest, _) = element(certificate)?;
    // The version, if it is said, stands before serial number and signature algorithm.
    if rest.first() == Some(&0xa0) {
        rest = element(rest)?.1;
    }
    for _ in 0..2 {
        rest = element(rest)?.1;
    }
    let (issuer, rest) = element(rest)?;
    let (_, rest) = element(rest)?;
    let (subject, _) = element(rest)?;
    Some((issuer, subject))
}

/// The content of the first DER element, and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = usize::from(*der.get(1)?);
    let (length, head) = if first < 0x80 {
        (first, 2)
    } else {
        let bytes = first & 0x7f;
        if bytes > 4 {
            return None;
        }
        let digits = der.get(2..2 + bytes)?;
        (digits.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), 2 + bytes)
    };
    let end = head.checked_add(length)?;
    Some((der.get(head..end)?, der.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuer_and_subject_are_found_and_a_torn_certificate_is_none() {
        let own = rcgen::generate_simple_self_signed(vec!["ehr.example.org".to_owned()]).unwrap();
        let der = own.cert.der().as_ref();
        let (issuer, subject) = names(der).unwrap();
        assert_eq!(issuer, subject);
        assert!(!issuer.is_empty());
        for length in 0..der.len().min(120) {
            assert_eq!(names(&der[..length]), None, "{length}");
        }
    }
}
