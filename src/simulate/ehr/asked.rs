//! A request as it came: parameters by query, by form or by Parameters resource, and what `Prefer` says.

use std::collections::HashSet;

use axum::body::Bytes;
use axum::extract::{FromRequest, Query, Request};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};

use super::reply::Refused;

/// Names and values of parameters, in the order they came.
pub(super) type Parameters = Vec<(String, String)>;

pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) query: Parameters,
    pub(super) body: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Asked {
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

impl Asked {
    /// What the client prefers: RFC 7240.
    pub(super) fn prefers(&self, preference: &str) -> bool {
        let lines = self.headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
        let all: HashSet<&str> = lines.flat_map(|line| line.split([',', ';'])).map(str::trim).collect();
        all.contains(preference)
    }

    /// The parameters of the query and those of a form in the body.
    pub(super) fn with_form(&self) -> Result<Parameters, Refused> {
        let mut parameters = self.query.clone();
        if self.method == Method::POST {
            let form: Uri = std::str::from_utf8(&self.body)
                .ok()
                .and_then(|form| format!("/?{form}").parse().ok())
                .ok_or_else(|| Refused::invalid("the body is no form"))?;
            let Query(form) = Query::<Parameters>::try_from_uri(&form).map_err(|_| Refused::invalid("the body is no form"))?;
            parameters.extend(form);
        }
        Ok(parameters)
    }
}
