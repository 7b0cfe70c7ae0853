//! Another origin: what is not the EHR's own address. It has the files that need none, and serves
//! nothing to whoever brings an access token.
//! A client that keeps the origin rule (RFC 6750, section 5.3; Bulk Data 2.0, `requiresAccessToken`) never does.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::file::file_elsewhere;
use super::reply::Refused;
use super::shared::{Call, Seen, Shared};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/export-file/{job}/{number}/{file}", get(file_elsewhere))
        .fallback(nothing_here)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), no_token_please))
        .with_state(shared)
}

/// Notes every request, and refuses those with a token.
async fn no_token_please(State(ehr): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let with_token = request.headers().contains_key(header::AUTHORIZATION);
    let call = if path.starts_with("/export-file/") {
        Call::File
    } else {
        Call::Other
    };
    let response = if with_token {
        Refused::invalid("no Authorization header may be sent to this address").into_response()
    } else {
        next.run(request).await
    };
    ehr.log.note(Seen {
        call,
        method,
        path,
        status: response.status().as_u16(),
        with_token,
        elsewhere: true,
    });
    response
}

async fn nothing_here() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "not-found", "there is no such address here")
}
