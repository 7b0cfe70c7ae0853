//! What stands between the gateway and an EHR in the tests: a wire that breaks, stalls or crawls; a TLS front with a
//! certificate of any kind; a proxy. Each counts what it did, so that a test can prove that its fault fired.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headwater::platform::clock::Clock;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto::aws_lc_rs};

/// A listener on loopback, and its port.
pub(super) async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// How often something happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Count(Arc<AtomicUsize>);

impl Count {
    fn more(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// What a wire does to the answer of one request, which is known by a word in it.
#[derive(Clone)]
pub(super) enum Fault {
    /// Resets the connection after so many bytes, so many times.
    Reset { after: usize, times: usize },
    /// Says nothing more after so many bytes, so many times.
    Stall { after: usize, times: usize },
    /// Lets a KiB a second through, by this clock.
    Crawl(Clock),
}

/// Stands before `target` on `listener` and does `fault` to the answers of requests that hold `word`.
pub(super) fn wire(listener: TcpListener, target: SocketAddr, word: &'static str, fault: Fault) -> Count {
    let fired = Count::default();
    let counted = fired.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(target).await.unwrap();
            tokio::spawn(carry(client, server, word, fault.clone(), counted.clone()));
        }
    });
    fired
}

async fn carry(mut client: TcpStream, mut server: TcpStream, word: &'static str, fault: Fault, fired: Count) {
    // Bytes of the answer that were let through since a request with the word came; none while no such request came.
    let mut passed: Option<usize> = None;
    let (mut up, mut down) = ([0; 4096], [0; 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                let text = String::from_utf8_lossy(&up[..length]);
                passed = text.contains(word).then_some(0);
                server.write_all(&up[..length]).await.unwrap();
            }
            read = server.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                let mut now = length;
                if let Some(passed) = &mut passed {
                    match &fault {
                        Fault::Reset { after, times } | Fault::Stall { after, times } if fired.get() < *times => {
                            now = length.min(after - *passed);
                        }
                        Fault::Crawl(clock) => {
                            fired.more();
                            clock.sleep(Duration::from_secs(1)).await;
                        }
                        _ => {}
                    }
                    *passed += now;
                }
                if client.write_all(&down[..now]).await.is_err() {
                    return;
                }
                if now < length {
                    fired.more();
                    if matches!(fault, Fault::Stall { .. }) {
                        // Until the other end gives up.
                        let _ = client.read(&mut up).await;
                    }
                    client.set_zero_linger().unwrap();
                    return;
                }
            }
        }
    }
}

/// A certificate authority of a test.
pub(super) struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// What kind of certificate a front shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Good,
    Expired,
    NotYet,
    SelfSigned,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn pem(&self) -> String {
        self.certificate.pem()
    }

    fn config(&self, names: &[&str], shown: Shown) -> ServerConfig {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let key = KeyPair::generate().unwrap();
        match shown {
            Shown::Expired => (params.not_before, params.not_after) = (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2002, 1, 1)),
            Shown::NotYet => (params.not_before, params.not_after) = (rcgen::date_time_ymd(2090, 1, 1), rcgen::date_time_ymd(2091, 1, 1)),
            Shown::Good | Shown::SelfSigned => {}
        }
        let certificate = match shown {
            Shown::SelfSigned => params.self_signed(&key).unwrap(),
            _ => params.signed_by(&key, &self.issuer).unwrap(),
        };
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap()
    }

    /// Speaks TLS on `listener` under `names` and hands on what is said in plain to `target`. Counts the connections.
    pub(super) fn front(&self, listener: TcpListener, names: &[&str], shown: Shown, target: SocketAddr) -> Count {
        let acceptor = TlsAcceptor::from(Arc::new(self.config(names, shown)));
        let connections = Count::default();
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.more();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let mut server = TcpStream::connect(target).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        connections
    }
}

/// Answers whatever comes with `bytes` and hangs up. Counts the connections.
pub(super) async fn raw(bytes: &'static [u8]) -> (u16, Count) {
    let (listener, port) = listen().await;
    let connections = Count::default();
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            counted.more();
            let mut hello = [0; 4096];
            let _ = client.read(&mut hello).await;
            let _ = client.write_all(bytes).await;
        }
    });
    (port, connections)
}

/// A proxy that opens a tunnel (CONNECT) to loopback whatever host is named, or answers `refusal`. Counts the tunnels asked for.
pub(super) async fn proxy(refusal: Option<&'static str>) -> (String, Count) {
    let (listener, port) = listen().await;
    let tunnels = Count::default();
    let counted = tunnels.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap();
                counted.more();
                if let Some(refusal) = refusal {
                    client.write_all(refusal.as_bytes()).await.unwrap();
                    return;
                }
                let port = target.rsplit_once(':').unwrap().1.parse().unwrap();
                let mut server = TcpStream::connect((IpAddr::from(Ipv4Addr::LOCALHOST), port)).await.unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (format!("http://127.0.0.1:{port}"), tunnels)
}
