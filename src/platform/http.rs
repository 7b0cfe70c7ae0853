//! The one HTTP client: TLS by rustls, time limits, no redirect on its own, a proxy only when named. Builds nothing else.
//! Also which addresses may be dialled at all, and plain words for what went wrong: an error of ours shows no URL's path or query.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
pub use reqwest::{Client, Url};

pub use self::fault::FailureKind;
pub use self::resolve::{KnownHost, Lookup, Network, Reach, reach};
use super::file;

mod fault;
mod resolve;

/// How the client reaches the other side.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// A PEM file of certificate authorities to trust besides the system's. Default: none.
    pub ca_file: Option<PathBuf>,
    /// The proxy all requests go through. Default: none; the environment is not asked.
    pub proxy: Option<String>,
    /// Default: 10 s.
    pub connect_timeout: Duration,
    /// How long the other side may say nothing. Default: 60 s.
    pub read_timeout: Duration,
    /// The hosts the operator named; any other name, which then comes from a manifest, link or redirect, must not lead into
    /// this machine or a private network. Behind a proxy names are the proxy's to look up, and this sees the proxy's only.
    /// Default: none is watched, for a client that dials what its operator typed and nothing else.
    pub known_hosts: Option<Vec<KnownHost>>,
    /// Looks names up instead of the system. Default: none.
    pub lookup: Option<Lookup>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            ca_file: None,
            proxy: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(60),
            known_hosts: None,
            lookup: None,
        }
    }
}

impl HttpSettings {
    /// Watches all names but the hosts of `addresses`, which the operator named.
    #[must_use]
    pub fn knowing<'u>(mut self, addresses: impl IntoIterator<Item = &'u Url>) -> Self {
        let known = self.known_hosts.get_or_insert_default();
        known.extend(addresses.into_iter().filter_map(Url::host_str).map(|name| KnownHost {
            name: name.to_owned(),
            expected: Vec::new(),
        }));
        self
    }
}

/// HTTP could not be used as asked. Names at most scheme, host and port of an address.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("could not read the certificate authorities in `{0}`: expected PEM certificates")]
    CaFile(String, #[source] Option<file::FileError>),
    #[error("proxy `{0}` is no proxy address: write it as `http://host:port`")]
    Proxy(String),
    #[error("could not build the HTTP client: the system's certificate store may be missing (package `ca-certificates`)")]
    Client,
    #[error("`{0}` is plain http: use https; only a loopback address may go without")]
    PlainHttp(WebOrigin),
    #[error("an address is not usable: {0}")]
    Address(&'static str),
    #[error("{to}: {what}")]
    Failed {
        to: WebOrigin,
        kind: FailureKind,
        what: &'static str,
    },
    #[error("{to}: the answer is longer than {max_bytes} bytes")]
    TooLong { to: WebOrigin, max_bytes: usize },
}

impl HttpError {
    /// Whether the same request may succeed later by itself.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Failed { kind, .. } if kind.is_transient())
    }

    /// The kind of a failed connection or answer.
    #[must_use]
    pub fn kind(&self) -> Option<FailureKind> {
        match self {
            Self::Failed { kind, .. } => Some(*kind),
            _ => None,
        }
    }
}

/// The client, set up as `settings` say.
/// # Errors: a named file or proxy is not usable.
#[allow(clippy::disallowed_methods, reason = "here is the one client")]
pub fn client(settings: &HttpSettings) -> Result<Client, HttpError> {
    let mut builder = Client::builder()
        .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // Retrying is the caller's, who knows what may be repeated.
        .retry(reqwest::retry::never())
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.read_timeout)
        .no_proxy();
    if let Some(path) = &settings.ca_file {
        let name = path.display().to_string();
        let pem = file::read(path, 4 << 20).map_err(|e| HttpError::CaFile(name.clone(), Some(e)))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| HttpError::CaFile(name.clone(), None))?;
        if certificates.is_empty() {
            return Err(HttpError::CaFile(name, None));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    let mut known = settings.known_hosts.clone();
    if let Some(proxy) = &settings.proxy {
        let shown = proxy.rsplit('@').next().unwrap_or_default().to_owned();
        builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(|_| HttpError::Proxy(shown))?);
        if let (Some(known), Ok(url)) = (&mut known, Url::parse(proxy)) {
            known.extend(url.host_str().map(|name| KnownHost {
                name: name.to_owned(),
                expected: Vec::new(),
            }));
        }
    }
    builder = builder.dns_resolver(resolve::Resolver {
        known: known.map(Into::into),
        lookup: settings.lookup.clone(),
    });
    builder.build().map_err(|_| HttpError::Client)
}

/// Scheme, host and port of an address: what a credential is bound to, and all of an address that a message may show.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WebOrigin {
    scheme: String,
    host: String,
    port: u16,
}

impl WebOrigin {
    /// The origin of a parsed address, compared exactly: another scheme, port, letter of the host or a trailing dot is another origin.
    #[must_use]
    pub fn of(url: &Url) -> Self {
        Self {
            scheme: url.scheme().to_owned(),
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or(0),
        }
    }

    /// The host, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The origin written as `https://host[:port]`, without path.
    /// # Errors: no address, or one that may not be dialled, or more than an origin.
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        let url = Url::parse(text).map_err(|_| HttpError::Address("it is no URL; write `https://host`"))?;
        refuse_plain_http(&url)?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(HttpError::Address("an origin has no path; write `https://host`"));
        }
        Ok(Self::of(&url))
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        let usual = match self.scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => 0,
        };
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

