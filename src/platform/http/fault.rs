//! What kind of failure a request met, told from the causes its error carries; and the plain words for it.
//! Knows the libraries' error types, so that nobody above has to. No address is shown here.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

use super::resolve::Unresolved;

/// What went wrong with a connection or an answer. Each kind has one cause that a person can look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The name has no address.
    Dns,
    /// The name leads to an address that it must not lead to.
    Inward,
    /// Nothing listens there.
    Refused,
    /// No way there.
    Unreachable,
    Timeout,
    /// The certificate's issuer is not known here, or the certificate signs itself.
    TlsUntrusted,
    /// The certificate is past its time, or before it.
    TlsExpired,
    /// The certificate is for another host.
    TlsName,
    /// No TLS 1.2 or 1.3 is spoken there, or no TLS at all.
    TlsProtocol,
    /// The proxy did not let us through.
    Proxy,
    /// The connection broke off before the answer.
    Broken,
    /// The answer broke off.
    Cut,
}

impl FailureKind {
    /// What it is and what to do, lower case, without full stop.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Dns => "the host name is not known here; check its spelling and this machine's name server",
            Self::Inward => {
                "its name leads into this machine or a private network, and it is no configured host: refused; if it is right, list its origin under `extra_origins`"
            }
            Self::Refused => "connection refused; nothing listens there",
            Self::Unreachable => "no connection; check the network and its firewall",
            Self::Timeout => "no answer in time",
            Self::TlsUntrusted => "its TLS certificate is not trusted; name the hospital's certificate authority in `ca_file`",
            Self::TlsExpired => {
                "its TLS certificate has expired or is not valid yet; its owner must renew it, unless this machine's clock is wrong"
            }
            Self::TlsName => "its TLS certificate is for another host name; use the name that stands in the certificate",
            Self::TlsProtocol => "it does not speak TLS 1.2 or 1.3; its owner must switch that on, unless the port is the wrong one",
            Self::Proxy => "the proxy did not let us through; check `proxy`, and whether it allows this host",
            Self::Broken => "the connection broke off",
            Self::Cut => "the answer broke off",
        }
    }

    /// Whether it may pass by itself: a network's moods do, certificates and forbidden addresses do not.
    #[must_use]
    pub fn is_transient(self) -> bool {
        !matches!(
            self,
            Self::Inward | Self::TlsUntrusted | Self::TlsExpired | Self::TlsName | Self::TlsProtocol
        )
    }
}

/// The kind of `error`.
pub(super) fn kind_of(error: &reqwest::Error) -> FailureKind {
    if let Some(kind) = causes(error).find_map(known) {
        return kind;
    }
    let mentions = |words: &[&str]| causes(error).any(|cause| words.iter().any(|word| cause.to_string().contains(word)));
    if error.is_timeout() {
        FailureKind::Timeout
    } else if mentions(&["tunnel error", "proxy authorization"]) {
        FailureKind::Proxy
    } else if error.is_connect() {
        if mentions(&["dns error"]) {
            FailureKind::Dns
        } else {
            FailureKind::Unreachable
        }
    } else if error.is_body() || error.is_decode() {
        FailureKind::Cut
    } else {
        FailureKind::Broken
    }
}

/// The error's causes from the outside in, with what an `io::Error` was made from, which `source` leaves out.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| {
        let cause: &(dyn Error + 'static) = *cause;
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        }
    })
}

/// The kind that one cause by itself gives away.
fn known(cause: &(dyn Error + 'static)) -> Option<FailureKind> {
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return of_tls(error);
    }
    if let Some(error) = cause.downcast_ref::<Unresolved>() {
        return Some(match error {
            Unresolved::Unknown => FailureKind::Dns,
            Unresolved::Inward | Unresolved::Elsewhere => FailureKind::Inward,
        });
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => Some(FailureKind::Refused),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Some(FailureKind::Unreachable),
        io::ErrorKind::TimedOut => Some(FailureKind::Timeout),
        _ => None,
    }
}

fn of_tls(error: &rustls::Error) -> Option<FailureKind> {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(fault) => Some(match fault {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => FailureKind::TlsExpired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => FailureKind::TlsName,
            _ => FailureKind::TlsUntrusted,
        }),
        Tls::NoCertificatesPresented => Some(FailureKind::TlsUntrusted),
        Tls::PeerIncompatible(_) | Tls::InvalidMessage(_) | Tls::PeerMisbehaved(_) => Some(FailureKind::TlsProtocol),
        Tls::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure) => Some(FailureKind::TlsProtocol),
        _ => None,
    }
}
