//! The operators' pages: who submits, how fresh, what became of every resource and row, and the log that proves it.
//! Plain HTML made here: no script, nothing from another host, a content policy that says so. Reads the registry's store
//! only; the one thing it writes is who signed in.

mod access;
mod attempts;
mod chart;
mod desk;
mod log;
mod overview;
mod page;
mod reading;
mod site;
mod submission;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use rusqlite::Connection;
use serde::Deserialize;

use crate::receive::Registry;

use access::Access;
use desk::{Console, Shared, broken};
use page::{Operator, Place};
use submission::LogName;

/// The console's routes: `/` which leads to it, `/sign-in`, `/sign-out`, `/console` and what is below it.
///
/// The registry's base address is taken for the one browsers see; when it is https, the session's cookie is `Secure`.
pub fn router(registry: Arc<Registry>) -> Router {
    let console = Arc::new(Console::over(registry));
    Router::new()
        .route("/sign-in", get(access::form).post(access::sign_in))
        .route("/sign-out", post(access::sign_out))
        .route("/", get(|| async { Redirect::to("/console") }))
        .route("/console", get(overview_page))
        .route("/console/sites/{site}", get(site_page))
        .route("/console/submissions/{id}", get(submission_page))
        .route("/console/submissions/{id}/receipt", get(receipt_file))
        .route("/console/log", get(log_page))
        .route(
            "/console/style.css",
            get(|| async { asset("text/css; charset=utf-8", include_str!("console/style.css")) }),
        )
        .route(
            "/console/favicon.svg",
            get(|| async { asset("image/svg+xml", include_str!("console/favicon.svg")) }),
        )
        .layer(DefaultBodyLimit::max(16 << 10))
        .layer(map_response(guarded))
        .with_state(console)
}

/// What every answer says to the browser: run nothing, load from here only, be in no frame, keep no copy, tell no one.
async fn guarded(mut response: Response) -> Response {
    const POLICY: &str =
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert(
        "permissions-policy",
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    );
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn asset(kind: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], content).into_response()
}

/// A page's title, place and content, made from one consistent state of the store.
struct Page {
    title: String,
    place: Place,
    body: Markup,
}

/// Shows a page to a signed-in operator; everyone else is asked to sign in. `None` from `make` is a page that is not there.
async fn show<M>(console: Shared, headers: HeaderMap, make: M) -> Response
where
    M: FnOnce(&Connection, jiff::Timestamp) -> Result<Option<Page>, rusqlite::Error> + Send + 'static,
{
    let read = looked(&console, &headers, make).await;
    let (operator, page) = match read {
        Ok(Some(read)) => read,
        Ok(None) => return access::ask_to_sign_in(),
        Err(response) => return response,
    };
    match page {
        Some(page) => page::page(&page.title, page.place, &operator, &page.body).into_response(),
        None => (
            StatusCode::NOT_FOUND,
            page::page("Not here", Place::Sites, &operator, &nothing_here()),
        )
            .into_response(),
    }
}

/// What `make` gives, and for whom; `None` for nobody.
async fn looked<T, M>(console: &Shared, headers: &HeaderMap, make: M) -> Result<Option<(Operator, T)>, Response>
where
    T: Send + 'static,
    M: FnOnce(&Connection, jiff::Timestamp) -> Result<T, rusqlite::Error> + Send + 'static,
{
    let Some(session) = Access::of(console, headers) else {
        return Ok(None);
    };
    let now = console.registry.now();
    let shared = console.clone();
    let read = tokio::task::spawn_blocking(move || {
        shared.registry.store().read(|connection| {
            let Some(operator) = session.operator(connection, now)? else {
                return Ok(None);
            };
            Ok(Some((operator, make(connection, now)?)))
        })
    });
    match read.await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => Err(broken(&error)),
        Err(error) => Err(broken(&error)),
    }
}

fn nothing_here() -> Markup {
    html! {
        h1 { "There is nothing at this address" }
        p { "A site or submission of this name is not known here. " a href="/console" { "All sites" } }
    }
}

async fn overview_page(State(console): State<Shared>, headers: HeaderMap) -> Response {
    show(console, headers, |connection, now| {
        let body = overview::body(&reading::overview(connection)?, now);
        Ok(Some(Page {
            title: "Sites".to_owned(),
            place: Place::Sites,
            body,
        }))
    })
    .await
}

/// Which part of a long list.
#[derive(Deserialize)]
struct Part {
    /// Only what came before this sequence or index.
    before: Option<u64>,
}

async fn site_page(State(console): State<Shared>, headers: HeaderMap, Path(name): Path<String>, Query(part): Query<Part>) -> Response {
    show(console, headers, move |connection, now| {
        let Some(site) = reading::site(connection, &name, part.before)? else {
            return Ok(None);
        };
        let body = site::body(&site, now);
        Ok(Some(Page {
            title: name,
            place: Place::Sites,
            body,
        }))
    })
    .await
}

async fn submission_page(State(console): State<Shared>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let log = LogName {
        origin: console.records().log.origin().to_owned(),
        vkey: console.registry.log_vkey(),
        address: format!("{}/log", console.registry.base()),
    };
    show(console, headers, move |connection, now| {
        let Some(submission) = reading::submission(connection, &id)? else {
            return Ok(None);
        };
        let body = submission::body(&submission, &log, now);
        let title = format!("{} no. {}", submission.summary.site, submission.summary.sequence);
        Ok(Some(Page {
            title,
            place: Place::Sites,
            body,
        }))
    })
    .await
}

async fn receipt_file(State(console): State<Shared>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let read = looked(&console, &headers, move |connection, _| {
        Ok(reading::submission(connection, &id)?.and_then(|submission| submission.summary.receipt))
    })
    .await;
    match read {
        Ok(Some((_, Some(receipt)))) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], receipt).into_response(),
        Ok(Some((_, None))) => (StatusCode::NOT_FOUND, "there is no receipt here\n").into_response(),
        Ok(None) => access::ask_to_sign_in(),
        Err(response) => response,
    }
}

async fn log_page(State(console): State<Shared>, headers: HeaderMap, Query(part): Query<Part>) -> Response {
    let (vkey, base_url) = (console.registry.log_vkey(), console.registry.base().to_owned());
    show(console, headers, move |connection, _| {
        let body = log::body(&reading::log(connection, part.before)?, &vkey, &base_url);
        Ok(Some(Page {
            title: "Audit log".to_owned(),
            place: Place::Log,
            body,
        }))
    })
    .await
}
