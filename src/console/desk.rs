//! What every page of the console has at hand: the registry, and the answer for when its store cannot be read.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::html;

use super::attempts::Attempts;
use super::page;
use crate::receive::{Records, Registry};

/// The registry, and what the console remembers besides: recent attempts to sign in.
pub(super) struct Console {
    pub registry: Arc<Registry>,
    pub attempts: Attempts,
}

impl Console {
    pub(super) fn over(registry: Arc<Registry>) -> Self {
        let attempts = Attempts::default();
        Self { registry, attempts }
    }

    pub(super) fn records(&self) -> &Records {
        self.registry.records()
    }
}

pub(super) type Shared = Arc<Console>;

/// The page for when something of ours failed; what failed stands in the registry's own log.
pub(super) fn broken(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Response {
    tracing::error!(error, "the console could not read the registry's store");
    let body = html! {
        h1 { "The registry's store could not be read" }
        p { "What is wrong stands in the registry's own log. Nothing that was submitted is lost." }
    };
    (StatusCode::INTERNAL_SERVER_ERROR, page::outside("Not readable", &body)).into_response()
}
