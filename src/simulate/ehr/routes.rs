//! The EHR's addresses and what stands behind each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Form, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::access::{Grant, TOKEN_SECONDS};
use super::body::{self, Ending};
use super::fault::Fault;
use super::jobs::{Job, Order, Progress};
use super::kick_off::{self, Parameters};
use super::plan::Whose;
use super::reply::{OAuthRefused, Refused, fhir_json, json_as};
use super::shared::{Call, Seen, Shared};

type Ehr = State<Arc<Shared>>;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new();
    // A client may encode the `$` or not.
    for export in ["$export", "%24export"] {
        router = router
            .route(&format!("/fhir/{export}"), get(export_system).post(export_system))
            .route(&format!("/fhir/Patient/{export}"), get(export_patients).post(export_patients))
            .route(&format!("/fhir/Group/{{group}}/{export}"), get(export_group).post(export_group));
    }
    router
        .route("/register", post(register))
        .route("/token", post(token))
        .route("/next-day", post(advance))
        .route("/fhir/.well-known/smart-configuration", get(smart_configuration))
        .route("/fhir/metadata", get(metadata))
        .route("/fhir/export-status/{job}", get(status).delete(cancel))
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
        path if path.starts_with("/fhir/export-status/") => Call::Poll,
        _ => Call::Other,
    };
    let response = next.run(request).await;
    let status = response.status().as_u16();
    ehr.log.note(Seen {
        call,
        method,
        path,
        status,
        with_token,
    });
    response
}

async fn nothing_here() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "not-found", "this server has no such address")
}

async fn smart_configuration(State(ehr): Ehr) -> Response {
    let configuration = json!({
        "token_endpoint": ehr.access.token_url(),
        "registration_endpoint": ehr.registration_url(),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
        "scopes_supported": ["system/*.rs", "system/*.read"],
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    });
    json_as("application/json", StatusCode::OK, &configuration)
}

async fn metadata(State(ehr): Ehr) -> Response {
    let export = |definition: &str| json!({ "name": "export", "definition": format!("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/{definition}") });
    let statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-06-30",
        "kind": "instance",
        "software": { "name": "Headwater simulated EHR", "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "Synthetic data, for demonstrations and tests", "url": ehr.base() },
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "instantiates": ["http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"],
        "rest": [{
            "mode": "server",
            "security": { "service": [{ "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                "code": "SMART-on-FHIR",
            }] }] },
            "resource": [
                { "type": "Patient", "operation": [export("patient-export")] },
                { "type": "Group", "operation": [export("group-export")] },
            ],
            "operation": [export("export")],
        }],
    });
    fhir_json(StatusCode::OK, &statement)
}

async fn register(State(ehr): Ehr, body: Bytes) -> Response {
    let request = serde_json::from_slice(&body).unwrap_or(Value::Null);
    match ehr.access.register(&request) {
        Ok(client) => json_as("application/json", StatusCode::CREATED, &json!({ "client_id": client })),
        Err(error) => {
            let refused = json!({ "error": "invalid_client_metadata", "error_description": error.to_string() });
            json_as("application/json", StatusCode::BAD_REQUEST, &refused)
        }
    }
}

async fn token(State(ehr): Ehr, Form(form): Form<HashMap<String, String>>) -> Result<Response, OAuthRefused> {
    if ehr.faults.fires(Fault::Token401) {
        return Err(OAuthRefused::client("a fault was ordered"));
    }
    let issued = ehr.access.issue(&form).await?;
    let answer = json!({ "access_token": issued.token, "token_type": "bearer", "expires_in": TOKEN_SECONDS, "scope": issued.scope });
    Ok(json_as("application/json", StatusCode::OK, &answer))
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

async fn export_system(State(ehr): Ehr, asked: Asked) -> Result<Response, Refused> {
    kick_off(&ehr, Whose::Everyone, asked)
}

async fn export_patients(State(ehr): Ehr, asked: Asked) -> Result<Response, Refused> {
    kick_off(&ehr, Whose::EveryPatient, asked)
}

async fn export_group(State(ehr): Ehr, Path(group): Path<String>, asked: Asked) -> Result<Response, Refused> {
    let whose = match ehr.settings.groups.get(&group) {
        Some(members) => Whose::Patients(Arc::new(members.iter().cloned().collect::<HashSet<_>>())),
        None if group == "all" => Whose::EveryPatient,
        None => {
            // Whoever may not ask shall not learn which groups there are.
            bearer(&ehr, &asked.headers)?;
            return Err(Refused::new(
                StatusCode::NOT_FOUND,
                "not-found",
                "there is no such Group; `all` is always there",
            ));
        }
    };
    kick_off(&ehr, whose, asked)
}

/// A kick-off as it came.
struct Asked {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    query: Parameters,
    body: Bytes,
}

impl<S: Send + Sync> axum::extract::FromRequest<S> for Asked {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
        let Query(query) = Query::try_from_uri(&uri).map_err(IntoResponse::into_response)?;
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self {
            method,
            uri,
            headers,
            query,
            body,
        })
    }
}

