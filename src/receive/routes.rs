//! The registry's endpoints for sites. Each one says who asks, hands the work to a thread that may block, and lets `reply`
//! turn the answer into HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use futures_util::StreamExt;
use futures_util::stream;
use rusqlite::OptionalExtension;
use serde_json::{Value, json};

use super::access::TokenForm;
use super::drop::ChunkWriter;
use super::enrol::Enrolment;
use super::fault::Fault;
use super::registry::Registry;
use super::store::{self, Site};
use super::submit::own_id;
use super::{outcome, place, reply};
use crate::platform::clock::later;
use crate::submission::{
    After, BulkSubmit, CHUNK_MAX_BYTES, MANIFEST_MAX_BYTES, Manifest, SCOPE, StatusManifest, StatusRequest, SubmissionId,
};

const PARAMETERS_MAX_BYTES: usize = 64 << 10;
type Shared = State<Arc<Registry>>;

/// All endpoints sites use, below the registry's base address.
pub(super) fn router(registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/.well-known/smart-configuration", get(smart_configuration))
        .route("/fhir/.well-known/smart-configuration", get(smart_configuration))
        .route("/oauth/token", post(token))
        .route("/enrol", post(enrol))
        .route("/drop/{submission}/chunks/{sha256}", put(put_chunk).head(head_chunk))
        .route("/drop/{submission}/manifest", put(put_manifest))
        .route("/fhir/$bulk-submit", post(bulk_submit))
        .route("/fhir/$bulk-submit-status", post(bulk_submit_status))
        .route("/fhir/submit-status/{submission}", get(submit_status))
        .route("/site/place", get(site_place))
        .route("/site/rows", post(site_rows))
        .route("/fhir/submissions/{submission}/outcome", get(submission_outcome))
        .route("/fhir/submissions/{submission}/receipt", get(submission_receipt))
        .with_state(registry)
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(
    registry: &Arc<Registry>,
    work: impl FnOnce(&Registry) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let registry = Arc::clone(registry);
    tokio::task::spawn_blocking(move || work(&registry))
        .await
        .map_err(|_| Fault::BrokeOff)?
}

/// Runs `work` for the site whose token came with the request.
async fn as_site<T: Send + 'static>(
    registry: &Arc<Registry>,
    headers: &HeaderMap,
    work: impl FnOnce(&Registry, Site) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    blocking(registry, move |registry| {
        let site = registry
            .access()
            .site_of(registry.store(), authorization.as_deref(), registry.now())?;
        work(registry, site)
    })
    .await
}

async fn whole(body: Body, most: usize) -> Result<Bytes, Fault> {
    let too_large = Fault::TooLarge("the body is larger than this endpoint takes, or broke off");
    axum::body::to_bytes(body, most).await.map_err(|_| too_large)
}

async fn parameters(body: Body) -> Result<Value, Fault> {
    let bytes = whole(body, PARAMETERS_MAX_BYTES).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Fault::Malformed(format!("the body is not JSON at line {} column {}", error.line(), error.column())))
}

async fn smart_configuration(State(registry): Shared) -> Response {
    let base = registry.base();
    reply::json(
        StatusCode::OK,
        &json!({
            "token_endpoint": format!("{base}/oauth/token"),
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "scopes_supported": [SCOPE],
            "response_types_supported": [],
            "capabilities": ["client-confidential-asymmetric"]
        }),
    )
}

async fn token(State(registry): Shared, form: Result<Form<TokenForm>, axum::extract::rejection::FormRejection>) -> Response {
    // A form that cannot be read asks for no grant we know.
    let form = form.map(|Form(form)| form).unwrap_or_default();
    let answer = blocking(&registry, move |registry| {
        let token_url = format!("{}/oauth/token", registry.base());
        Ok(registry.access().issue(registry.store(), &token_url, registry.now(), &form))
    })
    .await;
    reply::token(answer.unwrap_or_else(|fault| Err(fault.into())))
}

