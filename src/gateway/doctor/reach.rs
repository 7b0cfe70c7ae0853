//! From here to the EHR's server: address, name, connection, proxy, certificate, clock.

use std::time::Duration;

use jiff::Timestamp;
use tokio::net::{TcpStream, lookup_host};

use super::ask::Unanswered;
use super::certificate;
use super::finding::{Finding, Mender, Notes};
use crate::platform::http::{self, HttpError, Url, WebOrigin};

const CONNECT: Duration = Duration::from_secs(10);
/// More than this between the two clocks, and assertions of our own time, which live four minutes and may not outlive five,
/// begin to be refused; a run then writes them in the server's time.
pub(super) const SKEW_SECONDS: i64 = 60;

/// Whether the base may be dialled at all.
pub(super) fn address(base: &Url) -> Finding {
    let origin = WebOrigin::of(base);
    match http::refuse_plain_http(base) {
        Ok(()) => Finding::ok("address.ok", format!("{origin} may be dialled")),
        Err(HttpError::PlainHttp(_)) => Finding::fail(
            "address.plain-http",
            format!("{origin} is plain http: patients' data and tokens would travel readable to anyone on the way"),
            Mender::You,
            "write the EHR's https address to `ehr.base`; ask the EHR's team for it if you have only this one",
        ),
        Err(error) => Finding::fail(
            "address.unusable",
            format!("`ehr.base` cannot be dialled: {error}"),
            Mender::You,
            "write the FHIR base as `https://host/path` to `ehr.base`",
        ),
    }
}