fn kick_off(ehr: &Shared, whose: Whose, asked: Asked) -> Result<Response, Refused> {
    let grant = bearer(ehr, &asked.headers)?;
    let too_many = |text: &str| Refused::new(StatusCode::TOO_MANY_REQUESTS, "throttled", text).retry_after(ehr.settings.retry_after_s);
    if ehr.faults.fires(Fault::Kickoff429) {
        return Err(too_many("too many exports; come back later"));
    }
    if ehr.settings.one_job_per_client && ehr.jobs.has_any(&grant.client) {
        return Err(too_many("this client has an export already; DELETE it first"));
    }
    let mut parameters = asked.query;
    if asked.method == Method::POST {
        parameters.extend(kick_off::from_resource(&asked.body)?);
    }
    let wanted = kick_off::wanted(whose, &parameters, &asked.headers, &grant)?;
    let path = asked.uri.path_and_query().map_or("", |path| path.as_str());
    let world = ehr.world();
    let order = Order {
        client: grant.client,
        request: format!("{}{}", ehr.base(), path.strip_prefix("/fhir").unwrap_or(path)),
        wanted,
        transaction_time: ehr.transaction_time(),
        loaded: ehr.loaded,
        file_lines: ehr.settings.file_lines.max(1),
    };
    let job = ehr.jobs.begin(world, order);
    let mut response = StatusCode::ACCEPTED.into_response();
    set(
        &mut response,
        "content-location",
        &format!("{}/export-status/{}", ehr.base(), job.id),
    );
    Ok(response)
}

async fn status(State(ehr): Ehr, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Refused> {
    let job = job(&ehr, &id, &headers)?;
    if ehr.faults.fires(Fault::Poll503) {
        let refused = Refused::new(StatusCode::SERVICE_UNAVAILABLE, "transient", "the server is busy; ask again");
        return Err(refused.retry_after(ehr.settings.retry_after_s));
    }
    match job.progress(ehr.settings.polls_before_ready) {
        Progress::Failed => Err(Refused::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "exception",
            "the data could not be read",
        )),
        Progress::Working(done, of) => {
            let mut response = StatusCode::ACCEPTED.into_response();
            set(&mut response, "x-progress", &format!("working, {done} of {of}"));
            set(&mut response, "retry-after", &ehr.settings.retry_after_s.to_string());
            Ok(response)
        }
        Progress::Ready(plan) => {
            let mut manifest = job.manifest(&plan, ehr.base());
            if !plan.pieces.is_empty() && ehr.faults.fires(Fault::WrongCount) {
                manifest["output"][0]["count"] = json!(plan.pieces[0].count + 1);
            }
            Ok(json_as("application/json", StatusCode::OK, &manifest))
        }
    }
}

async fn cancel(State(ehr): Ehr, Path(id): Path<String>, headers: HeaderMap) -> Result<StatusCode, Refused> {
    let job = job(&ehr, &id, &headers)?;
    ehr.jobs.remove(&job.id);
    Ok(StatusCode::ACCEPTED)
}

async fn file(State(ehr): Ehr, Path((id, generation, name)): Path<(String, u32, String)>, headers: HeaderMap) -> Result<Response, Refused> {
    let job = job(&ehr, &id, &headers)?;
    let plan = job.plan().ok_or_else(no_file)?;
    if generation == job.generation() && ehr.faults.fires(Fault::ExpireFileUrl) {
        job.expire();
    }
    if generation != job.generation() {
        return Err(Refused::new(
            StatusCode::GONE,
            "expired",
            "this address has run out; read the manifest again",
        ));
    }
    let gzip = wants_gzip(&headers);
    let stopped = ehr.stopped.clone();
    let body = if name == "deleted" && !plan.deleted.is_empty() {
        body::deletions(plan, gzip, stopped)
    } else {
        let number: usize = name.parse().ok().filter(|number| *number < plan.pieces.len()).ok_or_else(no_file)?;
        let ending = if ehr.faults.fires(Fault::TruncateFile) {
            Ending::Truncated
        } else if ehr.faults.fires(Fault::Stall) {
            Ending::Stalled
        } else {
            Ending::Whole
        };
        body::file(Arc::clone(&job.world), plan, number, gzip, ending, stopped)
    };
    let mut response = Response::new(body);
    set(&mut response, "content-type", "application/fhir+ndjson");
    set(&mut response, "vary", "Accept-Encoding");
    if gzip {
        set(&mut response, "content-encoding", "gzip");
    }
    Ok(response)
}

fn no_file() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "not-found", "this export has no such file")
}

/// The job of that id, for a client who may see it.
fn job(ehr: &Shared, id: &str, headers: &HeaderMap) -> Result<Arc<Job>, Refused> {
    let grant = bearer(ehr, headers)?;
    if ehr.faults.fires(Fault::Bearer401) {
        return Err(unauthorized());
    }
    let none = || {
        Refused::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "there is no such export; it was deleted, or the server started anew",
        )
    };
    ehr.jobs.find(id, &grant.client).ok_or_else(none)
}

fn bearer(ehr: &Shared, headers: &HeaderMap) -> Result<Grant, Refused> {
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

fn unauthorized() -> Refused {
    Refused::new(
        StatusCode::UNAUTHORIZED,
        "login",
        "an access token is missing, unknown or has run out",
    )
}

fn wants_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(header::ACCEPT_ENCODING)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight.trim(), "q=0" | "q=0.0")
    })
}

/// Sets a header; a text that cannot be one is left out.
fn set(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