async fn enrol(State(registry): Shared, body: Body) -> Result<Response, Fault> {
    let bytes = whole(body, PARAMETERS_MAX_BYTES).await?;
    let enrolment: Enrolment =
        serde_json::from_slice(&bytes).map_err(|_| Fault::Malformed("the body is not JSON with code, jwk and manifest_key".into()))?;
    let enrolled = blocking(&registry, move |registry| registry.enrol(&enrolment)).await?;
    Ok(reply::json(StatusCode::OK, &enrolled))
}

/// What the drop may do with a submission.
enum Admission {
    Open,
    /// Applied already: these are the chunks it had.
    Applied(Box<Manifest>),
}

fn admission(registry: &Registry, id: &SubmissionId) -> Result<Admission, Fault> {
    let applied: Option<Vec<u8>> = registry.store().read(|connection| {
        connection
            .query_row(
                "SELECT manifest FROM submission WHERE id = ?1 AND state = 'applied'",
                [id.to_string()],
                |row| row.get(0),
            )
            .optional()
    })?;
    Ok(match applied.and_then(|bytes| Manifest::read(&bytes).ok()) {
        Some(manifest) => Admission::Applied(Box::new(manifest)),
        None => Admission::Open,
    })
}

/// Whether a submission in the drop must not give way to another: it waits to be applied.
fn must_stay(registry: &Registry, id: &str) -> bool {
    let state = registry.store().read(|connection| store::state(connection, id));
    !matches!(state, Ok(None | Some(store::State::Applied | store::State::Refused(_))))
}

fn applied_has(manifest: &Manifest, sha256: &str) -> Result<(), Fault> {
    let had = manifest.output.iter().any(|output| output.sha256 == sha256);
    had.then_some(())
        .ok_or(Fault::NotFound("the submission is applied and had no such chunk"))
}

async fn head_chunk(State(registry): Shared, Path((id, sha256)): Path<(String, String)>, headers: HeaderMap) -> Result<Response, Fault> {
    as_site(&registry, &headers, move |registry, site| {
        let id = own_id(&site, &id)?;
        if let Admission::Applied(manifest) = admission(registry, &id)? {
            return applied_has(&manifest, &sha256);
        }
        let there = registry.files().chunk_bytes(&id, &sha256)?;
        there.map(drop).ok_or(Fault::NotFound("the chunk is not in the drop"))
    })
    .await?;
    Ok(StatusCode::OK.into_response())
}

