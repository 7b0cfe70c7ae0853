//! `headwater serve`: this site's public keys over HTTP, for the EHR to read. It opens `state/jwks.json` and nothing else: no
//! private key, no patient's data, no state is within its reach. TLS is the business of the proxy in front of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;

use super::{Failure, asked_to_stop, runtime, show};
use crate::config;
use crate::gateway::Places;
use crate::gateway::ehr_keys::SHORTEST_OVERLAP_HOURS;
use crate::platform::file;

/// How long an EHR may keep the set: half of the shortest overlap, so that no cache misses a key that is about to sign.
const MAX_AGE_SECONDS: u32 = SHORTEST_OVERLAP_HOURS * 3600 / 2;
const SET_BYTES: u64 = 64 << 10;

#[derive(clap::Args)]
#[command(
    after_help = "Serves /.well-known/jwks.json and /health, by GET, and nothing else. Put your https proxy in front of it, register\n\
                        its address at the EHR and write it to `ehr.jwks_url` in site.toml.\n\n\
                        Example: headwater serve --site /var/lib/headwater/site.toml --listen 127.0.0.1:8471"
)]
pub(super) struct Args {
    /// The site's file
    #[arg(long, value_name = "FILE", default_value = "site.toml")]
    site: PathBuf,
    /// Address and port; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8471")]
    listen: SocketAddr,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let config = config::load(&args.site).map_err(|error| Failure::usage(error.to_string()))?;
    let file = Places::of(&config.state).jwks();
    if read(&file).is_none() {
        return Err(Failure::usage(format!(
            "{} is no JWK Set; `headwater keys jwks --site {}` writes it",
            file.display(),
            args.site.display()
        )));
    }
    runtime()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.listen)
            .await
            .map_err(|error| Failure::usage(format!("--listen {}: cannot be had ({})", args.listen, error.kind())))?;
        let address = listener.local_addr().map_err(|error| Failure::ours(&error))?;
        show::answer(&format!("http://{address}/.well-known/jwks.json"));
        show::note("serving this site's public keys until Ctrl-C");
        let asked = async {
            // Whoever cannot hear the signal cannot be asked to stop; the system then ends the process.
            let _ = asked_to_stop().await;
        };
        axum::serve(listener, router(file))
            .with_graceful_shutdown(asked)
            .await
            .map_err(|error| Failure::ours(&error))
    })
}

/// Two addresses, by GET only; everything else is 404 or 405.
fn router(file: PathBuf) -> Router {
    Router::new()
        .route("/.well-known/jwks.json", get(set))
        .route("/health", get(health))
        .with_state(Arc::new(file))
}

async fn set(State(file): State<Arc<PathBuf>>) -> Response {
    match read(&file) {
        Some(set) => {
            let headers = [
                (CONTENT_TYPE, "application/json".to_owned()),
                (CACHE_CONTROL, format!("public, max-age={MAX_AGE_SECONDS}")),
            ];
            (headers, set.to_string()).into_response()
        }
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn health(State(file): State<Arc<PathBuf>>) -> Response {
    match read(&file) {
        Some(_) => "ok\n".into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the JWK Set cannot be read\n").into_response(),
    }
}

/// The set in `file`, if it is one and holds nothing private: read anew each time, so that a rotation shows at once.
fn read(file: &Path) -> Option<Value> {
    let set: Value = serde_json::from_slice(&file::read(file, SET_BYTES).ok()?).ok()?;
    let keys = set["keys"].as_array()?;
    // RFC 7518: what only a private key has. A file that was put in the place of ours shall not be served.
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    let public = !keys.is_empty() && keys.iter().all(|key| private.iter().all(|name| key.get(name).is_none()));
    public.then_some(set)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Method, Request};
    use tower::ServiceExt;

    use super::*;
    use crate::gateway::ehr_keys::{self, jwk_set};

    async fn ask(file: &Path, method: Method, path: &str) -> (u16, String, Vec<u8>) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = router(file.to_owned()).oneshot(request).await.unwrap();
        let cache = response
            .headers()
            .get(CACHE_CONTROL)
            .map(|value| value.to_str().unwrap().to_owned());
        (
            response.status().as_u16(),
            cache.unwrap_or_default(),
            to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec(),
        )
    }

    #[tokio::test]
    async fn the_public_keys_are_served_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::of(&dir.path().join("state"));
        places.make_keys().unwrap();
        ehr_keys::publish(&places).unwrap();
        let (status, cache, body) = ask(&places.jwks(), Method::GET, "/.well-known/jwks.json").await;
        assert_eq!((status, cache.as_str()), (200, "public, max-age=3600"));
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), jwk_set(&places).unwrap());
        assert_eq!(ask(&places.jwks(), Method::GET, "/health").await.0, 200);
        for (method, path, status) in [
            (Method::POST, "/.well-known/jwks.json", 405),
            (Method::DELETE, "/health", 405),
            (Method::GET, "/", 404),
            (Method::GET, "/keys/ehr.pem", 404),
            (Method::GET, "/.well-known/../keys/ehr.pem", 404),
        ] {
            assert_eq!(ask(&places.jwks(), method, path).await.0, status, "{path}");
        }
    }

    #[tokio::test]
    async fn a_file_with_something_private_is_not_served() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("jwks.json");
        for text in ["{}", "no JSON", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"EC","kid":"a","d":"hush"}]}"#] {
            file::write_durable(&file, text.as_bytes()).unwrap();
            for path in ["/.well-known/jwks.json", "/health"] {
                let (status, _, body) = ask(&file, Method::GET, path).await;
                assert_eq!(status, 503, "{text}");
                assert!(!String::from_utf8(body).unwrap().contains("hush"));
            }
        }
    }
}
