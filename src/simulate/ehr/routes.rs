//! The EHR's addresses and what stands behind each.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::access::Grant;
use super::capability::metadata;
use super::export::{cancel, export_group, export_patients, export_system, manifest_page, status};
use super::fault::Fault;
use super::file::file;
use super::reply::{Refused, http_date, json_as, set, unauthorized};
use super::search;
use super::shared::{Call, Seen, Shared};
use super::smart::{register, smart_configuration, token};

pub(super) type Ehr = State<Arc<Shared>>;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new();
    // A client may encode the `$` or not.
    for export in ["$export", "%24export"] {
        router = router
            .route(&format!("/fhir/{export}"), get(export_system).post(export_system))
            .route(&format!("/fhir/Patient/{export}"), get(export_patients).post(export_patients))
            .route(&format!("/fhir/Group/{{group}}/{export}"), get(export_group).post(export_group));
    }
    for everything in ["$everything", "%24everything"] {
        router = router.route(&format!("/fhir/Patient/{{id}}/{everything}"), get(search::everything));
    }
    router
        .route("/fhir/{type}", get(search::search))
        .route("/fhir/{type}/_search", post(search::search))
        .route("/fhir/{type}/{id}", get(search::read))
        .route("/fhir/page/{name}/{from}", get(search::page))
        .route("/register", post(register))
        .route("/token", post(token))
        .route("/next-day", post(advance))
        .route("/fhir/.well-known/smart-configuration", get(smart_configuration))
        .route("/fhir/metadata", get(metadata))
        .route("/fhir/export-status/{job}", get(status).delete(cancel))
        .route("/fhir/export-manifest/{job}/{page}", get(manifest_page))
        .route("/fhir/export-file/{job}/{generation}/{file}", get(file))
        .fallback(nothing_here)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), log))
        .with_state(shared)
}

async fn log(State(ehr): Ehr, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let with_token = request.headers().contains_key(header::AUTHORIZATION);
    let call = match path.as_str() {
        "/register" => Call::Registration,
        "/token" => Call::Token,
        "/fhir/.well-known/smart-configuration" => Call::Discovery,
        path if path.ends_with("export") => Call::KickOff,
        path if path.starts_with("/fhir/export-file/") => Call::File,
        path if path.starts_with("/fhir/export-status/") && method == Method::DELETE.as_str() => Call::Cancel,
        path if path.starts_with("/fhir/export-status/") || path.starts_with("/fhir/export-manifest/") => Call::Poll,
        path if path.ends_with("everything") => Call::Read,
        "/fhir/metadata" => Call::Other,
        path => match path
            .strip_prefix("/fhir/")
            .map(|rest| rest.split('/').collect::<Vec<_>>())
            .as_deref()
        {
            Some(["page", ..] | [_] | [_, "_search"]) => Call::Search,
            Some([_, _]) => Call::Read,
            _ => Call::Other,
        },
    };
    let at_once = ehr.busy.fetch_add(1, Ordering::SeqCst);
    let mut response = if at_once >= ehr.temper.requests_at_a_time {
        let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, "throttled", "too many requests at a time");
        refused.retry_after(ehr.settings.retry_after_s).into_response()
    } else if ehr.faults.fires_if(
        Fault::Redirect,
        with_token && method == Method::GET.as_str() && path != "/fhir/metadata",
    ) {
        let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
        set(&mut response, "location", &format!("{}{path}", ehr.elsewhere));
        response
    } else {
        next.run(request).await
    };
    ehr.busy.fetch_sub(1, Ordering::SeqCst);
    // Otherwise the server library would tell the machine's time.
    set(&mut response, "date", &http_date(ehr.access.now()));
    let status = response.status().as_u16();
    ehr.log.note(Seen {
        call,
        method,
        path,
        status,
        with_token,
        elsewhere: false,
    });
    response
}

pub(super) async fn nothing_here() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "not-found", "this server has no such address")
}

/// Lets a day pass: for whoever runs the EHR by hand.
async fn advance(State(ehr): Ehr) -> Response {
    match ehr.advance_day().await {
        Ok(day) => {
            let told = json!({
                "edited": day.edited.len(),
                "added": day.added.len(),
                "deleted": day.deleted.len(),
                "merged": u8::from(day.merged.is_some()),
            });
            json_as("application/json", StatusCode::OK, &told)
        }
        Err(error) => Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "exception", error.to_string()).into_response(),
    }
}

/// Who asks; a request without a good access token is refused.
pub(super) fn bearer(ehr: &Shared, headers: &HeaderMap) -> Result<Grant, Refused> {
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unauthorized());
    }
    ehr.access.holder(token.trim()).ok_or_else(unauthorized)
}