/// Whether the host of `url` is this machine: `localhost`, 127.0.0.0/8 or ::1, and nothing that merely looks like it.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

/// Refuses an address that must not be dialled: plain http to another machine, another scheme, a user name in it, no host.
/// # Errors: `PlainHttp` or `Address`.
pub fn refuse_plain_http(url: &Url) -> Result<(), HttpError> {
    if url.host_str().is_none_or(str::is_empty) {
        return Err(HttpError::Address("it has no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HttpError::Address("it holds a user name or password"));
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        "http" => Err(HttpError::PlainHttp(WebOrigin::of(url))),
        _ => Err(HttpError::Address("it is neither https nor http")),
    }
}

/// A failed request in plain words; the library's own text would show the whole address.
#[must_use]
pub fn explain(to: &Url, error: &reqwest::Error) -> HttpError {
    let kind = fault::kind_of(error);
    HttpError::Failed {
        to: WebOrigin::of(to),
        kind,
        what: kind.words(),
    }
}

/// The whole body of a small answer.
/// # Errors: it broke off, or is longer than `max_bytes`.
pub async fn read_body(mut response: reqwest::Response, max_bytes: usize) -> Result<Vec<u8>, HttpError> {
    let url = response.url().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| explain(&url, &e))? {
        if body.len() + chunk.len() > max_bytes {
            return Err(HttpError::TooLong {
                to: WebOrigin::of(&url),
                max_bytes,
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// How long `Retry-After` asks to wait: seconds, or an HTTP date reckoned from the server's own `Date` (else from `now`).
/// `None` when it is absent or no number or date; a date in the past is zero.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let from = headers.get(reqwest::header::DATE).and_then(|v| v.to_str().ok()).and_then(http_date);
    Some(super::clock::until(from.unwrap_or(now), http_date(text)?))
}

/// An HTTP date in its current form (RFC 9110 section 5.6.7), `Sun, 06 Nov 1994 08:49:37 GMT`.
#[must_use]
pub fn http_date(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for allowed in [
            "https://ehr.example.org/fhir",
            "http://localhost:8080/",
            "http://127.0.0.1/",
            "http://127.1/",
            "http://[::1]:80/",
        ] {
            assert!(refuse_plain_http(&url(allowed)).is_ok(), "{allowed}");
        }
        for refused in [
            "http://ehr.example.org/",
            "http://localhost.evil.test/",
            "http://localhost./",
            "http://127.0.0.1.evil.test/",
            "http://0.0.0.0/",
            "http://[::ffff:127.0.0.1]/",
            "http://169.254.169.254/",
            "ftp://ehr.example.org/",
            "file:///etc/passwd",
            "https://user@ehr.example.org/",
            "https://:secret@ehr.example.org/",
            "data:text/plain,x",
        ] {
            assert!(refuse_plain_http(&url(refused)).is_err(), "{refused}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port_and_nothing_less() {
        let base = WebOrigin::of(&url("https://EHR.example.org:443/fhir"));
        assert_eq!(base, WebOrigin::of(&url("https://ehr.example.org/other?x")));
        for other in [
            "http://ehr.example.org/",
            "https://ehr.example.org:444/",
            "https://ehr.example.org./",
            "https://ehr.example.org.evil.test/",
            "https://evil.test/ehr.example.org",
            "https://ehr.example.org@evil.test/",
        ] {
            assert_ne!(base, WebOrigin::of(&url(other)), "{other}");
        }
        assert_eq!(base.to_string(), "https://ehr.example.org");
        assert_eq!(WebOrigin::parse("https://ehr.example.org").unwrap(), base);
        assert!(WebOrigin::parse("https://ehr.example.org/path").is_err());
        assert!(WebOrigin::parse("http://ehr.example.org").is_err());
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_servers_own_clock() {
        let now: jiff::Timestamp = "2026-03-01T02:00:00Z".parse().unwrap();
        let check = |value: &str, date: Option<&str>, expected: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            if let Some(date) = date {
                headers.insert(reqwest::header::DATE, date.parse().unwrap());
            }
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{value}");
        };
        check("120", None, Some(120));
        check("1000000000", None, Some(1_000_000_000));
        check("Sun, 01 Mar 2026 02:01:00 GMT", None, Some(60));
        check("Sun, 01 Mar 2026 02:01:00 GMT", Some("Sun, 01 Mar 2026 02:00:50 GMT"), Some(10));
        check("Sun, 01 Mar 2026 01:00:00 GMT", None, Some(0));
        check("-5", None, None);
        check("soon", None, None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[tokio::test]
    async fn a_refused_connection_is_told_without_the_path() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = url(&format!("http://{}/secret-path?token=hush", listener.local_addr().unwrap()));
        drop(listener);
        let error = client(&HttpSettings::default()).unwrap().get(to.clone()).send().await.unwrap_err();
        let text = explain(&to, &error).to_string();
        assert!(text.contains("connection refused"), "{text}");
        assert!(!text.contains("secret") && !text.contains("hush"), "{text}");
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test writes a bad file")]
    fn a_ca_file_without_certificates_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let settings = HttpSettings {
            ca_file: Some(path.clone()),
            ..HttpSettings::default()
        };
        assert!(client(&settings).unwrap_err().to_string().contains("ca.pem"));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(client(&settings).unwrap_err().to_string().contains("ca.pem"));
    }
}