async fn put_chunk(
    State(registry): Shared,
    Path((id, sha256)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let writer = as_site(&registry, &headers, move |registry, site| {
        let id = own_id(&site, &id)?;
        if let Admission::Applied(manifest) = admission(registry, &id)? {
            return applied_has(&manifest, &sha256).map(|()| None);
        }
        registry.files().begin_chunk(&id, &sha256, &|id| must_stay(registry, id)).map(Some)
    })
    .await?;
    match writer {
        Some(writer) => receive_chunk(writer, body).await?,
        // Read and forgotten: an answer before the body's end looks like a broken line to some clients.
        None => drop(whole(body, usize::try_from(CHUNK_MAX_BYTES).unwrap_or(usize::MAX)).await?),
    }
    Ok(StatusCode::OK.into_response())
}

/// Streams the body to the disk, a batch at a time: no thread waits for a slow line, and no upload needs more than a batch.
async fn receive_chunk(mut writer: ChunkWriter, body: Body) -> Result<(), Fault> {
    let mut pieces = body.into_data_stream();
    let mut batch: Vec<Bytes> = Vec::new();
    let mut batch_bytes = 0;
    loop {
        let piece = pieces.next().await.transpose();
        // Dropped here, the writer leaves nothing: a body that broke off is no body.
        let piece = piece.map_err(|_| Fault::Malformed("the body broke off; send it again".into()))?;
        let ended = piece.is_none();
        batch_bytes += piece.as_ref().map_or(0, Bytes::len);
        batch.extend(piece);
        if ended || batch_bytes >= BATCH_BYTES {
            let ready = std::mem::take(&mut batch);
            batch_bytes = 0;
            let written = tokio::task::spawn_blocking(move || {
                for piece in ready {
                    writer.write(&piece)?;
                }
                if ended { writer.finish().map(|()| None) } else { Ok(Some(writer)) }
            });
            match written.await.map_err(|_| Fault::BrokeOff)?? {
                Some(again) => writer = again,
                None => return Ok(()),
            }
        }
    }
}

/// What is gathered before it is written.
const BATCH_BYTES: usize = 256 << 10;

async fn put_manifest(State(registry): Shared, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Result<Response, Fault> {
    // Who asks before what is sent: a stranger's megabytes are not read.
    let id = as_site(&registry, &headers, move |_, site| own_id(&site, &id)).await?;
    let bytes = whole(body, MANIFEST_MAX_BYTES).await?;
    blocking(&registry, move |registry| {
        if let Admission::Applied(manifest) = admission(registry, &id)? {
            let same = manifest.bytes() == bytes;
            return same
                .then_some(())
                .ok_or_else(|| Fault::Conflict("the submission has another manifest already".into()));
        }
        if registry.files().manifest(&id)?.is_some_and(|there| there != bytes) {
            return Err(Fault::Conflict("the submission has another manifest already".into()));
        }
        let manifest = Manifest::read(&bytes).map_err(|fault| Fault::Malformed(fault.to_string()))?;
        if manifest.submission != id.to_string() {
            return Err(Fault::Malformed("manifest: is not this submission's".into()));
        }
        registry.files().put_manifest(&id, &bytes, &|id| must_stay(registry, id))
    })
    .await?;
    Ok(StatusCode::OK.into_response())
}

async fn bulk_submit(State(registry): Shared, headers: HeaderMap, body: Body) -> Result<Response, Fault> {
    // Who asks before what is sent: a stranger's Parameters are not looked at.
    let site = as_site(&registry, &headers, |_, site| Ok(site)).await?;
    let request = BulkSubmit::read(&parameters(body).await?).map_err(|fault| Fault::Malformed(fault.to_string()))?;
    let submitted = blocking(&registry, move |registry| registry.desk().submit(&site, &request)).await;
    registry.wake();
    let text = format!("submission {} is received; ask $bulk-submit-status what became of it", submitted?);
    Ok(reply::outcome(StatusCode::OK, "information", "informational", &text))
}

async fn bulk_submit_status(State(registry): Shared, headers: HeaderMap, body: Body) -> Result<Response, Fault> {
    let site = as_site(&registry, &headers, |_, site| Ok(site)).await?;
    let request = StatusRequest::read(&parameters(body).await?).map_err(|fault| Fault::Malformed(fault.to_string()))?;
    let id = own_id(&site, &request.submission)?;
    if request.site != site.name {
        return Err(Fault::Forbidden("the submitter is not the site of this token"));
    }
    let known = {
        let id = id.to_string();
        blocking(&registry, move |registry| {
            registry.store().read(|connection| store::state(connection, &id))
        })
        .await?
    };
    known.ok_or(UNKNOWN)?;
    let place = format!("{}/fhir/submit-status/{id}", registry.base());
    let mut response = reply::outcome(StatusCode::ACCEPTED, "information", "informational", "poll the Content-Location");
    let place = HeaderValue::from_str(&place).map_err(|_| Fault::BrokeOff)?;
    response.headers_mut().insert(header::CONTENT_LOCATION, place);
    Ok(response)
}

async fn site_place(State(registry): Shared, headers: HeaderMap) -> Result<Response, Fault> {
    let place = as_site(&registry, &headers, |registry, site| {
        registry.store().read(|connection| place::place(connection, &site))
    })
    .await?;
    Ok(reply::json(StatusCode::OK, &place))
}

/// The rows behind one of them, which stands in the body: a key in an address would stand in logs.
async fn site_rows(State(registry): Shared, headers: HeaderMap, body: Body) -> Result<Response, Fault> {
    // Who asks before what is asked.
    let site = as_site(&registry, &headers, |_, site| Ok(site)).await?;
    let after: After =
        serde_json::from_value(parameters(body).await?).map_err(|_| Fault::Malformed("the body is not JSON with table and key".into()))?;
    let inventory = blocking(&registry, move |registry| {
        registry.store().read(|connection| place::inventory(connection, &site, &after))
    })
    .await?;
    Ok(reply::json(StatusCode::OK, &inventory))
}

const UNKNOWN: Fault = Fault::NotFound("no such submission was submitted");

async fn submit_status(State(registry): Shared, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Fault> {
    let now = registry.now();
    let (state, id, released, transaction_time, rejected, received) = as_site(&registry, &headers, move |registry, site| {
        let id = own_id(&site, &id)?.to_string();
        registry
            .store()
            .read(|connection| {
                let state = store::state(connection, &id)?;
                let numbers = connection
                    .prepare("SELECT released, transaction_time, rejected, received_at FROM submission WHERE id = ?1")?
                    .query_row([&id], |row| {
                        Ok((
                            store::count(row, 0)?,
                            row.get::<_, String>(1)?,
                            store::count(row, 2)?,
                            row.get::<_, String>(3)?,
                        ))
                    })
                    .optional()?;
                Ok(state
                    .zip(numbers)
                    .map(|(state, (released, time, rejected, received))| (state, id.clone(), released, time, rejected, received)))
            })?
            .ok_or(UNKNOWN)
    })
    .await?;
    match state {
        store::State::Refused(reason) => Err(Fault::Refused(reason)),
        store::State::Applied => {
            let status = StatusManifest::applied(registry.base(), &id, &transaction_time, rejected);
            Ok(reply::json(StatusCode::OK, &status))
        }
        store::State::Received => {
            let progress = match registry.progress_of(&id) {
                Some(done) => format!("{done} of {released} rows applied"),
                None => "waiting for its turn".to_owned(),
            };
            let mut response = StatusCode::ACCEPTED.into_response();
            // Most submissions are applied within a moment; a second's wait would be most of a small night.
            let young = received
                .parse()
                .is_ok_and(|received: jiff::Timestamp| now < later(received, Duration::from_secs(3)));
            let wait = HeaderValue::from_static(if young { "0" } else { "1" });
            response.headers_mut().insert(header::RETRY_AFTER, wait);
            if let Ok(progress) = HeaderValue::from_str(&progress) {
                response.headers_mut().insert("x-progress", progress);
            }
            Ok(response)
        }
    }
}

async fn submission_receipt(State(registry): Shared, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Fault> {
    let receipt = as_site(&registry, &headers, move |registry, site| {
        let id = own_id(&site, &id)?.to_string();
        let receipt: Option<Option<String>> = registry.store().read(|connection| {
            connection
                .query_row("SELECT receipt FROM submission WHERE id = ?1", [id], |row| row.get(0))
                .optional()
        })?;
        receipt.flatten().ok_or(Fault::NotFound("the submission has no receipt"))
    })
    .await?;
    Ok(reply::typed(
        StatusCode::OK,
        HeaderValue::from_static("text/plain; charset=utf-8"),
        receipt,
    ))
}

async fn submission_outcome(State(registry): Shared, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Fault> {
    let id = as_site(&registry, &headers, move |registry, site| {
        let id = own_id(&site, &id)?.to_string();
        let state = registry.store().read(|connection| store::state(connection, &id))?;
        match state {
            Some(store::State::Applied) => Ok(id),
            _ => Err(Fault::NotFound("the submission has no outcomes")),
        }
    })
    .await?;
    // An applied submission's outcomes never change, so the pages fit together.
    let pages = stream::try_unfold((registry, id, 0), |(registry, id, after)| async move {
        let read = {
            let id = id.clone();
            blocking(&registry, move |registry| {
                registry.store().read(|connection| outcome::page(connection, &id, after))
            })
            .await?
        };
        Ok::<_, Fault>(read.map(|(text, last)| (text, (registry, id, last))))
    });
    Ok(reply::typed(
        StatusCode::OK,
        HeaderValue::from_static("application/fhir+ndjson"),
        Body::from_stream(pages),
    ))
}
