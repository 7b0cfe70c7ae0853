//! What can be wrong with a certificate, at a server of TLS on this machine.

use std::sync::Arc;

use headwater::gateway::doctor::Verdict;
use headwater::platform::backend_services::{Algorithm, ClientKey};
use headwater::platform::http::{HttpSettings, Url};
use headwater::pull::EhrSettings;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{check, diagnose};

/// A server that shows this certificate and knows no path. Its port.
async fn serve(certificate: CertificateDer<'static>, key: &KeyPair) -> u16 {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that hangs up is what most of these tests are about.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .await;
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}

struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Example Hospital Authority");
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { params, key, pem }
}

fn params(host: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, format!("a test's server at {host}"));
    params
}

#[tokio::test]
async fn every_fault_of_a_certificate_has_its_own_leaf() {
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    let authority = authority();
    std::fs::write(&ca_file, &authority.pem).unwrap();
    let issuer = Issuer::from_params(&authority.params, &authority.key);
    let key = KeyPair::generate().unwrap();
    let signed = |params: CertificateParams| params.signed_by(&key, &issuer).unwrap().der().clone();

    let mut expired = params("localhost");
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let mut future = params("localhost");
    (future.not_before, future.not_after) = (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1));
    let cases = [
        (
            "self-signed",
            params("localhost").self_signed(&key).unwrap().der().clone(),
            false,
            "tls.self-signed",
        ),
        ("unknown authority", signed(params("localhost")), false, "tls.untrusted"),
        ("expired", signed(expired), true, "tls.expired"),
        ("from the future", signed(future), true, "tls.not-yet-valid"),
        ("another host", signed(params("other.example")), true, "tls.wrong-host"),
        // The control: with the authority named, the certificate is trusted, and the server's answer is what is diagnosed.
        ("trusted", signed(params("localhost")), true, "fhir.not-found"),
    ];
    let client_key = ClientKey::generate(Algorithm::Es384).unwrap();
    for (case, certificate, trusted, leaf) in cases {
        let port = serve(certificate, &key).await;
        let base = Url::parse(&format!("https://localhost:{port}/fhir")).unwrap();
        let http = HttpSettings {
            ca_file: trusted.then(|| ca_file.clone()),
            ..HttpSettings::default()
        };
        let settings = EhrSettings::new(base, "headwater");
        let diagnosis = diagnose(&settings, &client_key, http, false).await;
        check(&diagnosis, leaf, Verdict::Mend, case);
    }
}