/// Name and connection, without a proxy. False: nothing further can be tried.
pub(super) async fn directly(base: &Url, notes: &mut Notes<'_>) -> bool {
    let (host, port) = place(base);
    let addresses = match lookup_host((host.as_str(), port)).await {
        Ok(found) => found.collect::<Vec<_>>(),
        Err(error) => {
            let temporary = error.to_string().contains("emporary");
            let finding = unknown_host(&host);
            return notes.note(if temporary { finding.for_now() } else { finding });
        }
    };
    if addresses.is_empty() {
        return notes.note(unknown_host(&host));
    }
    notes.note(Finding::ok("dns.ok", format!("the name of {} is known", WebOrigin::of(base))));
    let connected = async {
        let mut last = None;
        for address in &addresses {
            match TcpStream::connect(address).await {
                Ok(_) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last)
    };
    let finding = match tokio::time::timeout(CONNECT, connected).await {
        Ok(Ok(())) => Finding::ok("tcp.ok", format!("port {port} takes connections")),
        Ok(Err(Some(error))) if error.kind() == std::io::ErrorKind::ConnectionRefused => Finding::fail(
            "tcp.refused",
            format!("the machine is there, but nothing listens on port {port}"),
            Mender::EhrTeam,
            "check the port in `ehr.base`; if it is right, ask the EHR's team whether the FHIR server runs",
        ),
        Ok(Err(_)) => no_way(port, "tcp.unreachable", "there is no way to its network from here"),
        Err(_) => no_way(
            port,
            "tcp.timeout",
            "nothing answers, as behind a firewall that drops what it does not know",
        ),
    };
    notes.note(finding)
}

fn no_way(port: u16, id: &'static str, why: &str) -> Finding {
    Finding::fail(
        id,
        format!("port {port} does not take connections from this machine: {why}"),
        Mender::HospitalNetwork,
        "ask the network team to let this machine reach the EHR's host and port; if there is a proxy, name it as `proxy` in [http]",
    )
}

fn unknown_host(host: &str) -> Finding {
    // A host that is too odd to be shown in full is shown in part.
    let shown: String = host.chars().take(80).collect();
    Finding::fail(
        "dns.unknown-host",
        format!("the name `{shown}` is not known here"),
        Mender::HospitalNetwork,
        "check the spelling in `ehr.base`; if it is right, ask the network team for the name server that knows it, or for a proxy",
    )
}

/// The proxy alone: the EHR's name and connection are its business. False: nothing further can be tried.
pub(super) async fn by_proxy(proxy: &str, notes: &mut Notes<'_>) -> bool {
    let url = Url::parse(proxy).ok().filter(Url::has_host);
    let Some(url) = url else {
        return notes.note(Finding::fail(
            "proxy.unusable",
            "`http.proxy` is no address",
            Mender::You,
            "write it as `http://host:port`",
        ));
    };
    let (host, port) = place(&url);
    let finding = match tokio::time::timeout(CONNECT, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Finding::ok("proxy.ok", format!("the proxy {} takes connections", WebOrigin::of(&url))),
        _ => Finding::fail(
            "proxy.unreachable",
            format!("the proxy {} does not take connections", WebOrigin::of(&url)),
            Mender::HospitalNetwork,
            "check `proxy` in [http]; ask the network team for its address, and whether this machine may use it",
        ),
    };
    let goes_on = notes.note(finding);
    notes.skip(&["dns.skipped", "tcp.skipped"], "the proxy finds the EHR");
    goes_on
}

fn place(url: &Url) -> (String, u16) {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    (host, url.port_or_known_default().unwrap_or(443))
}

/// Why the first request was not answered.
pub(super) async fn unanswered(why: Unanswered, base: &Url) -> Finding {
    let origin = WebOrigin::of(base);
    let (host, port) = place(base);
    match why {
        Unanswered::UnknownHost => unknown_host(&host),
        Unanswered::Refused => Finding::fail(
            "tcp.refused",
            format!("nothing listens at {origin}"),
            Mender::EhrTeam,
            "check the port in `ehr.base`",
        ),
        Unanswered::TimedOut => Finding::fail(
            "fhir.silent",
            format!("{origin} takes the connection and then says nothing"),
            Mender::EhrTeam,
            "try again later; if it stays, ask the EHR's team whether the FHIR server is well",
        )
        .for_now(),
        Unanswered::Proxy => Finding::fail(
            "proxy.refuses",
            format!("the proxy does not connect this machine to {origin}"),
            Mender::HospitalNetwork,
            "ask the network team to let the proxy connect to the EHR's host and port, or for the right proxy",
        ),
        Unanswered::ProxySignIn => Finding::fail(
            "proxy.sign-in",
            "the proxy wants a user name and password",
            Mender::You,
            "write `http://user:password@host:port` to a file only this user can read, and name it as `proxy_file` in [http]",
        ),
        Unanswered::Untrusted => match certificate::is_self_signed(&host, port).await {
            Some(true) => self_signed(&origin),
            _ => Finding::fail(
                "tls.untrusted",
                format!("the certificate of {origin} was issued by an authority this machine does not trust"),
                Mender::You,
                "ask the network team for the hospital's own certificate authority as a PEM file, and name it as `ca_file` in [http]; \
                 if it is a public authority, the server may not send its intermediate certificate: tell the EHR's team",
            ),
        },
        Unanswered::SelfSigned => self_signed(&origin),
        Unanswered::Expired => Finding::fail(
            "tls.expired",
            format!("the certificate of {origin} has expired"),
            Mender::EhrTeam,
            "ask the EHR's team to renew it; check this machine's date first",
        ),
        Unanswered::NotYetValid => Finding::fail(
            "tls.not-yet-valid",
            format!("the certificate of {origin} is from the future"),
            Mender::You,
            "check this machine's date; if it is right, tell the EHR's team",
        ),
        Unanswered::WrongHost => Finding::fail(
            "tls.wrong-host",
            format!("the certificate shown at {origin} is for another name"),
            Mender::You,
            "write the name that stands in the certificate to `ehr.base`; if this one is right, ask the EHR's team for a certificate with it",
        ),
        Unanswered::NotTls => Finding::fail(
            "tls.not-tls",
            format!("what answers at {origin} speaks no TLS"),
            Mender::You,
            "check the port in `ehr.base`; ask the EHR's team for the https port",
        ),
        Unanswered::Handshake => Finding::fail(
            "tls.handshake",
            format!("{origin} and this machine could not agree on TLS, or the certificate is spoilt"),
            Mender::EhrTeam,
            "ask the EHR's team whether the server speaks TLS 1.2 or 1.3 and wants no certificate of the client",
        ),
        Unanswered::BrokeOff => Finding::fail(
            "fhir.broke-off",
            format!("{origin} takes the connection and breaks it off"),
            Mender::EhrTeam,
            "try again later; if it stays, ask the network team whether something between cuts it",
        )
        .for_now(),
    }
}

fn self_signed(origin: &WebOrigin) -> Finding {
    Finding::fail(
        "tls.self-signed",
        format!("the certificate of {origin} vouches for itself; no authority stands behind it"),
        Mender::EhrTeam,
        "ask the EHR's team for a certificate of the hospital's authority; if this one is meant, get it as a PEM file from them, not \
         from the network, and name it as `ca_file` in [http]",
    )
}

/// This machine's clock against the server's.
pub(super) fn clock(ours: Timestamp, theirs: Option<Timestamp>) -> Finding {
    let Some(theirs) = theirs else {
        return Finding::skipped("clock.unknown", "the server's answer has no date to compare with");
    };
    let ahead = ours.as_second() - theirs.as_second();
    if ahead.abs() <= SKEW_SECONDS {
        return Finding::ok("clock.ok", "both clocks agree");
    }
    let (id, way) = if ahead > 0 {
        ("clock.ahead", "ahead of")
    } else {
        ("clock.behind", "behind")
    };
    Finding::warn(
        id,
        format!(
            "this machine's clock is {} seconds {way} the server's; this gateway signs in by the server's time, others are refused",
            ahead.abs()
        ),
        Mender::You,
        "compare both with a third clock; switch on time synchronisation (NTP) here if ours is off, else tell the EHR's team",
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn clocks_agree_up_to_a_minute() {
        let theirs: Timestamp = "2026-03-01T02:00:00Z".parse().unwrap();
        for (ours, id, outcome) in [
            ("2026-03-01T02:01:00Z", "clock.ok", Outcome::Ok),
            ("2026-03-01T01:59:00Z", "clock.ok", Outcome::Ok),
            ("2026-03-01T01:58:59Z", "clock.behind", Outcome::Warn),
            ("2026-03-01T02:01:01Z", "clock.ahead", Outcome::Warn),
        ] {
            let finding = clock(ours.parse().unwrap(), Some(theirs));
            assert_eq!((finding.id, finding.outcome), (id, outcome), "{ours}");
        }
    }
}
